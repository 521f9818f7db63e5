"""``flagstream topics migrate`` on a real Kafka."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from flagstream.errors import LogLayoutError
from flagstream.ports import Append
from flagstream.settings import Settings
from flagstream.state.groups import GroupUpdate
from flagstream.state.sessions import SessionUpdate
from flagstream.topics import Table, Topic, record_key, topic_specs
from flagstream.transport.kafka import KafkaSink
from flagstream.transport.kafka_admin import administering
from flagstream.transport.kafka_connection import connection
from flagstream.transport.kafka_layout import META
from flagstream.transport.kafka_topics import create_topics
from tests.filters import group_filters
from tests.server import TOKEN
from tests.waiting import until

pytestmark = pytest.mark.broker
FLAG = "gold-only"
GONE_S = 15.0
KEYS = [f"acme-{number}" for number in range(6)]
# In front of what a migration is killed, one after the other.
KILLS = {
    "the lock": "send:1",
    "the copy": "delete_topics:1",
    "its end": "delete_topics:1,send:9",
    "the point of no return": "delete_topics:2",
    "the new topics": "delete_topics:1,create_topics:1",
    "their end": "delete_topics:1,create_topics:1,send:9",
    "the cleaning": "delete_topics:1,create_topics:1,delete_topics:1",
    "the last word": "delete_topics:1,send:1",
}


@pytest.fixture
def server(kafka, make_server):
    """A server that has stopped: on two partitions, with groups and a flag."""
    server = make_server(broker_url=kafka.url, partitions=2)
    server.start()
    server.create_flag(FLAG, group_filters(plan="gold"))
    for key in KEYS:
        server.set_group("company", key, plan="free", name=key)
    until(lambda: set(KEYS) == server.group_keys())
    assert 0 == server.terminate()
    return server


def settings_of(server):
    return Settings(
        broker_url=server.environment["FLAGSTREAM_BROKER_URL"],
        partitions=int(server.environment["FLAGSTREAM_PARTITIONS"]),
    )


async def accept(server):
    """
    Append records that no worker folds: plans and a new group, a property that is removed, a
    session that is expired, and one that cannot be folded.
    """

    def group(key, **members):
        key = record_key(1, "company", key)
        return Append(Topic.GROUP_UPDATES, key, GroupUpdate(time_ms=1, **members).to_bytes())

    def session(**members):
        key = record_key(1, "session")
        return Append(Topic.SESSION_UPDATES, key, SessionUpdate(time_ms=1, **members).to_bytes())

    appends = [
        *(group(key, set={"plan": "gold"}) for key in KEYS[:3]),
        group("late", set={"plan": "gold"}),
        group(KEYS[5], unset=["name"]),
        session(distinct_id="user", groups={"company": "late"}),
        session(is_expiry=True),
        Append(Topic.GROUP_UPDATES, record_key(1, "company", "poison"), b"{"),
        Append(Topic.EVENTS, record_key(1, "user"), b"an event"),
    ]
    settings = settings_of(server)
    async with KafkaSink(connection(settings), settings.partitions) as sink:
        await sink.append(appends)


EXPECTED = {
    **{key: {"plan": "gold", "name": key} for key in KEYS[:3]},
    **{key: {"plan": "free", "name": key} for key in KEYS[3:5]},
    KEYS[5]: {"plan": "free"},
    "late": {"plan": "gold"},
}


def migrate(server, partitions):
    server.environment["FLAGSTREAM_PARTITIONS"] = str(partitions)
    migrated = server.cli("topics", "migrate")
    assert 0 == migrated.returncode, migrated.stdout + migrated.stderr
    return migrated.stdout.strip()


def killed(server, way):
    """Begin a migration that is killed on its way."""
    program = [sys.executable, "-m", "tests.broker.killed", way, "topics", "migrate"]
    return subprocess.run(program, env=server.environment, check=False).returncode


def accepted_until_gone(server):
    """Count in a group's property until the server is gone; yields what was accepted."""
    for number in count():
        properties = {"$group_type": "company", "$group_key": "counted"}
        properties["$group_set"] = {"number": number}
        event = {"event": "$groupidentify", "distinct_id": "user", "properties": properties}
        try:
            answer = server.request("POST", "/capture/", {"api_key": TOKEN, **event})
        except OSError:
            return
        if answer.status == 200:
            yield number


