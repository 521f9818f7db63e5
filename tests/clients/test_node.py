"""posthog-node: events with groups in, flags out, evaluated by the server or by itself."""

import pytest

from tests.clients.programs import run
from tests.clients.versions import NODE
from tests.filters import group_filters
from tests.waiting import until

FLAG = "enterprise-only"
KEYS = [f"org:{number}" for number in range(1_000)]
ACME = {"organization": "acme"}


TODAY, *OLD = NODE
every_version = pytest.mark.parametrize("node", NODE, indirect=True)


@pytest.fixture
def node(server, request):
    """Run calls of posthog-node, of today if nothing else is said; returns what they returned."""

    def node(*calls, **options):
        script = {"token": server.token, "options": {"host": server.url, **options}, "calls": calls}
        return run(getattr(request, "param", TODAY), "client", script)

    return node


@pytest.fixture
def flag(server):
    """A flag for the organizations on the enterprise plan."""
    server.set_group("organization", "initech", plan="free")
    server.create_flag(FLAG, group_filters(plan="enterprise"))
    return FLAG


def identify(key, **properties):
    return [
        "groupIdentify",
        {"groupType": "organization", "groupKey": key, "properties": properties},
    ]


class TestEvents:
    @pytest.mark.parametrize("compression", [True, False])
    def test_group_identify(self, server, node, flag, compression):
        """
        Properties that were sent, gzipped or not, decide the next answer.
        """
        node(identify("acme", plan="enterprise"), disableCompression=not compression)

        until(lambda: server.flags("user-1", ACME)[flag]["enabled"])
        assert [True] == node(["isFeatureEnabled", flag, "user-1", {"groups": ACME}])

    @every_version
    def test_first_sight(self, server, node):
        """
        A group is known from the first event that names it.
        """
        node(["capture", {"distinctId": "user-1", "event": "paid", "groups": ACME}])

        assert {"acme"} == until(server.group_keys)

    @every_version
    def test_number_keys(self, server, node, flag):
        """
        Number 5 and text "5" name one group.
        """
        node(identify(5, plan="enterprise"))

        until(lambda: server.flags("user-1", {"organization": "5"})[flag]["enabled"])
        assert [True, True] == node(
            *(
                ["isFeatureEnabled", flag, "user-1", {"groups": {"organization": key}}]
                for key in (5, "5")
            )
        )


class TestFlags:
    def test_all(self, server, node, flag):
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

        answer, values = node(
            ["getAllFlagsAndPayloads", "user-1", {"groups": ACME}],
            ["evaluateFlags", "user-1", {"groups": ACME}],
        )

        assert {flag: False, "split": "blue"} == values == answer["featureFlags"]
        assert {"split": {"a": 1}} == answer["featureFlagPayloads"]


class TestLocalEvaluation:
    def results(self, server, node, flag, keys, **options):
        calls = [
            [
                "getFeatureFlag",
                flag,
                "user-1",
                {"groups": {"organization": key}, "sendFeatureFlagEvents": False, **options},
            ]
            for key in keys
        ]
        _, *results = node(
            ["reloadFeatureFlags"],
            *calls,
            personalApiKey=server.secret_key,
            enableLocalEvaluation=True,
        )
        return results

    def test_agrees(self, server, node):
        """
        A sha1 flag that posthog-node evaluates by itself is what the server says, 1,000 times.
        """
        server.set_group("organization", "initech")
        server.create_flag("half", group_filters(50), bucketing="sha1")

        local = self.results(server, node, "half", KEYS, onlyEvaluateLocally=True)

        asked = [server.flags("user-1", {"organization": key})["half"]["enabled"] for key in KEYS]
        assert asked == local
        assert 400 < sum(asked) < 600

    @pytest.mark.parametrize(
        ("node", "bucketing"),
        [(TODAY, "murmur3"), *((client, "sha1") for client in OLD)],
        indirect=["node"],
    )
    def test_falls_back(self, server, node, bucketing):
        """
        A murmur3 flag with a split is left to the server; by an old version all of groups are.
        """
        server.set_group("organization", "initech")
        server.create_flag("half", group_filters(50), bucketing=bucketing)
        keys = KEYS[:50]

        local = self.results(server, node, "half", keys, onlyEvaluateLocally=True)
        asked = self.results(server, node, "half", keys)

        assert [None] * 50 == local
        assert asked == [
            server.flags("user-1", {"organization": key})["half"]["enabled"] for key in keys
        ]
