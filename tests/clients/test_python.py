"""posthog-python: events with groups in, flags out, evaluated by the server or by itself."""

import uuid

import pytest
from posthog import CaptureMode, Posthog

from flagstream.state.events import EventRecord
from flagstream.topics import Topic
from tests.crash.stored import stored_records
from tests.filters import group_filters
from tests.waiting import until

FLAG = "enterprise-only"
KEYS = [f"org:{number}" for number in range(1_000)]
ACME = {"organization": "acme"}


@pytest.fixture
def make_client(server):
    """Make clients; what one has queued is sent when the test flushes it."""
    clients = []

    def make(**options):
        clients.append(
            Posthog(server.token, host=server.url, enable_exception_autocapture=False, **options)
        )
        return clients[-1]

    yield make

    for client in clients:
        client.shutdown()


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture
def flag(server):
    """A flag for the organizations on the enterprise plan."""
    server.set_group("organization", "initech", plan="free")
    server.create_flag(FLAG, group_filters(plan="enterprise"))
    return FLAG


class TestEvents:
    @pytest.mark.parametrize("is_gzipped", [False, True])
    def test_group_identify(self, server, make_client, flag, is_gzipped):
        """
        Properties that were sent, gzipped or not, decide the next answer.
        """
        client = make_client(gzip=is_gzipped)
        client.group_identify("organization", "acme", {"plan": "enterprise"})
        client.flush()

        until(lambda: server.flags("user-1", ACME)[flag]["enabled"])
        assert client.evaluate_flags("user-1", groups=ACME).is_enabled(flag)

    @pytest.mark.parametrize("compression", ["none", "gzip", "deflate", "zstd"])
    def test_capture_v1(self, server, make_client, flag, compression):
        """
        So do those that were sent by the newer protocol, however compressed.
        """
        client = make_client(capture_mode=CaptureMode.V1, capture_compression=compression)
        assert compression == client.capture_compression.value
        client.group_identify("organization", "acme", {"plan": "enterprise"})
        client.flush()

        until(lambda: server.flags("user-1", ACME)[flag]["enabled"])

    def test_first_sight(self, server, client):
        """
        A group is known from the first event that names it.
        """
        client.capture("paid", distinct_id="user-1", groups=ACME)
        client.flush()

        assert {"acme"} == until(server.group_keys)

    def test_number_keys(self, server, client, flag):
        """
        Number 5 and text "5" name one group.
        """
        client.group_identify("organization", 5, {"plan": "enterprise"})
        client.flush()

        until(lambda: server.flags("user-1", {"organization": "5"})[flag]["enabled"])
        assert client.evaluate_flags("user-1", groups={"organization": 5}).is_enabled(flag)
        assert client.evaluate_flags("user-1", groups={"organization": "5"}).is_enabled(flag)

    def test_backend_moves_nobody(self, server, client, flag):
        """
        An event of a backend counts for its group, and does not make it the user's active one.
        """
        client.group_identify("organization", "acme", {"plan": "enterprise"})
        client.capture("invoiced", distinct_id="user-1", groups=ACME)
        client.flush()

        until(lambda: server.flags("user-1", ACME)[flag]["enabled"])
        assert "no_group_type" == server.flags("user-1")[flag]["reason"]["code"]

    async def test_contractor(self, server, client):
        """
        Who works for three organizations is in each; an event counts for the one that it carries.
        """
        worked = {"acme": 3, "globex": 2, "initech": 1}
        sent = {
            str(uuid.uuid4()): {"organization": key}
            for key, times in worked.items()
            for _ in range(times)
        }
        sent[str(uuid.uuid4())] = {}
        for event_uuid, groups in sent.items():
            client.capture("worked", distinct_id="contractor", groups=groups, uuid=event_uuid)
        client.flush()
        until(lambda: worked.keys() == server.group_keys())
        assert 0 == server.terminate()

        records = await stored_records(server.data_dir, Topic.EVENTS)

        events = [EventRecord.from_bytes(record.value) for record in records]
        assert sent == {event.uuid: event.groups for event in events}


