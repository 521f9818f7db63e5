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


class TestCounts:
    def test_bounded(self):
        """
        Of what turns out to be no closed set, so many values are told, and the rest as one.
        """
        counts = telemetry.Counts("tests_bounded", "Of a test.", "what")
        for number in range(150):
            counts.count(number)
            counts.count(0)

        (family,) = counts.collect()
        found = {sample.labels["what"]: sample.value for sample in family.samples}
        assert (101, 151, 50) == (len(found), found["0"], found["(other)"])

    def test_known_values_begin_at_zero(self):
        """
        What is known to come is there before it has come.
        """
        counts = telemetry.Counts("tests_known", "Of a test.", "what", ("a", "b"))

        (family,) = counts.collect()
        assert {"a": 0, "b": 0} == {each.labels["what"]: each.value for each in family.samples}


class TestObserved:
    def test_nobody_shows_it(self):
        """
        What this process does not know has no sample.
        """
        (family,) = telemetry.Observed("tests_unknown", "Of a test.").collect()

        assert [] == family.samples

    def test_what_cannot_be_read(self):
        """
        One value that cannot be read costs none of the others.
        """
        observed = telemetry.Observed("tests_broken", "Of a test.")
        observed.read = lambda: 1 / 0

        (family,) = observed.collect()
        assert [] == family.samples
        assert b"flagstream_ready" in telemetry.exposition()
