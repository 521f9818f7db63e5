"""Metrics of several processes in one text."""

from prometheus_client.parser import text_string_to_metric_families

from flagstream import telemetry

TEXT = b"""# HELP answers_total Answers.
# TYPE answers_total counter
answers_total{status="200"} %d.0
# HELP lag Lag.
# TYPE lag gauge
lag %d.0
"""


class TestJoined:
    def test_each_sample_has_its_process(self):
        """
        Nothing is added up: each family is there once, with the samples of all processes.
        """
        text = telemetry.joined({"worker": TEXT % (1, 2), "api-0": TEXT % (3, 4)}).decode()
        families = list(text_string_to_metric_families(text))

        assert [("answers", "counter"), ("lag", "gauge")] == [(f.name, f.type) for f in families]
        assert [("worker", 1), ("api-0", 3)] == [
            (sample.labels["process"], sample.value) for sample in families[0].samples
        ]
        assert {"process": "api-0"} == families[1].samples[1].labels

    def test_own(self):
        """
        What a process writes can be joined.
        """
        telemetry.RESPONSES.count(200)

        text = telemetry.joined({"worker": telemetry.exposition()}).decode()

        assert 'flagstream_http_responses_total{process="worker",status="200"}' in text
