"""flagd's flags: what is translated answers as flagd's own evaluator does."""

import copy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext as FlagdContext

from flagstream.flags import FlagSet
from flagstream.interchange import Source, Target, read_flagd

ON_OFF = {"on": True, "off": False}
COLORS = {"red": "#f00", "green": "#0f0", "blue": "blue"}


def flag(targeting=None, variants=ON_OFF, **members):
    """A flag as flagd has it."""
    known = {"state": "ENABLED", "variants": variants, "defaultVariant": (["off", *variants])[-1]}
    return {**known, **({} if targeting is None else {"targeting": targeting}), **members}


def document(definition, key="beta", **members):
    return {"flags": {key: definition}, **members}


def read(*documents, **target):
    sources = [Source(name=f"{at}.json", document=each) for at, each in enumerate(documents)]
    return read_flagd(sources, Target(**target))


def translated(definition, **members):
    """The one flag that is taken over."""
    imported = read(document(definition, **members))
    assert [] == list(map(str, imported.refused))
    return imported.flags[0].body


def refusals(definition, **members):
    """What is refused, without what to do."""
    imported = read(document(definition, **members))
    assert [] == imported.flags
    return [str(each).partition("; ")[0] for each in imported.refused]


def ours(body, attributes, key="user-1"):
    """What flagstream answers: the variant, or whether it is on."""
    document = {"flags": [body], "group_type_mapping": {"0": "organization"}}
    answers = FlagSet.from_definitions(document).evaluate(
        key,
        groups={"organization": key},
        person_properties=attributes,
        group_properties={"organization": attributes},
    )
    return answers[body["key"]].value


def theirs(definition, attributes, key="user-1", **members):
    """What flagd answers: the variant, or of a boolean flag whether it is on."""
    core = FlagdCore()
    core.set_flags(copy.deepcopy(document(definition, **members)))
    context = FlagdContext(targeting_key=key, attributes=attributes)
    if all(isinstance(value, bool) for value in definition["variants"].values()):
        return core.resolve_boolean_value("beta", default_value=False, ctx=context).value
    return core._resolve("beta", None, context).variant


TEXTS = st.sampled_from(["gold", "Gold", "go", "silver", "", "a.b", "x[1]", "(", "ä\n", "old"])
NUMBERS = st.sampled_from([-3, 0, 1, 5, 5.0, 7.5, 100])
VERSIONS = st.sampled_from(
    ["1.2.3", "1.2.0", "2.0.0", "2.0.0-rc.1", "1.2.3-alpha", "1.0.0-0", "0.9.9", "v1.2.9"]
)
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "plan": TEXTS,
        "mail": TEXTS,
        "seats": NUMBERS,
        "beta": st.booleans(),
        "version": VERSIONS,
        "roles": st.lists(TEXTS, max_size=3),
    },
)


def var(name, default=None):
    return {"var": name} if default is None else {"var": [name, default]}


def in_either_order(operators, one, others):
    """Comparisons of an attribute with constants, from left to right or the other way."""
    return st.tuples(operators, others, st.booleans()).map(
        lambda each: {each[0]: [each[1], one] if each[2] else [one, each[1]]}
    )


