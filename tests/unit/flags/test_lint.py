"""What is well-formed and yet not what anybody wants."""

import pytest

from flagstream.flags import Definitions, Lint, compile_project, lint, parse_project

TYPES = {"organization": 0, "project": 1}
OTHERS = {
    "on": {"key": "on", "id": 7},
    "off": {"key": "off", "id": 8, "active": False},
}


def person(operator, value=None, key="plan"):
    return {"key": key, "type": "person", "operator": operator, "value": value}


def flag(operator="flag_evaluates_to", *, value=True, key="on"):
    return {"key": key, "type": "flag", "operator": operator, "value": value}


def variants(*shares):
    return {
        "variants": [
            {"key": key, "rollout_percentage": share}
            for key, share in zip("abc", shares, strict=False)
        ]
    }


def lints(filters, *, knows_group_types=True, **members):
    """Look through one flag of a project that has two others; gives paths and messages."""
    row = {"key": "f", "filters": filters, **members}
    definitions = Definitions(flags={**OTHERS, "f": row}, group_types=TYPES)
    project = compile_project(parse_project(definitions))
    found = lint(project.parsed.flags["f"], project, knows_group_types=knows_group_types)
    return [(each.path.removeprefix("$.filters."), each.message) for each in found]


class TestConditions:
    @pytest.mark.parametrize(
        "test",
        [
            person("exact"),
            person("gt", "many"),
            person("lte", [1]),
            person("between", [5, 1]),
            person("is_date_before", "soon"),
            person("is_date_after", 5),
            person("semver_gt", "1.2.3.4"),
            person("semver_wildcard", "1.2"),
            flag("exact"),
            flag(value=None),
            flag(value=5),
        ],
    )
    def test_filters_that_nothing_satisfies(self, test):
        """
        A filter that no value satisfies is named.
        """
        ((path, message),) = lints({"groups": [{"properties": [person("is_set"), test]}]})

        assert "groups[0].properties[1]" == path
        assert message.startswith("the condition can never match: nothing satisfies")

    @pytest.mark.parametrize(
        "tests",
        [
            [person("is_not_set"), person("is_set")],
            [person("is_not_set"), person("exact", "gold")],
            [person("exact", "gold"), person("exact", ["silver", "bronze"])],
            [person("exact", ["gold"]), person("is_not", ["GOLD", "silver"])],
            [person("gt", 5), person("lt", 5)],
            [person("gte", "6"), person("lte", 5)],
            [person("gt", 5), person("lte", 5)],
        ],
    )
    def test_filters_that_exclude_each_other(self, tests):
        """
        Filters on one property that cannot hold at once are named.
        """
        ((path, message),) = lints({"groups": [{"properties": tests}]})

        assert "groups[0].properties" == path
        assert "its filters on plan exclude each other" in message

    @pytest.mark.parametrize(
        "tests",
        [
            [person("is_not_set"), person("is_not", "gold")],
            [person("exact", ["gold", "silver"]), person("exact", "SILVER")],
            [person("exact", "gold"), person("is_not", "silver")],
            [person("gte", 5), person("lte", 5)],
            [person("gt", 5), person("lt", 5, key="seats")],
            [person("gt", 5), {**person("lt", 5), "type": "group", "group_type_index": 0}],
            [],
        ],
    )
    def test_filters_that_can_hold(self, tests):
        """
        Nothing is said of filters that can hold at once.
        """
        assert [] == lints({"groups": [{"properties": tests}]})

    @pytest.mark.parametrize(
        ("groups", "unreached"),
        [
            ([{}, {"properties": [person("is_set")]}], [1]),
            ([{"rollout_percentage": 100}, {"variant": "a"}, {}], [1, 2]),
            ([{"rollout_percentage": 99}, {}], []),
            ([{"properties": [person("is_set")]}, {}], []),
            ([{"aggregation_group_type_index": 0}, {}], []),
            ([{}, {"aggregation_group_type_index": 0}], [1]),
            ([{"aggregation_group_type_index": 0}, {"aggregation_group_type_index": 0}], [1]),
        ],
    )
    def test_conditions_that_nobody_comes_to(self, groups, unreached):
        """
        A condition behind one that takes everybody is named.
        """
        filters = {"groups": groups, "multivariate": variants(100)}

        found = lints(filters)

        assert [f"groups[{at}]" for at in unreached] == [path for path, _ in found]
        assert all("condition 1 takes everybody" in message for _, message in found)

    def test_devices(self):
        """
        A condition by device does not take who has none.
        """
        assert [] == lints({"groups": [{}, {}]}, bucketing_identifier="device_id")


class TestVariants:
    @pytest.mark.parametrize(
        ("shares", "said"),
        [
            ((50, 40), "add up to 90: the rest gets no variant"),
            ((50, 60), "add up to 110: the last variants get less"),
            ((33.33, 33.33, 33.33), None),
            ((33.3, 33.3, 33.4), None),
            ((), None),
        ],
    )
    def test_shares(self, shares, said):
        """
        Shares that leave somebody out, or are too many, are named; thirds are a whole.
        """
        found = lints({"groups": [{}], "multivariate": variants(*shares)})

        if said is None:
            assert [] == found
        else:
            assert [("multivariate.variants", True)] == [
                (path, said in what) for path, what in found
            ]

    def test_names(self):
        """
        Overrides and payloads of variants that there are not are named.
        """
        found = lints(
            {
                "groups": [{"variant": "b"}],
                "multivariate": variants(100),
                "payloads": {"true": 1, "a": 2, "b": 3, "holdout-1": 4},
            }
        )

        assert ["groups[0].variant", "payloads.b"] == [path for path, _ in found]


class TestDependencies:
    @pytest.mark.parametrize(
        ("key", "said"),
        [
            ("on", None),
            ("7", None),
            ("off", "'off' is not active"),
            ("8", "'off' is not active"),
            ("f", "'f' depends on what depends on it"),
            ("nowhere", None),
        ],
    )
    def test_flags(self, key, said):
        """
        A flag that is off, or leads back, is named; one that is elsewhere is not known here.
        """
        found = lints({"groups": [{"properties": [flag(key=key)]}]})

        assert [] == found if said is None else said in found[0][1]


ODD_TYPES = {
    "aggregation_group_type_index": 2,
    "groups": [
        {
            "aggregation_group_type_index": 3,
            "properties": [
                {**person("is_set"), "type": "group", "group_type_index": 4},
                {**person("is_set"), "type": "group", "group_type_index": 1},
            ],
        },
        {"aggregation_group_type_index": 0},
    ],
}


class TestGroupTypes:
    def test_unknown(self):
        """
        Group types that the project does not have are named, wherever they are.
        """
        assert [
            "aggregation_group_type_index",
            "groups[0].aggregation_group_type_index",
            "groups[0].properties[0].group_type_index",
        ] == [path for path, _ in lints(ODD_TYPES)]

    def test_not_known_which(self):
        """
        Nothing is said where nobody knows which there are.
        """
        assert [] == lints(ODD_TYPES, knows_group_types=False)


class TestLint:
    def test_as_a_line(self):
        """
        A line for people says where, then what.
        """
        assert "groups[0]: nobody" == str(Lint(path="groups[0]", message="nobody"))
