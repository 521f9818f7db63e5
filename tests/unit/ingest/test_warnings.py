"""Samples of what was refused."""

from flagstream.ingest import WarningSamples
from flagstream.ports import IngestionWarning


def warning(number):
    return IngestionWarning(time_ms=number, field="uuid", detail="", event="")


class TestWarningSamples:
    def test_newest_first(self):
        """
        The newest hundred of a project are kept, and shown to nobody else.
        """
        samples = WarningSamples()
        for number in range(150):
            samples.add(1, warning(number))

        assert [*range(149, 49, -1)] == [each.time_ms for each in samples.latest(1)]
        assert () == samples.latest(2)

    def test_bounded(self):
        """
        Of a thousand projects the samples are kept.
        """
        samples = WarningSamples()
        for project_id in range(1_001):
            samples.add(project_id, warning(0))

        assert [0, 1] == [len(samples.latest(project_id)) for project_id in (0, 1_000)]
