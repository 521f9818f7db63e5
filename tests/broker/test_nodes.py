"""Several processes on one Kafka: workers that fold, API nodes that answer."""

import asyncio
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import aiohttp
import pytest
from yarl import URL

from flagstream.scan import scan
from flagstream.settings import Settings
from flagstream.state.events import EventRecord
from flagstream.topics import Topic
from flagstream.transport.kafka import KafkaReader
from flagstream.transport.kafka_connection import connection
from tests.crash.test_streams import next_of, streams
from tests.filters import group_filters
from tests.ofrep import PATH
from tests.server import START_TIMEOUT_S
from tests.sse import EventReader
from tests.waiting import until

pytestmark = pytest.mark.broker
FLAG = "gold-only"
WORKER_GONE_TIMEOUT_S = 40.0  # a killed worker's partitions stand still until its session ends
RETRY_PAUSE_S = 1.0  # of the most impatient client
POSITION, STALE = "X-Flagstream-Position", "X-Flagstream-Stale"


@pytest.fixture
def make_node(kafka, make_server):
    """Make nodes of one cluster, by role."""
    return lambda role: make_server(broker_url=kafka.url, role=role)


@pytest.fixture
def workers(make_node):
    workers = [make_node("worker") for _ in range(2)]
    start(workers)

    yield workers

    # Not killed: the group of the next test would wait for them.
    for each in workers:
        if each.process.poll() is None:
            each.terminate()


@pytest.fixture
def apis(workers, make_node):
    """Two API nodes, with a flag for gold companies; they are ready only with their workers."""
    apis = [make_node("api") for _ in range(2)]
    start(apis)
    apis[0].set_group("company", "acme", plan="free")
    apis[0].create_flag(FLAG, group_filters(plan="gold"))
    until(lambda: FLAG in apis[1].flags("user-1"))
    return apis


def start(nodes):
    """Start all at once."""
    for each in nodes:
        each.launch()
    until(lambda: all(each.is_ready() for each in nodes), START_TIMEOUT_S)


def write(node, plan, key="acme"):
    """Set a group's plan without waiting; returns the position."""
    properties = {"$group_type": "company", "$group_key": key, "$group_set": {"plan": plan}}
    event = {"event": "$groupidentify", "distinct_id": "user-1", "properties": properties}
    answer = node.request("POST", "/batch/", {"api_key": node.token, "batch": [event]})
    assert answer.status == 200, answer
    return answer.headers[POSITION]


def read(node, position, key="acme"):
    """Ask a node for the flag; returns its value, and whether it was answered from the position."""
    body = {"token": node.token, "distinct_id": "user-1", "groups": {"company": key}}
    answer = node.request("POST", "/flags/?v=2", body, {POSITION: position})
    assert answer.status == 200, answer
    return answer.body["flags"][FLAG]["enabled"], answer.headers.get(STALE) is None


class TestNodes:
    def test_read_your_writes(self, apis):
        """
        What was written at one node is read at the other, at once, change for change.
        """
        for number in range(20):
            plan = ("gold", "free")[number % 2]
            position = write(apis[number % 2], plan)

            assert (plan == "gold", True) == read(apis[1 - number % 2], position)

    def test_a_record_that_changes_nothing(self, apis):
        """
        A node waits no longer than needed for what leaves no trace in the changelogs.
        """
        write(apis[0], "gold")
        position = write(apis[1], "gold")

        assert (True, True) == read(apis[0], position)

    async def test_an_event_comes_to_both(self, kafka, apis):
        """
        A retry that comes to another node than the first attempt, when clients come back, is known.
        """
        sent = str(uuid.uuid4())
        event = {"event": "$pageview", "distinct_id": "user-1", "uuid": sent}
        body = {"api_key": apis[0].token, "batch": [event]}
        assert 200 == apis[0].request("POST", "/batch/", body).status
        await asyncio.sleep(RETRY_PAUSE_S)
        assert 200 == apis[1].request("POST", "/batch/", body).status

        settings = Settings(broker_url=kafka.url)
        async with KafkaReader(connection(settings), settings.partitions) as log:
            records = [record async for record in scan(log, Topic.EVENTS)]
        uuids = [EventRecord.from_bytes(record.value).uuid for record in records]
        assert 1 == uuids.count(sent)

    def test_warnings_of_all(self, apis):
        """
        Each node tells what all have cut or refused.
        """
        bad = {"api_key": apis[0].token, "event": "ev", "distinct_id": "user-1", "uuid": "no"}
        for each in apis:
            assert 400 == each.request("POST", "/batch/", bad).status

        def counts(node):
            found = node.api("GET", "ingestion_warnings/")["results"]
            return {each["kind"]: each["count"] for each in found}

        until(lambda: [{"invalid_event": 2}] * 2 == list(map(counts, apis)))

    def test_a_flood_of_one_group(self, apis):
        """
        What both nodes take in at once makes no group larger than a record may be, and stops no
        worker; once there is room, the group takes properties again.
        """
        filler = "x" * 1_000_000

        def grow(node, number):
            node.set_group("company", "big", **{f"p{number}": filler})

        with ThreadPoolExecutor(12) as threads:
            list(threads.map(grow, apis * 6, range(12)))
        letters = apis[0].api("GET", "dead_letters/")["results"]
        names = [f"p{number}" for number in range(12)]
        properties = {"$group_type": "company", "$group_key": "big", "$group_unset": names}
        event = {"event": "$groupidentify", "distinct_id": "u", "properties": properties}
        apis[1].capture(event)

        assert (True, True) == read(apis[1], write(apis[0], "gold", "big"), "big")
        assert all("state: expected at most" in each["reason"] for each in letters)

    def test_a_worker_dies(self, workers, apis):
        """
        Flags are answered throughout, as stale when they are; then the others take over, and
        nothing that was acknowledged is lost.
        """
        workers[0].kill()
        keys = [f"company-{number}" for number in range(8)]
        positions = [write(apis[0], "gold", key) for key in keys]
        stale = [
            not read(apis[1], position, key)[1]
            for key, position in zip(keys, positions, strict=True)
        ]

        def all_read():
            return all(
                read(apis[1], position, key) == (True, True)
                for key, position in zip(keys, positions, strict=True)
            )

        until(all_read, WORKER_GONE_TIMEOUT_S)
        assert any(stale)

    def test_without_workers(self, workers, apis, make_node):
        """
        API nodes answer without any worker, also one that is started only then; what they accept
        is folded once there are workers again.
        """
        position = write(apis[0], "gold")
        assert (True, True) == read(apis[1], position)
        for each in workers:
            assert 0 == each.terminate()
        late = make_node("api")
        late.start()

        assert (True, True) == read(late, position)
        position = write(late, "free")
        assert (True, False) == read(apis[0], position)
        shutil.rmtree(workers[0].data_dir)
        workers[0].start()
        until(lambda: read(late, position) == (False, True))


