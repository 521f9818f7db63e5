"""Dead letters, as operators see them."""

from flagstream.dead_letters import DeadLetterBox
from flagstream.state.dead_letters import DeadLetter
from flagstream.topics import Topic, record_key
from tests.fakes.log import FakeLog


class ListSink:
    """Keeps what was appended."""

    def __init__(self):
        self.appended = []

    async def append(self, appends):
        self.appended += appends
        return []


def bury(log, number, *, partition, project_id=1):
    key = record_key(project_id, "organization", f"org:{number}")
    letter = DeadLetter(
        topic=Topic.GROUP_UPDATES,
        partition=partition,
        offset=number,
        timestamp_ms=1,
        reason="poison",
        key=key,
        value=b"%d" % number,
    )
    log.append(Topic.DEAD_LETTERS, key, letter.to_bytes(), partition)


class TestDeadLetterBox:
    async def test_pages_go_through_all_partitions(self):
        """
        Page by page every dead letter of the project is listed once, and none of another's.
        """
        log = FakeLog(partitions=3)
        for number in range(9):
            bury(log, number, partition=number % 3, project_id=2 if number == 4 else 1)
        box, values, after = DeadLetterBox(log, ListSink()), [], None

        while page := await box.list(1, after=after, limit=2):
            values += [letter.value for letter in page]
            after = page[-1].id

        assert [b"0", b"3", b"6", b"1", b"7", b"2", b"5", b"8"] == values

    async def test_replay_leaves_out_what_is_not_the_projects(self):
        """
        Records go to their topic once more as they came; other ids count for nothing.
        """
        log, sink = FakeLog(partitions=2), ListSink()
        bury(log, 0, partition=0)
        bury(log, 1, partition=1, project_id=2)

        count = await DeadLetterBox(log, sink).replay(1, ["0-0", "1-0", "0-7", "5-0"])

        replayed = (Topic.GROUP_UPDATES, record_key(1, "organization", "org:0"), b"0")
        assert (1, [replayed]) == (count, sink.appended)