class TestFlags:
    def test_all(self, server, client, flag):
        """
        All flags come with the variants and payloads that the server answers.
        """
        server.create_flag(
            "split",
            {
                **group_filters(),
                "multivariate": {"variants": [{"key": "blue", "rollout_percentage": 100}]},
                "payloads": {"blue": '{"a": 1}'},
            },
        )

        flags = client.evaluate_flags("user-1", groups=ACME)

        assert {flag: False, "split": "blue"} == {key: flags.get_flag(key) for key in flags.keys}
        assert {"a": 1} == flags.get_flag_payload("split")

    @pytest.mark.filterwarnings("ignore:.get_feature_flag. is deprecated")
    def test_older_call(self, client, flag):
        """
        The call that most products still make answers the same.
        """
        client.group_identify("organization", "acme", {"plan": "enterprise"})
        client.flush()

        until(lambda: client.get_feature_flag(flag, "user-1", groups=ACME))
        assert not client.get_feature_flag(flag, "user-1", groups={"organization": "initech"})


class TestCohorts:
    def test_of_groups(self, server, client):
        """
        A flag for a cohort of organizations, some listed and some by a rule, is theirs alone.
        """
        server.set_group("organization", "acme", seats=200)
        server.set_group("organization", "globex", seats=3)
        large = {"key": "seats", "type": "group", "operator": "gte", "value": 100}
        partners = server.api(
            "POST",
            "cohorts/",
            {"name": "Partners", "group_type_index": 0, "is_static": True, "members": ["initech"]},
        )
        listed = {"key": "id", "type": "cohort", "operator": "in", "value": partners["id"]}
        rules = {"type": "OR", "values": [{"type": "OR", "values": [large, listed]}]}
        pilots = server.api(
            "POST",
            "cohorts/",
            {"name": "Pilots", "group_type_index": 0, "filters": {"properties": rules}},
        )
        test = {"key": "id", "type": "cohort", "operator": "in", "value": pilots["id"]}
        filters = {"aggregation_group_type_index": 0, "groups": [{"properties": [test]}]}
        server.create_flag("pilot", filters)

        expected = {"acme": True, "globex": False, "initech": True, "umbrella": False}
        assert expected == {
            key: client.evaluate_flags("user-1", groups={"organization": key}).is_enabled("pilot")
            for key in expected
        }


class TestLocalEvaluation:
    @pytest.fixture
    def local_client(self, server, make_client):
        """Make a client that holds the definitions there are."""

        def make():
            client = make_client(secret_key=server.secret_key)
            client.load_feature_flags()
            return client

        return make

    def results(self, client, keys, **options):
        snapshots = [
            client.evaluate_flags("user-1", groups={"organization": key}, **options) for key in keys
        ]
        return [flags.get_flag("half") if "half" in flags.keys else None for flags in snapshots]

    def test_agrees(self, server, local_client):
        """
        A sha1 flag that posthog-python evaluates by itself is what the server says, 1,000 times.
        """
        server.set_group("organization", "initech")
        server.create_flag("half", group_filters(50), bucketing="sha1")

        local = self.results(local_client(), KEYS, only_evaluate_locally=True)

        asked = [server.flags("user-1", {"organization": key})["half"]["enabled"] for key in KEYS]
        assert asked == local
        assert 400 < sum(asked) < 600

    def test_falls_back(self, server, local_client):
        """
        A murmur3 flag with a split is left to the server, so that nobody disagrees with it.
        """
        server.set_group("organization", "initech")
        server.create_flag("half", group_filters(50), bucketing="murmur3")
        client, keys = local_client(), KEYS[:50]

        local = self.results(client, keys, only_evaluate_locally=True)
        asked = self.results(client, keys)

        assert [None] * 50 == local
        assert asked == [
            server.flags("user-1", {"organization": key})["half"]["enabled"] for key in keys
        ]
