"""Flags written as flagd's: flagd decides alike, and they come back as they were."""

import copy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flagstream.interchange import Source, Target, read_flagd, write_flagd
from tests.unit.interchange.test_flagd import (
    ATTRIBUTES,
    COLORS,
    TEXTS,
    VERSIONS,
    choices,
    document,
    flag,
    ours,
    read,
    theirs,
)

GOLD = {"key": "plan", "type": "person", "operator": "regex", "value": "^gold$"}


def written(*rows, **target):
    return write_flagd({"flags": list(rows), "cohorts": []}, Target(**target))


def row(*conditions, **members):
    filters = {"groups": list(conditions), **members.pop("filters", {})}
    return {"key": "beta", "active": True, "bucketing": "murmur3", "filters": filters, **members}


def where(*tests, **members):
    """A condition of tests of the person."""
    return {"properties": [{"type": "person", **test} for test in tests], **members}


def refused(*rows, **target):
    (found,) = written(*rows, **target).refused
    return str(found)


PATTERNS = st.sampled_from(
    ["^gold$", "^(?:gold|silver)$", "^go", "old$", "^true$", r"^a\.b$", r"^x\[1\]$", "^(?:a|b|)$"]
)
TESTS = st.one_of(
    st.tuples(st.sampled_from(["regex", "not_regex"]), PATTERNS).map(
        lambda each: {"key": "plan", "operator": each[0], "value": each[1]}
    ),
    st.tuples(st.sampled_from(["lt", "lte", "gt", "gte"]), st.integers(-3, 8)).map(
        lambda each: {"key": "seats", "operator": each[0], "value": each[1]}
    ),
    st.tuples(st.integers(-3, 8), st.integers(-3, 8)).map(
        lambda each: {"key": "seats", "operator": "between", "value": list(each)}
    ),
    st.tuples(
        st.sampled_from(["eq", "neq", "lt", "lte", "gt", "gte"]),
        VERSIONS,
    ).map(lambda each: {"key": "version", "operator": f"semver_{each[0]}", "value": each[1]}),
    st.sampled_from(["is_set", "is_not_set"]).map(
        lambda operator: {"key": "plan", "operator": operator, "value": operator}
    ),
    st.just({"key": "distinct_id", "operator": "regex", "value": "^user"}),
)
CONDITIONS = st.lists(st.lists(TESTS, max_size=2).map(lambda tests: where(*tests)), max_size=3)


def back(exported):
    """What is written after it was read by an empty server."""
    sources = [Source(name="f.json", document=copy.deepcopy(exported.document))]
    imported = read_flagd(sources, Target())
    assert [] == list(map(str, imported.refused))
    return written(*(each.body for each in imported.flags))


class TestRules:
    @given(conditions=CONDITIONS, attributes=ATTRIBUTES)
    def test_boolean(self, conditions, attributes):
        """
        flagd has a flag on for whom flagstream has it on, and reads back what was written.
        """
        definition = row(*conditions)

        exported = written(definition)

        assert [] == list(map(str, exported.refused))
        assert ours(definition, attributes) == theirs(
            exported.document["flags"]["beta"], attributes
        )
        assert exported.document == back(exported).document

    @given(
        conditions=CONDITIONS, names=st.lists(st.sampled_from([*COLORS]), min_size=3, max_size=3)
    )
    def test_variants(self, conditions, names):
        """
        So with variants.
        """
        overridden = [
            {**condition, "variant": name}
            for condition, name in zip(conditions, names, strict=False)
        ]
        variants = [
            {"key": name, "rollout_percentage": share}
            for name, share in zip(COLORS, (20, 30, 50), strict=True)
        ]
        definition = row(*overridden, where(), filters={"multivariate": {"variants": variants}})

        exported = written(definition)

        assert [] == list(map(str, exported.refused))
        assert exported.document == back(exported).document

    @given(targeting=choices(["on", "off"]))
    def test_imported(self, targeting):
        """
        What was flagd's can be flagd's again, unless it is refused by name.
        """
        imported = read(document(flag(targeting)))
        assume(not imported.refused)
        exported = written(*(each.body for each in imported.flags))
        assume(not exported.refused)

        assert exported.document == back(exported).document

    @given(text=TEXTS, attributes=ATTRIBUTES)
    def test_parts(self, text, attributes):
        """
        A part of a text, or a member of a list, is told so.
        """
        assume(text)
        rule = {"if": [{"in": [text, {"var": "mail"}]}, "on"]}
        (imported,) = read(document(flag(rule))).flags

        exported = written(imported.body)

        assert rule == exported.document["flags"]["beta"]["targeting"]
        assert ours(imported.body, attributes) == theirs(
            exported.document["flags"]["beta"], attributes
        )


