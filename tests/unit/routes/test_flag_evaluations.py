"""What flags answer to one user, and whom a condition would reach."""

import json
from urllib.parse import urlencode

import pytest

from tests.fakes.views import PROJECT

from .asking import ROOT, get, send
from .test_flags import flag_row

FLAGS = f"{ROOT}/feature_flags"
VALUES, REASONS, REACH = (
    f"{FLAGS}/{name}/" for name in ("my_flags", "evaluation_reasons", "user_blast_radius")
)
PLAN = {"key": "plan", "value": "pro"}
TYPE = "aggregation_group_type_index"
VARIANTS = {"multivariate": {"variants": [{"key": "a", "rollout_percentage": 100}]}}


def query(distinct_id="anna", **groups):
    return "?" + urlencode({"distinct_id": distinct_id, "groups": json.dumps(groups)})


@pytest.fixture
def flags(world):
    """Flags of a group, of a person, and of nobody."""
    world.view.set_group("company", "acme", plan="pro")
    world.view.set_person("anna", plan="pro")
    world.catalog.set_flag(flag_row("of-group", flag_id=1, test=PLAN))
    members = {"filters": VARIANTS, "evaluation_runtime": "server", "evaluation_contexts": ["x"]}
    world.catalog.set_flag(flag_row("of-person", flag_id=2, test=PLAN, group=False, **members))
    world.catalog.set_flag(flag_row("off", flag_id=3, active=False))
    world.catalog.set_flag(flag_row("gone", flag_id=4, deleted=True))


class TestValues:
    async def test_flags_with_their_values(self, client, flags):
        """
        Each active flag is shown as it is defined, with its value, whoever may see it.
        """
        answer = await get(client, VALUES + query(company="acme"))

        assert [("of-group", 1, True), ("of-person", 2, "a")] == [
            (each["feature_flag"]["key"], each["feature_flag"]["id"], each["value"])
            for each in answer
        ]
        assert "filters" in answer[0]["feature_flag"]

    @pytest.mark.parametrize(
        ("asked", "values"),
        [
            ("?distinct_id=anna", [False, "a"]),
            ("?distinct_id=bert&groups=", [False, False]),
            (query("bert", company="acme"), [True, False]),
            (query("bert", company=5, unknown="x"), [False, False]),
        ],
    )
    async def test_of_whom(self, client, flags, asked, values):
        """
        Values are those of the user and the groups that are named.
        """
        assert values == [each["value"] for each in await get(client, VALUES + asked)]

    async def test_remembered_groups(self, client, world, flags):
        """
        Groups that are not named are those that the user acted for last, as in `/flags`.
        """
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}

        assert [True, "a"] == [
            each["value"] for each in await get(client, f"{VALUES}?distinct_id=anna")
        ]

    @pytest.mark.parametrize("path", [VALUES, REASONS])
    @pytest.mark.parametrize(
        ("asked", "attr"),
        [
            ("", "distinct_id"),
            ("?distinct_id=", "distinct_id"),
            ("?distinct_id=a&groups=x", "groups"),
            ("?distinct_id=a&groups=[]", "groups"),
            (query(company="x" * 401), "groups"),
        ],
    )
    async def test_refused(self, client, path, asked, attr):
        """
        Whoever it is about has to be said.
        """
        assert attr == (await get(client, path + asked, 400))["attr"]


class TestReasons:
    async def test_each_with_its_reason(self, client, flags):
        """
        Each flag says what it is and why, those that are off as well.
        """
        answer = await get(client, REASONS + query(company="other"))

        assert {
            "of-group": {
                "value": False,
                "evaluation": {
                    "reason": "no_condition_match",
                    "condition_index": 0,
                    "description": "No matching condition set",
                },
            },
            "of-person": {
                "value": "a",
                "evaluation": {
                    "reason": "condition_match",
                    "condition_index": 0,
                    "description": "Matched condition set 1",
                },
            },
            "off": {
                "value": False,
                "evaluation": {
                    "reason": "flag_disabled",
                    "condition_index": None,
                    "description": "Feature flag is disabled",
                },
            },
        } == answer


def of_group(key="plan", value="pro", **members):
    return {"key": key, "type": "group", "group_type_index": 0, "value": value, **members}


def of_person(key="plan", value="pro", **members):
    return {"key": key, "type": "person", "value": value, **members}


async def reach(client, *tests, index=0, expected=200, **members):
    condition = {"properties": list(tests), **members}
    body = {"condition": condition, "group_type_index": index}
    return await send(client, "POST", REACH, body, expected)


async def counts(client, *tests, index=0, **members):
    answer = await reach(client, *tests, index=index, **members)
    assert answer["is_complete"]
    assert (answer["affected"], answer["total"]) == (
        answer["users_affected"],
        answer["total_users"],
    )
    return answer["affected"], answer["total"]


