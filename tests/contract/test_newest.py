"""The newest records, read backwards from a real log."""

from flagstream.newest import MAX_EXAMINED, Wanted, newest
from flagstream.ports import Append
from flagstream.topics import Topic, record_key
from tests.server import Server

PARTITIONS = 3
PLANS = ["free", "gold", "trial"]


def record(number, key=None):
    key = f"user-{number % 7}" if key is None else key
    return Append(Topic.EVENTS, record_key(1, key), b"%d" % number)


async def write(log, numbers):
    """Append one request after the other, so that their order is that of their times."""
    for first in range(0, len(numbers), 50):
        await log.open.sink.append([record(number) for number in numbers[first : first + 50]])


async def pages(log, wanted, limit):
    found, ends = [], None
    while ends is None or ends:
        page = await newest(log.open.reader, Topic.EVENTS, wanted, limit=limit, ends=ends)
        found.append(page.found)
        ends = page.ends
    return found


class TestNewest:
    async def test_every_record_once(self, log):
        """
        Page by page every record comes once, those of a partition backwards.
        """
        await write(log, range(500))

        found = await pages(log, Wanted(lambda record: record), 60)

        records = [record for page in found for record in page]
        assert [*range(500)] == sorted(int(record.value) for record in records)
        for number in range(PARTITIONS):
            offsets = [record.offset for record in records if record.partition == number]
            assert [*reversed(range(len(offsets)))] == offsets

    async def test_one_key(self, log):
        """
        The records of one key come backwards.
        """
        await write(log, range(500))

        wanted = Wanted(lambda record: int(record.value), record_key(1, "user-3"))
        found = await pages(log, wanted, 20)

        assert [*reversed(range(3, 500, 7))] == [number for page in found for number in page]

    async def test_as_far_as_the_log_reaches(self, log):
        """
        Where the log is empty there is nothing.
        """
        assert [[]] == await pages(log, Wanted(lambda record: record), 10)


def changes(server: Server, query=""):
    page = server.api("GET", f"groups/activity/?group_type_index=0&group_key=acme{query}")
    values = [each["detail"]["changes"][0]["after"] for each in page["results"]]
    return values, page["next"]


class TestServer:
    def test_what_was_written_last(self, server):
        """
        Events and the changes of a group are there as soon as they are accepted, and after a
        restart, the newest first.
        """
        for plan in PLANS:
            server.set_group("company", "acme", plan=plan)
            server.set_group("company", "other", plan=plan)
        server.capture({"event": "login", "distinct_id": "user-1"})

        for _ in range(2):
            (login,) = server.api("GET", "events/?distinct_id=user-1")["results"]
            names = [each["event"] for each in server.api("GET", "events/")["results"]]

            assert "login" == login["event"]
            assert ["login", *["$groupidentify"] * 6] == names
            assert (PLANS[::-1], None) == changes(server)
            first, following = changes(server, "&limit=2")
            assert PLANS[:0:-1] == first
            assert following is not None
            assert 0 == server.terminate()
            server.start()

    def test_a_long_way_back(self, server):
        """
        What lies further back than one request looks is found page by page.
        """
        server.capture({"event": "first", "distinct_id": "user-1"})
        many = [{"event": "many", "distinct_id": "user-1"}] * 1_000
        for _ in range(MAX_EXAMINED // len(many)):
            server.capture(*many)

        page = server.api("GET", "events/?event=first")
        empty = 0
        while not page["results"]:
            empty += 1
            page = server.api("GET", page["next"].partition("@current/")[2])

        assert (1, "first") == (empty, page["results"][0]["event"])