class TestMembers:
    def test_share(self):
        """
        A rollout is a share of two variants, and it is told that others are in it.
        """
        exported = written(row(where(GOLD, rollout_percentage=12.5)))

        assert {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {
                "if": [
                    {"==": [{"var": "plan"}, "gold"]},
                    {"fractional": [["on", 12500], ["off", 87500]]},
                ]
            },
        } == exported.document["flags"]["beta"]
        assert "the project: $.flags[0]: flag beta: shares are kept" in exported.notes[0]

    def test_values(self):
        """
        A payload is the variant's value.
        """
        variants = [{"key": "a", "rollout_percentage": 100}, {"key": "b", "rollout_percentage": 0}]
        filters = {"multivariate": {"variants": variants}, "payloads": {"a": "[1]", "b": "[2]"}}

        exported = written(row(where(), filters=filters))

        assert {
            "state": "ENABLED",
            "variants": {"a": [1], "b": [2]},
            "defaultVariant": "a",
        } == exported.document["flags"]["beta"]

    def test_words(self):
        """
        Name and tags are metadata, and come back as such.
        """
        exported = written(row(name="New", tags=["owner=web", "risky", "level=3"], active=False))

        definition = exported.document["flags"]["beta"]
        assert {"description": "New", "owner": "web", "risky": True, "level": 3} == (
            definition["metadata"]
        )
        assert "DISABLED" == definition["state"]
        assert exported.document == back(exported).document

    def test_group_type(self):
        """
        With a group type named, its flags are written, and others refused.
        """
        about = {"aggregation_group_type_index": 0}
        test = {"key": "plan", "type": "group", "operator": "regex", "value": "^gold$"}
        of_groups = row({"properties": [test]}, filters=about)
        types = {"group_types": {"organization": 0}, "named_types": ["organization"]}

        exported = written(of_groups, **types)

        assert {"if": [{"==": [{"var": "plan"}, "gold"]}, "on"]} == (
            exported.document["flags"]["beta"]["targeting"]
        )
        assert "another kind" in refused(row(where()), **types)
        assert "another kind" in refused(row(filters=about))

    @pytest.mark.parametrize(
        ("definition", "said"),
        [
            (
                row(where({"key": "a", "operator": "exact", "value": "x"})),
                "exact 'x': flagd has",
            ),
            (row(where({"key": "a", "operator": "regex", "value": "x+"})), "regex 'x+': flagd has"),
            (row(where({"key": "a", "operator": "regex", "value": 5})), "regex 5: flagd has"),
            (row(where({"key": "a.b", "operator": "is_set"})), "is_set None: flagd has"),
            (row(where({"key": "a", "operator": "gt", "value": "x"})), "gt 'x': flagd has"),
            (row(where({"key": "a", "operator": "between", "value": 5})), "between 5: flagd has"),
            (
                row(where({"key": "a", "operator": "between", "value": [5, "x"]})),
                "between [5,",
            ),
            (row(where({"key": "a", "operator": "semver_eq", "value": "x"})), "semver_eq 'x': fla"),
            (
                row(where({"key": "id", "type": "cohort", "operator": "in", "value": 5})),
                "cohort 'id': it is no attribute of whom",
            ),
            (row(where(rollout_percentage=5), where(GOLD)), "5: in flagd, whom a share leaves out"),
            (row(where(), filters={"payloads": {"true": "5"}}), "a boolean has no payload"),
            (
                row(where(), filters={"holdout": {"id": 1, "exclusion_percentage": 5}}),
                "nothing like",
            ),
            (row(where(), evaluation_runtime="server"), "'server': flagd has nothing like it"),
            (
                row(where(aggregation_group_type_index=1)),
                "[0].aggregation_group_type_index: flag beta: 1: the file has one targeting key",
            ),
        ],
    )
    def test_refused(self, definition, said):
        """
        What flagd has nothing like is refused by name.
        """
        assert said in refused(definition)

    @pytest.mark.parametrize(
        ("conditions", "shares", "payloads", "said"),
        [
            ([where(GOLD)], [100, 0], {}, "who matches no condition has no variant"),
            ([where(rollout_percentage=5)], [100, 0], {}, "whom it leaves out has no variant"),
            ([where()], [50, 20], {}, "the shares are no whole"),
            ([where()], [50, 50], {"a": "5"}, "in flagd all variants are of one type"),
        ],
    )
    def test_refused_variants(self, conditions, shares, payloads, said):
        """
        So are variants that not everybody has.
        """
        variants = [
            {"key": key, "rollout_percentage": share}
            for key, share in zip("ab", shares, strict=True)
        ]
        filters = {"multivariate": {"variants": variants}, "payloads": payloads}

        assert said in refused(row(*conditions, filters=filters))

    def test_early_exit(self):
        """
        Where a share ends the evaluation here as well, others may stand behind it.
        """
        narrow = where(GOLD, rollout_percentage=5)

        exported = written(row(narrow, where(), filters={"early_exit": True}))

        assert [] == exported.refused
        assert exported.document == back(exported).document