EQUALITY = st.sampled_from(["==", "!=", "===", "!=="])
BOUNDS = st.sampled_from(["<", "<=", ">", ">="])
LEAVES = st.one_of(
    in_either_order(EQUALITY, var("plan"), TEXTS),
    in_either_order(EQUALITY, var("plan", "gold"), TEXTS),
    in_either_order(EQUALITY, var("seats"), st.sampled_from([-3, 1, 5, 7.5])),
    in_either_order(EQUALITY, var("seats", 5), NUMBERS),
    in_either_order(st.sampled_from(["===", "!=="]), var("beta"), st.booleans()),
    in_either_order(EQUALITY, var("plan"), st.none()),
    in_either_order(BOUNDS, var("seats"), NUMBERS),
    in_either_order(BOUNDS, var("seats", 5), NUMBERS),
    st.tuples(BOUNDS, NUMBERS, NUMBERS).map(lambda e: {e[0]: [e[1], var("seats"), e[2]]}),
    st.lists(TEXTS, max_size=3).map(lambda texts: {"in": [var("plan"), texts]}),
    st.lists(NUMBERS, max_size=3).map(lambda numbers: {"in": [var("seats"), numbers]}),
    TEXTS.map(lambda text: {"in": [text, var("mail")]}),
    TEXTS.map(lambda text: {"in": [text, var("roles")]}),
    st.tuples(st.sampled_from(["starts_with", "ends_with"]), TEXTS).map(
        lambda each: {each[0]: [var("mail"), each[1]]}
    ),
    st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "^", "~"]), VERSIONS).map(
        lambda each: {"sem_ver": [var("version"), *each]}
    ),
    st.sampled_from([var("beta"), var("plan"), var("roles"), var("seats"), True, False, None]),
    st.sampled_from(["user-1", "user-2"]).map(lambda key: {"==": [var("targetingKey"), key]}),
    st.just({"starts_with": [var("targetingKey"), "user"]}),
)
RULES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts})
        | inner.map(lambda part: {"!": [part]})
        | inner.map(lambda part: {"!!": [part]})
        | st.tuples(inner, inner, inner).map(lambda parts: {"if": list(parts)})
    ),
    max_leaves=5,
)


def choices(variants):
    names = st.sampled_from(variants)
    chosen = st.recursive(
        names | st.none(),
        lambda inner: (
            st.tuples(RULES, inner).map(lambda each: {"if": list(each)})
            | st.tuples(RULES, inner, inner).map(lambda each: {"if": list(each)})
            | st.tuples(RULES, inner, RULES, inner, inner).map(lambda each: {"if": list(each)})
        ),
        max_leaves=4,
    )
    return chosen.filter(lambda each: not isinstance(each, str))


def agrees(definition, attributes):
    """Tell whether both answer alike, where the rule has not too many alternatives to be one."""
    imported = read(document(definition))
    assume(not any("alternatives" in each.why for each in imported.refused))
    assert [] == list(map(str, imported.refused))
    wanted = theirs(definition, attributes)
    answer = ours(imported.flags[0].body, attributes)
    return wanted == answer


class TestAgreement:
    @given(targeting=choices(["on", "off"]), attributes=ATTRIBUTES)
    def test_boolean(self, targeting, attributes):
        """
        A boolean flag is on for whom flagd has it on, whatever the rule.
        """
        assert agrees(flag(targeting), attributes)

    @given(targeting=choices([*COLORS]), attributes=ATTRIBUTES)
    def test_variants(self, targeting, attributes):
        """
        So everybody gets the variant that flagd chooses.
        """
        assert agrees(flag(targeting, COLORS), attributes)

    @given(rule=RULES, attributes=ATTRIBUTES)
    def test_rule_without_a_choice(self, rule, attributes):
        """
        A rule that only holds or not chooses between true and false.
        """
        assume(isinstance(rule, dict) and "var" not in rule)
        assume(not {"and", "or", "if"} & rule.keys())
        assert agrees(flag(rule, {"true": True, "false": False}), attributes)

    @pytest.mark.parametrize("default", ["green", "red"])
    def test_nothing_chosen(self, default):
        """
        Without a rule, or where it chooses nothing, the default variant counts.
        """
        for targeting in (None, {}, {"if": [{"==": [var("plan"), "gold"]}, None]}):
            definition = flag(targeting, COLORS, defaultVariant=default)

            assert default == theirs(definition, {}) == ours(translated(definition), {})