class TestPast:
    def test_every_node_knows(self, apis):
        """
        Each node answers as of a time by itself, also one that has to read everything again.
        """
        apis[0].set_group("company", "acme", plan="gold")
        then = datetime.now(UTC).isoformat()
        position = write(apis[0], "free")
        assert {(False, True)} == {read(node, position) for node in apis}

        assert [(True, "gold")] * 2 == [explained(node, then) for node in apis]
        apis[1].kill()
        shutil.rmtree(apis[1].data_dir)
        apis[1].start()
        assert (True, "gold") == explained(apis[1], then)


class TestStreams:
    async def test_told_by_every_node(self, apis):
        """
        Whichever node a backend is connected to, it is told of what was written at another.
        """
        async with streams(apis[0], 2) as near, streams(apis[1], 2) as far:
            for plan in ("gold", "free"):
                await asyncio.to_thread(write, apis[0], plan)
                told = await asyncio.gather(*(next_of(each, "group") for each in (*near, *far)))

                is_on = plan == "gold"
                change = {"key": FLAG, "before": not is_on, "after": is_on}
                assert [[change]] * 4 == [each["flags"] for each in told]

    async def test_pages(self, apis):
        """
        A stream that one node has named is served by the other; who is told asks either.
        """
        context = {"targetingKey": "anna", "groups": {"company": "acme"}}
        async with aiohttp.ClientSession() as session:
            uri, etag = await asked(session, apis[0], context)
            async with session.get(URL(apis[1].url + uri, encoded=True)) as response:
                reader = EventReader(response)
                assert etag == await reader.started()
                await asyncio.to_thread(write, apis[0], "gold")
                event = await reader.next()
            for node in apis:
                _, after = await asked(session, node, context, known=etag, told=event.data["etag"])
                assert event.id == after != etag


def explained(node, as_of):
    """Ask why the flag is on for the company, or off; returns its value, and the plan it saw."""
    body = {
        "flag_key": FLAG,
        "distinct_id": "user-1",
        "groups": {"company": "acme"},
        "as_of": as_of,
    }
    found = node.api("POST", "flags/explain/", body)
    (condition,) = found["conditions"]
    (test,) = condition["filters"]
    return found["value"], test["seen"]


async def asked(session, node, context, known="", told=""):
    """Ask for all flags as a page does; returns the address of its stream, and the tag."""
    async with session.post(
        f"{node.url}{PATH}?flagConfigEtag={told}",
        json={"context": context},
        headers={"Authorization": f"Bearer {node.token}", "If-None-Match": f'"{known}"'},
    ) as answer:
        (stream,) = (await answer.json())["eventStreams"]
        return stream["endpoint"]["requestUri"], answer.headers["ETag"].strip('"')


class TestKeys:
    async def test_known_to_all(self, apis):
        """
        A key that one node has made opens the project at the other, and nothing at either once it
        is revoked.
        """
        one, other = apis
        wanted = {"label": "tests", "scopes": ["flags:read"]}
        made = one.api("POST", "keys/", wanted)
        until(lambda: status(other, made["secret"]) == 200)
        assert 200 == status(one, made["secret"])

        other.api("DELETE", f"keys/{made['id']}/")

        assert 401 == status(other, made["secret"])
        until(lambda: status(one, made["secret"]) == 401)

    async def test_projects_at_once(self, apis):
        """
        Nodes that make projects at the same time make different ones, which both come to know.
        """
        made = await asyncio.gather(
            *(asyncio.to_thread(make_project, node) for _ in range(4) for node in apis)
        )

        assert set(range(2, 10)) == {each["id"] for each in made}
        for node in apis:
            until(lambda node=node: len(projects(node)) == 9)
        assert [projects(apis[0])] == [projects(apis[1])]


def status(node, secret):
    """What a node answers who presents a key."""
    headers = {"Authorization": f"Bearer {secret}"}
    return node.request("GET", "/api/projects/@current/feature_flags/", headers=headers).status


def make_project(node):
    """Make a project with the operator's key."""
    headers = {"Authorization": f"Bearer {node.secret_key}"}
    answer = node.request("POST", "/api/projects/", {"name": "x"}, headers)
    assert answer.status == 201, answer
    return answer.body


def projects(node):
    """The tokens of all projects, by number."""
    headers = {"Authorization": f"Bearer {node.secret_key}"}
    listed = node.request("GET", "/api/projects/", headers=headers).body["results"]
    return {each["id"]: each["api_token"] for each in listed}