@pytest.fixture
def companies(world):
    """Four groups of a type, and one of another."""
    for key, plan in [("a", "pro"), ("b", "pro"), ("c", "free"), ("d", None)]:
        world.view.set_group("company", key, **({} if plan is None else {"plan": plan}))
    world.view.set_group("project", "p", plan="pro")


class TestReach:
    async def test_groups(self, client, companies):
        """
        A condition on groups counts those of the type that it matches, of all there are.
        """
        assert (2, 4) == await counts(client, of_group())
        assert (1, 1) == await counts(client, of_group(group_type_index=1), index=1)
        assert (2, 4) == await counts(client, of_group(), **{TYPE: 0})

    @pytest.mark.parametrize(
        ("tests", "affected"),
        [
            ([], 4),
            ([of_group(operator="is_not")], 2),
            ([of_group(operator="is_set", value=None)], 3),
            ([of_group("$group_key", ["a", "d"])], 2),
            ([of_group("created", "2020-01-01", operator="is_date_after")], 0),
        ],
    )
    async def test_by_the_engine(self, client, companies, tests, affected):
        """
        Filters are judged as those of a flag are.
        """
        assert (affected, 4) == await counts(client, *tests)

    @pytest.mark.parametrize(
        "members", [{"rollout_percentage": 0}, {"rollout_percentage": 50}, {"variant": "a"}]
    )
    async def test_rollout_does_not_count(self, client, companies, members):
        """
        Whom a rollout lets in follows from the flag's key, which nobody has named.
        """
        assert (2, 4) == await counts(client, of_group(), **members)

    async def test_persons(self, client, world):
        """
        A condition on persons counts persons, each once.
        """
        world.view.set_person("anna", plan="pro")
        world.view.set_person("bert", plan="free")

        assert (1, 2) == await counts(client, of_person(), index=None)
        assert (2, 2) == await counts(client, index=None)
        answer = await send(client, "POST", REACH, {"condition": {}})
        assert (2, 2) == (answer["affected"], answer["total"])

    async def test_cohorts_and_flags(self, client, companies):
        """
        A condition may name cohorts, and flags, of the same groups.
        """
        body = {"name": "Some", "is_static": True, "members": ["a", "x"], "group_type_index": 0}
        cohort = await send(client, "POST", f"{ROOT}/cohorts/", body, 201)
        filters = flag_row("pro", test=PLAN)["filters"]
        flag = await send(client, "POST", f"{FLAGS}/", {"key": "_", "filters": filters}, 201)
        in_cohort = {"key": "id", "type": "cohort", "value": cohort["id"]}
        is_on = {
            "key": str(flag["id"]),
            "type": "flag",
            "operator": "flag_evaluates_to",
            "value": True,
        }

        assert (1, 4) == await counts(client, in_cohort)
        assert (2, 4) == await counts(client, is_on)
        # Nothing of it is among the flags.
        assert ["_"] == [row["key"] for row in (await get(client, f"{FLAGS}/"))["results"]]

    @pytest.mark.parametrize(
        ("index", "tests", "attr"),
        [
            (0, [of_person()], "condition"),
            (None, [of_group()], "condition"),
            (0, [of_group(group_type_index=1)], "condition"),
            (5, [], "group_type_index"),
            (True, [], "group_type_index"),
            ("0", [], "group_type_index"),
            (0, [of_group(operator="like")], "$.condition.properties[0].operator"),
            (
                0,
                [{"key": "id", "type": "cohort", "value": 7}],
                "$.condition.properties[0].value",
            ),
        ],
    )
    async def test_refused(self, client, companies, index, tests, attr):
        """
        What cannot be judged of whom is counted is named, as it was sent.
        """
        assert attr == (await reach(client, *tests, index=index, expected=400))["attr"]

    @pytest.mark.parametrize(
        ("body", "status", "attr"),
        [
            ({}, 400, "condition"),
            ({"condition": []}, 400, "condition"),
            ({"condition": {"rollout_percentage": 101}}, 400, "$.condition.rollout_percentage"),
            ({"condition": {}, "group_type_index": 4}, 404, None),
            *(
                ({"condition": {TYPE: own}, "group_type_index": 0}, 400, f"condition.{TYPE}")
                for own in (1, False, {})
            ),
            ([], 400, None),
        ],
    )
    async def test_bad_bodies(self, client, body, status, attr):
        """
        A body that cannot be is refused by name.
        """
        assert attr == (await send(client, "POST", REACH, body, status))["attr"]


class TestKeys:
    @pytest.mark.parametrize(
        ("method", "path"), [("GET", VALUES), ("GET", REASONS), ("POST", REACH)]
    )
    async def test_needs_the_secret_key(self, client, method, path):
        """
        The public token learns nothing of whom flags are for.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.request(method, path, headers=headers, json={})).status
