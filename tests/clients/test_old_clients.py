"""Older posthog-python and posthog-js: events with groups in, flags of groups out."""

import pytest

from tests.clients.programs import run
from tests.clients.versions import BROWSER, PYTHON
from tests.filters import group_filters
from tests.waiting import until

FLAG = "enterprise-only"
ACME = {"organization": "acme"}
OLD_PYTHON = [client for client, path in PYTHON.items() if path is not None]
_, OLD_MODULE = BROWSER.values()
KEYS = [f"org:{number}" for number in range(50)]


@pytest.fixture
def flag(server):
    """A flag for the organizations on the enterprise plan."""
    server.set_group("organization", "initech", plan="free")
    server.create_flag(FLAG, group_filters(plan="enterprise"))
    return FLAG


@pytest.fixture(params=OLD_PYTHON)
def python(server, request):
    """Run calls of posthog-python; returns what they returned, where it was a flag."""

    def python(*calls, **options):
        given = {"host": server.url, **options}
        script = {"token": server.token, "options": given, "calls": calls}
        return run(request.param, "client", script)

    return python


def feature_enabled(flag, key, **options):
    groups = {"organization": key}
    return ["feature_enabled", {"key": flag, "distinct_id": "u", "groups": groups, **options}]


class TestPython:
    def test_events_and_flags(self, server, python, flag):
        """
        Groups and their properties are known from its events, and it is answered by them.
        """
        properties = {"plan": "enterprise"}
        identify = {"group_type": "organization", "group_key": "acme", "properties": properties}
        paid = {"distinct_id": "u", "event": "paid", "groups": {"organization": "globex"}}
        python(["group_identify", identify], ["capture", paid])

        until(lambda: server.flags("u", ACME)[flag]["enabled"])
        assert {"acme", "globex", "initech"} == until(server.group_keys)
        assert [True, False] == python(*(feature_enabled(flag, key) for key in ("acme", "globex")))

    def test_local_evaluation(self, server, python):
        """
        With the secret key it asks about flags of groups, and so is told what others are.
        """
        server.set_group("organization", "initech")
        server.create_flag("half", group_filters(50), bucketing="sha1")

        _, *local = python(
            ["load_feature_flags", {}],
            *(feature_enabled("half", key, only_evaluate_locally=True) for key in KEYS),
            personal_api_key=server.secret_key,
        )
        _, *asked = python(
            ["load_feature_flags", {}],
            *(feature_enabled("half", key) for key in KEYS),
            personal_api_key=server.secret_key,
        )

        assert [None] * len(KEYS) == local
        assert asked == [
            server.flags("u", {"organization": key})["half"]["enabled"] for key in KEYS
        ]


class TestBrowser:
    def test_events_and_flags(self, server, visit, flag):
        """
        A property that the page gives its group decides a flag, in the page and for everyone.
        """
        visitor = visit(OLD_MODULE)
        visitor.open()
        visitor.call("identify", "user-1")
        visitor.call("group", "organization", "acme", {"plan": "enterprise"})

        visitor.wait_flag(flag, True)  # noqa: FBT003 -- the flag's value
        until(lambda: server.flags("somebody", ACME)[flag]["enabled"])

    def test_asked_before_group(self, server, visit, flag):
        """
        It is answered by the group that the user acts for before the page has said which.
        """
        server.set_group("organization", "acme", plan="enterprise")
        first = visit(OLD_MODULE)
        first.open()
        first.call("identify", "user-1")
        first.call("group", "organization", "acme")
        # Of a group without properties it says nothing until there is an event.
        first.call("capture", "opened")
        until(lambda: server.flags("user-1")[flag]["enabled"])

        second = visit(OLD_MODULE, bootstrap={"distinctID": "user-1", "isIdentifiedID": True})
        second.open()

        second.wait_flag(flag, True)  # noqa: FBT003 -- the flag's value
