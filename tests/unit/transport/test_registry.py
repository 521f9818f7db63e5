from flagstream.transport.options import LogOptions
from flagstream.transport.registry import close_log, open_log


class TestOpenLog:
    async def test_one_directory_is_one_log(self, tmp_path):
        """
        Whoever opens a directory in this process gets the same log, open until the last is done.
        """
        (tmp_path / "link").symlink_to(tmp_path / "log")
        first = open_log(LogOptions(directory=tmp_path / "log"))
        second = open_log(LogOptions(directory=tmp_path / "link"))
        await close_log(first)
        second.create_topic("topic", 1, is_compacted=False)
        await close_log(second)
        third = open_log(LogOptions(directory=tmp_path / "log"))
        topics = third.topics()
        await close_log(third)

        assert first is second
        assert third is not first
        assert ["topic"] == topics