def check(server):
    """Everything acknowledged is there, later updates win, and all copies agree."""
    server.start()
    assert EXPECTED == {key: server.group("company", key) for key in server.group_keys()}
    assert [True, False] == [
        server.flags("user", {"company": key})[FLAG]["enabled"] for key in ("late", KEYS[5])
    ]
    assert ["flagstream.group-updates"] == [
        letter["topic"] for letter in server.api("GET", "dead_letters/")["results"]
    ]
    for plan in ("free", "gold"):
        server.set_group("company", "late", plan=plan)
        assert {"plan": plan} == server.group("company", "late")
    assert 0 == server.terminate()
    verified = server.cli("verify")
    assert 0 == verified.returncode, verified.stdout + verified.stderr


class TestMigrate:
    async def test_more_and_less(self, server):
        """
        Two partitions become five and then three. Everything that was acknowledged is there, folded
        before or not, removed properties stay removed, later updates win, and all copies agree.
        """
        await accept(server)

        assert "partitions: 5, epoch: 1" == migrate(server, 5)
        check(server)
        assert "partitions: 3, epoch: 2" == migrate(server, 3)
        check(server)

    async def test_kills(self, server):
        """
        Wherever a migration is killed, no node starts before it has been called again and has
        finished; then nothing is lost.
        """
        await accept(server)
        server.environment["FLAGSTREAM_PARTITIONS"] = "3"

        for where, way in KILLS.items():
            assert -signal.SIGKILL == killed(server, way), where
            if where != "the lock":
                with pytest.raises(LogLayoutError, match=r"not finished: .*topics migrate"):
                    await create_topics(settings_of(server))

        assert "partitions: 3, epoch: 1" == migrate(server, 3)
        check(server)

    @pytest.mark.parametrize(
        ("lost", "epoch"),
        [
            ([table.source for table in Table], 2),
            ([table.changelog for table in Table], 1),
            ([META.name], 2),
        ],
        ids=["sources", "changelogs", "the layout"],
    )
    async def test_topics_made_anew(self, server, lost, epoch):
        """
        When sources are lost, what is written from then on wins over all states from before; when
        changelogs are, the states are those of the sources; when it is not known any more which
        topics they follow from, both.
        """
        async with administering(settings_of(server)) as admin:
            await admin.delete(lost)
            await admin.create(tuple(topic_specs(2)))
        await accept(server)

        assert f"partitions: 2, epoch: {epoch}" == migrate(server, 2)
        check(server)

    async def test_workers_run(self, server):
        """
        While a worker runs, nothing is touched.
        """
        server.start()

        refused = server.cli("topics", "migrate", "--partitions", "5")

        assert 1 == refused.returncode
        assert "1 workers run" in refused.stderr
        assert 0 == server.terminate()
        server.start()

    def test_an_api_node_runs(self, server, make_server):
        """
        An API node that was forgotten ends before anything is replaced. If it has accepted changes
        meanwhile, the migration has to be called again, and none of them is lost.
        """
        settings = settings_of(server)
        url, partitions = settings.broker_url, settings.partitions
        api = make_server(broker_url=url, partitions=partitions, role="api")
        api.start()

        with ThreadPoolExecutor() as pool:
            migrating = pool.submit(server.cli, "topics", "migrate", "--partitions", "3")
            accepted = list(accepted_until_gone(api))
        if migrating.result().returncode:
            assert "Somebody wrote meanwhile" in migrating.result().stderr
            migrate(server, 3)

        assert 1 == until(api.process.poll, GONE_S)
        assert "A migration of the topics has begun" in api.log.read_text()
        server.environment["FLAGSTREAM_PARTITIONS"] = "3"
        server.start()
        assert {"number": accepted[-1]} == server.group("company", "counted")
        assert 0 == server.terminate()
