"""GO Feature Flag's flags: what is translated answers as its rules say."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flagstream.interchange import Source, Target, read_goff
from tests.unit.interchange.test_flagd import NUMBERS, ours

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BEFORE, AFTER = "2026-05-01T00:00:00Z", "2026-07-01T00:00:00Z"
ON_OFF = {"on": True, "off": False}
COLORS = {"red": "#f00", "green": "#0f0", "blue": "blue"}
DATA = json.loads((Path(__file__).parent / "goff_cases.json").read_text())


def flag(query=None, variations=ON_OFF, **members):
    """A flag as GO Feature Flag has it: on where a query holds."""
    first, last = next(iter(variations)), next(reversed(variations))
    rules = [] if query is None else [{"name": "rule", "query": query, "variation": first}]
    known = {"variations": variations, "targeting": rules, "defaultRule": {"variation": last}}
    return {**known, **members}


def read(definition, key="beta", **target):
    sources = [Source(name="f.yaml", document={key: definition})]
    return read_goff(sources, Target(now=NOW, **target))


def translated(definition, **target):
    """The one flag that is taken over."""
    imported = read(definition, **target)
    assert [] == list(map(str, imported.refused))
    return imported.flags[0].body


def refusals(definition, **target):
    """What is refused."""
    imported = read(definition, **target)
    assert [] == imported.flags
    return list(map(str, imported.refused))


def shares(body):
    variants = body["filters"]["multivariate"]["variants"]
    return {each["key"]: each["rollout_percentage"] for each in variants}


class TestQueries:
    @pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["query"])
    def test_cases(self, case):
        """
        A query is on for whom it is said to be on, and off for the others.
        """
        body = translated(flag(case["query"]))

        assert [True] * len(case["on"]) == [ours(body, each) for each in case["on"]]
        assert [False] * len(case["off"]) == [ours(body, each) for each in case["off"]]

    @pytest.mark.parametrize("case", DATA["refused"], ids=lambda case: case["query"])
    def test_refused(self, case):
        """
        What is no query, or asks what no filter can, is refused by name.
        """
        (line,) = refusals(flag(case["query"]))

        place = "f.yaml: $.beta.targeting[0].query: flag beta: "
        assert line.startswith(f"{place}{case['what']}: ")

    @pytest.mark.parametrize("query", [None, "", "  "])
    def test_none(self, query):
        """
        A rule without a query is for everybody.
        """
        rule = {"variation": "on"} if query is None else {"query": query, "variation": "on"}

        assert ours(translated(flag(targeting=[rule])), {})

    def test_json_logic(self):
        """
        A query may be JSONLogic.
        """
        rule = {"and": [{"==": [{"var": "plan"}, "gold"]}, {"==": [{"var": "key"}, "user-1"]}]}

        body = translated(flag(json.dumps(rule)))

        assert [True, False] == [ours(body, {"plan": each}) for each in ("gold", "free")]
        assert not ours(body, {"plan": "gold"}, "user-2")

    @pytest.mark.parametrize("query", ['{"==": ', '{"+": [1]}'])
    def test_json_logic_refused(self, query):
        """
        What of it no filter can say is refused as well.
        """
        (line,) = refusals(flag(query))

        assert line.startswith("f.yaml: $.beta.targeting[0].query")

    def test_case_of_lists(self):
        """
        Where versions of GO Feature Flag differ, that is told.
        """
        (note,) = read(flag('plan in ["gold", "5"] and not (plan in ["free"])')).notes

        assert "`in` does not mind the case" in note
        assert [] == read(flag('plan in ["5"]')).notes


TEXTS = st.sampled_from(["gold", "Gold", "go", "silver", "", "a.b", "true", "ä", "Ä"])
ATTRIBUTES = st.fixed_dictionaries(
    {}, optional={"plan": TEXTS, "seats": NUMBERS, "beta": st.booleans()}
)
TEXT_TESTS = {
    "eq": lambda one, other: one == other,
    "ne": lambda one, other: one != other,
    "co": lambda one, other: other in one,
    "sw": str.startswith,
    "ew": str.endswith,
}
NUMBER_TESTS = {
    "eq": lambda one, other: one == other,
    "ne": lambda one, other: one != other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
}


def of_text(operator, text):
    def holds(attributes):
        known = attributes.get("plan")
        return known is not None and TEXT_TESTS[operator](known.lower(), text.lower())

    return f'plan {operator} "{text}"', holds


def of_number(operator, number):
    def holds(attributes):
        known = attributes.get("seats")
        return known is not None and NUMBER_TESTS[operator](known, number)

    return f"seats {operator} {number}", holds


def of_list(texts):
    def holds(attributes):
        known = attributes.get("plan")
        return known is not None and known.lower() in [text.lower() for text in texts]

    return f"plan in {json.dumps(texts, ensure_ascii=False)}", holds


def opposite(query):
    text, holds = query
    return f"not ({text})", lambda attributes: not holds(attributes)


def chained(queries):
    """Join queries, from left to right, the first two and what follows alike."""
    text, holds = queries[0][1]
    for operator, (other_text, other) in queries[1:]:
        text = f"{text} {operator} ({other_text})"
        holds = partial(joined, all if operator == "and" else any, (holds, other))
    return text, holds


def joined(join, queries, attributes):
    return join(holds(attributes) for holds in queries)


QUERIES = st.recursive(
    st.builds(of_text, st.sampled_from([*TEXT_TESTS]), TEXTS)
    | st.builds(of_number, st.sampled_from([*NUMBER_TESTS]), st.integers(-3, 8))
    | st.builds(of_list, st.lists(TEXTS, max_size=3))
    | st.sampled_from(
        [
            ("plan pr", lambda each: "plan" in each),
            ("beta eq true", lambda each: each.get("beta") is True),
            ("beta ne true", lambda each: each.get("beta") is False),
            ("seats eq null", lambda each: "seats" not in each),
        ]
    ),
    lambda inner: (
        inner.map(opposite)
        | st.lists(st.tuples(st.sampled_from(["and", "or"]), inner), min_size=2, max_size=3).map(
            chained
        )
    ),
    max_leaves=6,
)


class TestAgreement:
    @given(query=QUERIES, attributes=ATTRIBUTES)
    def test_queries(self, query, attributes):
        """
        A flag is on for just whom its query holds, however it is put together.
        """
        text, holds = query
        imported = read(flag(text))
        assume(not any("alternatives" in each.why for each in imported.refused))
        assert [] == list(map(str, imported.refused))

        assert holds(attributes) == ours(imported.flags[0].body, attributes)

    @given(queries=st.lists(QUERIES, min_size=1, max_size=3), attributes=ATTRIBUTES)
    def test_order(self, queries, attributes):
        """
        The first rule that holds decides.
        """
        names = [*COLORS]
        rules = [
            {"query": text, "variation": name}
            for (text, _), name in zip(queries, names, strict=False)
        ]
        imported = read(flag(None, COLORS, targeting=rules))
        assume(not imported.refused)
        chosen = [
            name for (_, holds), name in zip(queries, names, strict=False) if holds(attributes)
        ]

        assert [*chosen, "blue"][0] == ours(imported.flags[0].body, attributes)


class TestOutcomes:
    def test_percentage(self):
        """
        Percentages are shares of a whole, whatever they add up to, and that others are in them is
        told.
        """
        rule = {"percentage": {"red": 1, "green": 1, "blue": 2}, "variation": "red"}
        imported = read(flag(None, COLORS, defaultRule=rule))

        assert {"red": 25, "green": 25, "blue": 50} == shares(imported.flags[0].body)
        assert "shares are kept, who is in them is not" in imported.notes[0]

    def test_percentage_of_a_rule(self):
        """
        Who is left out by a rule's percentage does not come in by the next rule.
        """
        rules = [
            {"query": 'plan eq "gold"', "percentage": {"on": 1, "off": 99}},
            {"query": "plan pr", "variation": "on"},
        ]
        body = translated(flag(targeting=rules))

        on = [
            sum(ours(body, {"plan": plan}, f"user-{n}") for n in range(500))
            for plan in ("gold", "free")
        ]

        assert on[0] < 30
        assert 500 == on[1]

    def test_disabled_rule(self):
        """
        A rule that is disabled is none.
        """
        rules = [{"query": "plan pr", "variation": "on", "disable": True}]

        assert not ours(translated(flag(targeting=rules)), {"plan": "x"})

    def test_ramp_at_its_end(self):
        """
        A progressive rollout that has come to its end is what it has come to.
        """
        ramp = {
            "initial": {"variation": "red", "percentage": 0, "date": "2026-01-01T00:00:00Z"},
            "end": {"variation": "green", "percentage": 80, "date": BEFORE},
        }
        body = translated(flag(None, COLORS, defaultRule={"progressiveRollout": ramp}))

        assert {"red": 20, "green": 80, "blue": 0} == shares(body)

    @pytest.mark.parametrize(
        ("start", "end", "said"),
        [
            (
                BEFORE,
                AFTER,
                "flagstream schedule add beta --from 50.8 --to 100 --steps 10 --over 2592000s",
            ),
            (
                "2026-06-30T00:00:00Z",
                AFTER,
                "--from 0 --to 100 --steps 10 --at 2026-06-30T00:00:00+00:00 --over 86400s",
            ),
            (AFTER, BEFORE, "change it there, or leave it out with --skip-unsupported"),
            ("soon", AFTER, "change it there, or leave it out with --skip-unsupported"),
        ],
    )
    def test_ramp(self, start, end, said):
        """
        One that goes on is refused, with the command that plans it.
        """
        ramp = {
            "initial": {"variation": "off", "date": start},
            "end": {"variation": "on", "date": end},
        }
        line = refusals(flag(defaultRule={"progressiveRollout": ramp}))[-1]

        assert line.startswith("f.yaml: $.beta.defaultRule.progressiveRollout")
        assert line.endswith(said)


class TestMembers:
    @pytest.mark.parametrize(
        ("members", "is_active"),
        [
            ({}, True),
            ({"disable": True}, False),
            ({"experimentation": {"start": BEFORE}}, True),
            ({"experimentation": {"start": BEFORE, "end": BEFORE}}, False),
            ({"experimentation": {"end": datetime(2026, 5, 1, tzinfo=UTC)}}, False),
        ],
    )
    def test_active(self, members, is_active):
        """
        A flag that is disabled, or whose experiment is over, is not active.
        """
        assert is_active == translated(flag(**members))["active"]

    def test_words(self):
        """
        The description is the name, other metadata and the version are tags.
        """
        body = translated(
            flag(metadata={"description": "New", "owner": "web", "n": 3}, version="1.2")
        )

        assert ("New", ["owner=web", "n=3", "version=1.2"]) == (body["name"], body["tags"])

    def test_group_type(self):
        """
        With a group type named, flags are about groups.
        """
        target = {"named_types": ["organization"], "group_types": {"organization": 0}}
        body = translated(flag('plan eq "gold" and key sw "acme"'), **target)

        assert 0 == body["filters"]["aggregation_group_type_index"]
        assert [True, False] == [ours(body, {"plan": "gold"}, key) for key in ("acme-1", "x")]

    @pytest.mark.parametrize(
        ("definition", "said"),
        [
            (5, ": flag beta: 5: it is no flag"),
            (flag(color=1), ".color: flag beta: 1: there is no such member"),
            (flag(bucketingKey="company"), ".bucketingKey: flag beta: company: flags are bucketed"),
            (flag(scheduledRollout=[{"date": AFTER}]), ".scheduledRollout: flag beta: [{'date': "),
            (
                flag(experimentation={"start": AFTER}),
                ".experimentation.start: flag beta: 2026-07-01T00:00:00+00:00: it is still to come",
            ),
            (
                flag(experimentation={"end": "x"}),
                ".experimentation.end: flag beta: x: it is",
            ),
            (flag(targeting=5), ".targeting: flag beta: 5: it is no list of rules"),
            (flag(targeting=[5]), ".targeting[0]: flag beta: 5: it is no rule"),
            (flag(targeting=[{"x": 1}]), ".targeting[0].x: flag beta: 1: there is no such member"),
            (flag(defaultRule=None), ".defaultRule: flag beta: None: there is no rule for those"),
            (flag(defaultRule={}), ".defaultRule.variation: flag beta: None: the flag has no such"),
            (
                flag(defaultRule={"percentage": {"up": 1}}),
                ".defaultRule.percentage.up: flag beta: 1: it is no variation with a percentage",
            ),
            (
                flag(defaultRule={"percentage": {"on": 0}}),
                ".defaultRule.percentage: flag beta: {'on': 0}: there are no percentages",
            ),
            (
                flag(defaultRule={"progressiveRollout": {"x": 1}}),
                ".defaultRule.progressiveRollout.initial.variation: flag beta: None: the flag",
            ),
            (flag(variations={"on": None, "off": False}), ".variations.on: flag beta: None: a var"),
            (flag(variations={"a b": 1}), ".filters.multivariate.variants[0].key: flag beta: 'a b"),
        ],
    )
    def test_refused(self, definition, said):
        """
        What is no flag of GO Feature Flag's, or has no counterpart, is refused by name.
        """
        assert refusals(definition)[0].startswith(f"f.yaml: $.beta{said}")

    def test_no_variations(self):
        """
        A flag without variations is none.
        """
        lines = refusals({"defaultRule": {"variation": "a"}})

        assert lines[0].startswith("f.yaml: $.beta.variations: flag beta: None: there are no var")

    def test_files(self):
        """
        And a file that holds no flags is none.
        """
        imported = read_goff([Source(name="f.yaml", document=[1])], Target())

        assert "f.yaml: $: the file: [1]: it holds no flags" in str(imported.refused[0])
