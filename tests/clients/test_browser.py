"""posthog-js in a real browser: everyone in a group sees the same thing, from the first load on."""

import json

import pytest

from tests.filters import group_filters
from tests.waiting import until

ACME, GLOBEX = "acme", "globex"
FLAG = "enterprise-only"
LOADS = 50
# Each load of such a page knows who the user is, and nothing of what was said before.
FORGETFUL = {
    "persistence": "memory",
    "bootstrap": {"distinctID": "user-1", "isIdentifiedID": True},
}


@pytest.fixture
def flag(server):
    """A flag for the organizations on the enterprise plan."""
    server.set_group("organization", "initech", plan="free")
    server.create_flag(FLAG, group_filters(plan="enterprise"))
    return FLAG


@pytest.fixture
def half(server, tmp_path):
    """Fifty flags, each for half of the organizations; applied as an operator would."""
    server.set_group("organization", "initech", plan="free")
    keys = [f"half-{number}" for number in range(50)]
    file = tmp_path / "half.json"
    file.write_text(json.dumps([{"key": key, "filters": group_filters(50)} for key in keys]))
    applied = server.cli("apply", file)
    assert 0 == applied.returncode, applied.stderr
    return keys


@pytest.fixture
def remembered(server, visit, flag):
    """A user whose earlier visit named an organization on the enterprise plan."""
    visitor = visit(**FORGETFUL)
    visitor.load()
    visitor.call("group", "organization", ACME, {"plan": "enterprise"})
    until(lambda: server.flags("user-1")[flag]["enabled"])


def values(flags, keys):
    return [flags[key]["enabled"] for key in keys]


class TestGroup:
    def test_group_property(self, server, visit, flag):
        """
        A property that the page gives its group decides a flag, in the page and for everyone.
        """
        visitor = visit()
        before = visitor.load()
        visitor.call_for_flags("identify", "user-1")
        answer = visitor.call_for_flags("group", "organization", ACME, {"plan": "enterprise"})
        visitor.wait_flag(flag, True)  # noqa: FBT003 -- the flag's value

        assert "no_group_type" == before.flags[flag]["reason"]["code"]
        assert "condition_match" == answer.flags[flag]["reason"]["code"]
        until(lambda: server.flags("somebody", {"organization": ACME})[flag]["enabled"])

    def test_same_for_everyone(self, server, visit, half):
        """
        Two users in two browsers, who are in the same organization, see the same fifty flags.
        """
        answers = []
        for user in ("user-1", "user-2"):
            visitor = visit()
            visitor.load()
            visitor.call_for_flags("identify", user)
            answers.append(visitor.call_for_flags("group", "organization", ACME).flags)

        one, other = (values(flags, half) for flags in answers)
        assert one == other
        assert {True, False} == set(one)

    def test_switch(self, server, visit, half):
        """
        Who goes on in another organization sees what that organization sees, and nothing else.
        """
        visitor = visit()
        visitor.load()
        visitor.call_for_flags("identify", "user-1")
        acme = visitor.call_for_flags("group", "organization", ACME).flags
        globex = visitor.call_for_flags("group", "organization", GLOBEX).flags

        expected = {
            key: values(server.flags("nobody", {"organization": key}), half)
            for key in (ACME, GLOBEX)
        }
        assert expected == {ACME: values(acme, half), GLOBEX: values(globex, half)}
        assert expected[ACME] != expected[GLOBEX]

    def test_reset(self, visit, flag):
        """
        After reset() the browser is nobody's, and the organization's flags are off.
        """
        visitor = visit()
        visitor.load()
        visitor.call_for_flags("identify", "user-1")
        visitor.call_for_flags("group", "organization", ACME, {"plan": "enterprise"})
        visitor.wait_flag(flag, True)  # noqa: FBT003 -- the flag's value
        visitor.call("reset")

        answer = visitor.call_for_flags("reloadFeatureFlags")

        assert not answer.request.get("groups")
        assert "no_group_type" == answer.flags[flag]["reason"]["code"]
        visitor.wait_flag(flag, False)  # noqa: FBT003 -- the flag's value

    def test_second_tab(self, visit, half):
        """
        A second tab is in the same organization from its first answer on.
        """
        visitor = visit()
        visitor.load()
        visitor.call_for_flags("identify", "user-1")
        first = visitor.call_for_flags("group", "organization", ACME)

        second = visitor.new_tab()

        assert {"organization": ACME} == second.request["groups"]
        assert values(first.flags, half) == values(second.flags, half)


@pytest.mark.usefixtures("remembered")
class TestAskedBeforeGroup:
    def test_hard_refresh(self, visit, flag):
        """
        A page that asks for flags before it has called group() gets the group's, each of 50 times.
        """
        visitor = visit(**FORGETFUL)

        answers = [visitor.load()]
        answers += [visitor.hard_refresh() for _ in range(LOADS - 1)]

        assert [{}] * LOADS == [answer.request.get("groups", {}) for answer in answers]
        reasons = [answer.flags[flag]["reason"]["code"] for answer in answers]
        assert ["condition_match"] * LOADS == reasons

    def test_no_flicker(self, visit, flag):
        """
        The page sees the same value before and after it has called group().
        """
        visitor = visit(**FORGETFUL)
        before = visitor.load()
        after = visitor.call_for_flags("group", "organization", ACME)

        assert before.flags[flag]["enabled"]
        assert before.flags[flag] == after.flags[flag]

    def test_second_device(self, visit, flag):
        """
        A device that the user signs in on for the first time knows the user's organization.
        """
        visitor = visit()
        before = visitor.load()
        after = visitor.call_for_flags("identify", "user-1")

        assert "no_group_type" == before.flags[flag]["reason"]["code"]
        assert not after.request.get("groups")
        assert "condition_match" == after.flags[flag]["reason"]["code"]

    def test_without_memory(self, server, visit, flag):
        """
        What the memory is worth: the same page on a project without it is always told "off".
        """
        server.api("PATCH", "", {"remember_active_groups": False})
        visitor = visit(**FORGETFUL)

        answers = [visitor.load()]
        answers += [visitor.hard_refresh() for _ in range(4)]

        reasons = [answer.flags[flag]["reason"]["code"] for answer in answers]
        assert ["no_group_type"] * 5 == reasons

    def test_stays_with_the_user(self, visit, flag):
        """
        Who signs in after the user on the same device is not shown the user's organization.
        """
        visitor = visit()
        visitor.load()
        visitor.call_for_flags("identify", "user-1")
        visitor.call_for_flags("group", "organization", ACME)
        visitor.call("reset")

        answer = visitor.call_for_flags("identify", "user-2")

        assert "no_group_type" == answer.flags[flag]["reason"]["code"]


class TestContinuity:
    def test_login_moves_nobody(self, server, visit):
        """
        Who logs in stays on the side of fifty flags where they were, also in the next browser.
        """
        keys = [f"sticky-{number}" for number in range(50)]
        for key in keys:
            server.create_flag(
                key,
                {"groups": [{"rollout_percentage": 50}]},
                bucketing="sha1",
                ensure_experience_continuity=True,
            )
        visitor = visit()
        before = visitor.load()
        answer = visitor.call_for_flags("identify", "user-1")
        elsewhere = visit(bootstrap={"distinctID": "user-1", "isIdentifiedID": True}).load()

        assert before.request["distinct_id"] == answer.request["$anon_distinct_id"]
        expected = values(before.flags, keys)
        assert {True, False} == set(expected)
        assert expected == values(answer.flags, keys)
        assert expected == values(elsewhere.flags, keys)