class TestShares:
    def shares(self, body):
        variants = body["filters"]["multivariate"]["variants"]
        return {each["key"]: each["rollout_percentage"] for each in variants}

    @pytest.mark.parametrize(
        "by",
        [
            [],
            [var("targetingKey")],
            [{"cat": [var("$flagd.flagKey"), var("targetingKey")]}],
            [{"cat": [{"var": ["targetingKey"]}]}],
        ],
    )
    def test_variants(self, by):
        """
        Variants keep their shares, which are a whole; who is in them does not stay, and that is
        told.
        """
        weights = [["red", 1], ["green", 1], ["blue", 1]]
        imported = read(document(flag({"fractional": [*by, *weights]}, COLORS)))

        (found,) = imported.flags
        assert {"red": 33.334, "green": 33.333, "blue": 33.333} == self.shares(found.body)
        (note,) = imported.notes
        assert "flags.beta: flag beta: shares are kept, who is in them is not: flagd's" in note

    @given(weights=st.lists(st.tuples(st.sampled_from([*COLORS]), st.integers(0, 500)), min_size=1))
    def test_whole(self, weights):
        """
        Whatever the weights, the shares add up to a hundred, each next to its own.
        """
        total = sum(weight for _, weight in weights)
        assume(total)

        body = translated(flag({"fractional": list(map(list, weights))}, COLORS))

        shares = self.shares(body)
        assert 100_000 == sum(round(share * 1_000) for share in shares.values())
        for name, share in shares.items():
            exact = 100 * sum(weight for each, weight in weights if each == name) / total
            assert abs(share - exact) <= 0.001

    def test_share_of_all(self):
        """
        In a thousand keys the shares are flagd's, give or take.
        """
        definition = flag({"fractional": [["on", 30], ["off", 70]]})
        body = translated(definition)

        on = [
            sum(ask(f"user-{n}") for n in range(1_000))
            for ask in (
                lambda key: theirs(definition, {}, key),
                lambda key: ours(body, {}, key),
            )
        ]

        assert all(250 < count < 350 for count in on)

    def test_within_a_rule(self):
        """
        Who is left out by a share within a rule does not come in by a rule behind it.
        """
        gold = {"==": [var("plan"), "gold"]}
        share = {"fractional": [["on", 1], ["off", 99]]}
        body = translated(flag({"if": [gold, share, "on"]}))

        on = {
            plan: sum(ours(body, {"plan": plan}, f"user-{n}") for n in range(1_000))
            for plan in ("gold", "free")
        }

        assert 1_000 == on["free"]
        assert on["gold"] < 40

    def test_one_weight(self):
        """
        A variant without a weight has one, and a negative weight is none.
        """
        fractions = [["red"], ["green", -5], ["blue", 3]]

        body = translated(flag({"fractional": fractions}, COLORS))

        assert {"red": 25, "green": 0, "blue": 75} == self.shares(body)


class TestMembers:
    def test_values(self):
        """
        A variant's value is its payload, unless it is its name.
        """
        body = translated(flag(variants=COLORS))

        assert {"red": "#f00", "green": "#0f0"} == body["filters"]["payloads"]
        assert "blue" == ours(body, {})

    def test_metadata(self):
        """
        The description is the name, other metadata are tags, those of the flag before the file's.
        """
        metadata = {"description": "The new page", "owner": "web", "safe": True}

        body = translated(flag(metadata=metadata), metadata={"owner": "all", "version": 3})

        assert ("The new page", ["owner=web", "version=3", "safe=true"]) == (
            body["name"],
            body["tags"],
        )

    def test_disabled(self):
        """
        A flag that is disabled is not active.
        """
        assert not translated(flag(state="DISABLED"))["active"]

    def test_evaluators(self):
        """
        What evaluators say stands where they are named, also one within another.
        """
        evaluators = {
            "gold": {"==": [var("plan"), "gold"]},
            "large": {"and": [{"$ref": "gold"}, {">": [var("seats"), 5]}]},
        }
        definition = flag({"if": [{"$ref": "large"}, "on", "off"]})

        body = translated(definition, **{"$evaluators": evaluators})

        assert [True, False, False] == [
            ours(body, attributes)
            for attributes in (
                {"plan": "gold", "seats": 7},
                {"plan": "gold", "seats": 5},
                {"seats": 7},
            )
        ]

    @pytest.mark.parametrize("types", [{"organization": 0}, {}])
    def test_group_type(self, types):
        """
        With a group type named, flags are about groups: their properties, and their keys.
        """
        rule = {
            "and": [{"==": [var("plan"), "gold"]}, {"starts_with": [var("targetingKey"), "acme"]}]
        }
        imported = read(
            document(flag({"if": [rule, "on", "off"]})),
            group_types=types,
            named_types=["organization"],
        )

        (found,) = imported.flags
        (condition,) = found.body["filters"]["groups"]
        assert {("plan", "group", 0), ("$group_key", "group", 0)} == {
            (test["key"], test["type"], test["group_type_index"])
            for test in condition["properties"]
        }
        assert 0 == found.body["filters"]["aggregation_group_type_index"]
        assert [True, False] == [ours(found.body, {"plan": "gold"}, key) for key in ("acme-1", "x")]
        assert ({} if types else {"organization": 0}) == imported.group_types


class TestRefusals:
    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ({"+": [1, 2]}, "+: flag beta: +: flagstream has no such operator"),
            (
                {"==": [var("user.plan"), "x"]},
                "==[0].var: flag beta: user.plan: properties have no",
            ),
            (
                {"<": [var("$flagd.timestamp"), 5]},
                "<[0].var: flag beta: $flagd.timestamp: flags do not know the time",
            ),
            ({"==": [var("a"), var("b")]}, "==: flag beta: [{'var': 'a'}, {'var': 'b'}]: it comp"),
            ({"==": [1, 1]}, "==: flag beta: [1, 1]: it compares no attribute with a constant"),
            ({"==": [var("a")]}, "==: flag beta: [{'var': 'a'}]: expected two things"),
            ({"==": [var("a"), [1]]}, "==: flag beta: [1]: it is no text, number, true, false"),
            ({"==": [{"cat": ["a"]}, "a"]}, "==[0].cat: flag beta: {'cat': ['a']}: only attrib"),
            ({"==": [var("a"), 0]}, "==: flag beta: 0: flagd's evaluators differ in whether that"),
            ({"!=": [var("a"), False]}, "!=: flag beta: False: flagd's evaluators differ"),
            ({"<": [var("a"), "b"]}, "<: flag beta: 'b': flagstream compares numbers and versions"),
            ({"<": [var("a", "x"), 5]}, "<: flag beta: 'x': this default is no number"),
            ({"in": [var("a"), "text"]}, "in[1]: flag beta: 'text': it is no list"),
            ({"in": [5, var("a")]}, "in: flag beta: [5, {'var': 'a'}]: it compares no attribute"),
            ({"starts_with": [var("a"), 5]}, "starts_with: flag beta: [{'var': 'a'}, 5]: it comp"),
            ({"sem_ver": [var("a"), "=", "x"]}, "sem_ver: flag beta: [{'var': 'a'}, '=', 'x']: it"),
            ({"sem_ver": [var("a"), "%", "1"]}, "sem_ver: flag beta: [{'var': 'a'}, '%', '1']: it"),
            ({"sem_ver": [var("a")]}, "sem_ver: flag beta: [{'var': 'a'}]: it is no attribute,"),
            ([1], "flag beta: [1]: a list is neither true nor false"),
        ],
    )
    def test_rules(self, rule, said):
        """
        What a rule asks that no filter can is refused, with its place.
        """
        path = "0.json: $.flags.beta.targeting.if[0]"
        (found,) = refusals(flag({"if": [rule, "on", "off"]}))

        assert found.startswith((f"{path}.{said}", f"{path}: {said}"))

    def test_all_at_once(self):
        """
        All that cannot be translated is named at once.
        """
        rules = [{"+": [1]}, {"and": [{"-": [1]}, {"*": [1]}]}]
        definition = flag({"if": [rules[0], "on", rules[1], {"%": [1]}, "off"]})

        assert ["+", "-", "*", "%"] == [each.split(": ")[3] for each in refusals(definition)]

    @pytest.mark.parametrize(
        ("targeting", "said"),
        [
            (var("plan"), "targeting.var: flag beta: {'var': 'plan'}: an attribute cannot name"),
            ({"if": [True, "up", "off"]}, "targeting.if[1]: flag beta: up: the flag has no such"),
            ({"starts_with": [var("a"), "x"]}, "targeting: flag beta: {'starts_with': [{'var'"),
            ({"$ref": "x"}, "targeting.$ref: flag beta: 'x': the file has no such evaluator"),
            (
                {"fractional": [var("mail"), ["on", 1]]},
                "targeting.fractional[0]: flag beta: {'var': 'mail'}: flags are bucketed by",
            ),
            (
                {"fractional": [["on", 1], ["off", {"+": [1]}]]},
                "targeting.fractional[1]: flag beta: ['off', {'+': [1]}]: it is no variant with",
            ),
            ({"fractional": [[5, 1]]}, "targeting.fractional[0]: flag beta: [5, 1]: it is no var"),
            ({"fractional": [["on", 0]]}, "targeting.fractional: flag beta: [['on', 0]]: there a"),
            ({"fractional": []}, "targeting.fractional: flag beta: []: there are no weights"),
        ],
    )
    def test_choices(self, targeting, said):
        """
        What chooses no variant that is known is refused.
        """
        (found,) = refusals(flag(targeting))

        assert found.startswith(f"0.json: $.flags.beta.{said}")

    def test_endless(self):
        """
        An evaluator that names itself has no end.
        """
        (found,) = refusals(flag({"$ref": "a"}), **{"$evaluators": {"a": {"!": {"$ref": "a"}}}})

        assert found.endswith("this rule: it is nested without end")

    def test_two_splits(self):
        """
        A flag has one split into variants.
        """
        one, other = ({"fractional": [["red", n], ["blue", 9]]} for n in (1, 2))

        (found,) = refusals(flag({"if": [var("beta"), one, other]}, COLORS))

        assert found.endswith(
            "a second split: all conditions of a flag share one split into variants"
        )

    def test_too_many(self):
        """
        A rule of very many alternatives is no flag.
        """
        pairs = [{"or": [var(f"a{n}"), var(f"b{n}")]} for n in range(7)]

        (found,) = refusals(flag({"if": [{"and": pairs}, "on", "off"]}))

        assert "this rule: it has more than 64 alternatives" in found

    @pytest.mark.parametrize(
        ("definition", "said"),
        [
            (5, ": flag beta: 5: it is no flag"),
            (flag(state="ON"), ".state: flag beta: 'ON': it is no state"),
            (flag(variants={}, defaultVariant="on"), ".variants: flag beta: {}: there are no"),
            (flag(variants={"on": None}), ".variants.on: flag beta: null: a variant must have"),
            (flag(defaultVariant=None), ".targeting: flag beta: no variant: without a default the"),
            (flag("on"), ".targeting: flag beta: 'on': it is no rule"),
            (flag(color="red"), ".color: flag beta: 'red': flagd has no such member"),
            (
                flag(variants={"a b": 1}),
                ".filters.multivariate.variants[0].key: flag beta: 'a b': expected",
            ),
        ],
    )
    def test_members(self, definition, said):
        """
        So is what is no flag of flagd's, or has names that flagstream has not.
        """
        assert refusals(definition)[0].startswith(f"0.json: $.flags.beta{said}")

    @pytest.mark.parametrize("found", [[], {"flags": []}, "text"])
    def test_files(self, found):
        """
        And what is no file of flagd's.
        """
        (refused,) = read(found).refused

        assert str(refused).startswith("0.json: $: the file: ")

    def test_group_types(self):
        """
        The targeting key is of one type, for which there must be room.
        """
        five = {name: index for index, name in enumerate("abcde")}

        two = read(document(flag()), named_types=["a", "b"], group_types=five).refused
        none = read(document(flag()), named_types=["f"], group_types=five).refused

        assert ["a, b", "f"] == [each.what for each in (*two, *none)]
