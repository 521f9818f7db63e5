"""The laws of evaluation, for any definition and any context."""

import random
from itertools import pairwise

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import (
    EvaluationContext,
    FlagDefinition,
    compile_flags,
    local_definitions,
    parse_flag,
)
from tests.fakes.definitions import (
    BUCKETINGS,
    CONTEXTS,
    FLAG_KEYS,
    GROUP_ROWS,
    GROUP_TYPES,
    JSON,
    PERCENTAGES,
    PROPERTIES,
    ROWS,
    TEXTS,
)

ROW_LISTS = st.lists(ROWS, max_size=4, unique_by=lambda row: row["key"])


def by_key(rows):
    return {row["key"]: row for row in rows}


def answer(row, context):
    (evaluation,) = compile_flags({row["key"]: row}, GROUP_TYPES).evaluate(context)
    return evaluation


def parsed(row):
    try:
        return parse_flag(row), ()
    except InvalidDefinitionError as error:
        return None, error.problems


def changed(part, path, value):
    """Put *value* in the place of some part, as deep as *path* goes."""
    if not path or not part or not isinstance(part, (dict, list)):
        return value
    turn, *rest = path
    if isinstance(part, list):
        place = turn.randrange(len(part))
        return [changed(each, rest, value) if at == place else each for at, each in enumerate(part)]
    name = turn.choice(sorted(part))
    return {**part, name: changed(part[name], rest, value)}


def variant_row(key, bucketing, shares):
    variants = [
        {"key": f"v{index}", "rollout_percentage": share} for index, share in enumerate(shares)
    ]
    filters = {"groups": [{}], "multivariate": {"variants": variants}}
    return {"key": key, "bucketing": bucketing, "filters": filters}


class TestTotality:
    @given(rows=ROW_LISTS, context=CONTEXTS, keys=st.lists(FLAG_KEYS))
    def test_every_context_has_answers(self, rows, context, keys):
        """
        Every accepted definition answers every context, as JSON that a client can read.
        """
        flags = compile_flags(by_key(rows), GROUP_TYPES)

        answers = flags.evaluate(context)

        assert list(by_key(rows)) == [each.key for each in answers] == list(flags.keys)
        assert not any(each.failed for each in answers)
        document = orjson.loads(b"{%b}" % b",".join(each.v2 for each in answers))
        assert {each.key: (each.enabled, each.variant) for each in answers} == {
            key: (record["enabled"], record["variant"]) for key, record in document.items()
        }
        assert [each for each in answers if each.key in keys] == flags.evaluate(context, keys)

    @given(row=st.dictionaries(st.sampled_from([*FlagDefinition.model_fields, "x"]), JSON))
    def test_any_row_parses_or_is_refused(self, row):
        """
        Whatever the row, parsing gives a definition or names what is wrong.
        """
        definition, problems = parsed(row)

        assert row.get("key") == definition.key if definition else problems

    @given(
        row=ROWS,
        path=st.lists(st.randoms(use_true_random=False), min_size=1, max_size=6),
        value=JSON,
    )
    def test_any_change_of_a_row_parses_or_is_refused(self, row, path, value):
        """
        Whatever a member of a good row becomes, parsing gives a definition or says what is wrong,
        and what parses can be compiled and sent.
        """
        rows = {"f": changed(row, path, value)}
        definition, problems = parsed(rows["f"])
        answers = compile_flags(rows, GROUP_TYPES).evaluate(EvaluationContext(distinct_id="u"))

        assert definition or problems
        orjson.dumps(local_definitions(rows, GROUP_TYPES))
        assert not (definition and any(each.failed for each in answers))

    @given(rows=st.dictionaries(TEXTS, st.dictionaries(TEXTS, JSON)), context=CONTEXTS)
    def test_rows_that_do_not_parse_fail_alone(self, rows, context):
        """
        Whatever is stored, each flag has an answer and the document can be encoded.
        """
        flags = compile_flags({**rows, "good": {"key": "good"}}, GROUP_TYPES)

        *others, good = sorted(flags.evaluate(context), key=lambda each: each.key == "good")

        assert not good.failed
        assert all(each.failed for each in others)
        orjson.loads(b"{%b}" % b",".join(each.v2 for each in (*others, good)))

    @given(rows=ROW_LISTS)
    def test_the_document_can_be_encoded(self, rows):
        """
        Whatever parses can be sent to SDKs, and parses again to the same definition.
        """
        document = orjson.loads(orjson.dumps(local_definitions(by_key(rows), GROUP_TYPES)))

        for row, sent in zip(rows, document["flags"], strict=True):
            assert parse_flag(row).filters.groups == parse_flag(sent).filters.groups


class TestConsistency:
    @given(row=GROUP_ROWS, context=CONTEXTS, other=CONTEXTS)
    def test_a_groups_answer_is_the_groups_alone(self, row, context, other):
        """
        A group flag depends on the group's key and properties: not on who asks, on other groups,
        or on the device.
        """
        group = {"organization": "org:5"}
        properties = {"organization": context.group_properties.get("organization", {})}
        asks = [
            replace(
                each,
                groups={**each.groups, **group},
                group_properties={**each.group_properties, **properties},
            )
            for each in (context, other)
        ]

        first, second = (answer(row, each) for each in asks)

        assert first == second

    @given(rows=ROW_LISTS, context=CONTEXTS, seed=st.randoms(use_true_random=False))
    def test_alone_or_among_others_in_any_order(self, rows, context, seed):
        """
        Neither the other flags nor their order change an answer.
        """
        shuffled = random.Random(seed.random()).sample(rows, len(rows))

        together = compile_flags(by_key(shuffled), GROUP_TYPES).evaluate(context)

        assert {row["key"]: answer(row, context) for row in rows} == {
            each.key: each for each in together
        }

    @given(rows=ROW_LISTS, context=CONTEXTS)
    def test_the_parts_make_the_whole(self, rows, context):
        """
        Each flag is in exactly one part, and the parts answer as the whole does.
        """
        flags = compile_flags(by_key(rows), GROUP_TYPES)
        parts = [flags.person_flags, *map(flags.group_flags, GROUP_TYPES)]

        answers = [each for part in parts for each in part.evaluate(context)]

        assert sorted(answers, key=lambda each: each.key) == sorted(
            flags.evaluate(context), key=lambda each: each.key
        )

    @given(rows=ROW_LISTS, context=CONTEXTS, properties=PROPERTIES)
    def test_only_what_is_named_has_to_be_read(self, rows, context, properties):
        """
        Properties of the person or of types that the set does not name change no answer.
        """
        flags = compile_flags(by_key(rows), GROUP_TYPES)
        other = replace(
            context,
            person_properties=context.person_properties if flags.needs_person else properties,
            group_properties={
                name: context.group_properties.get(name, {})
                if name in flags.group_types
                else properties
                for name in GROUP_TYPES
            },
        )

        assert flags.evaluate(context) == flags.evaluate(other)


class TestRollout:
    @given(
        key=FLAG_KEYS,
        bucketing=BUCKETINGS,
        distinct_id=TEXTS,
        percentages=st.tuples(PERCENTAGES, PERCENTAGES).map(sorted),
    )
    def test_widening_removes_nobody(self, key, bucketing, distinct_id, percentages):
        """
        Whoever is in at x % is in at every larger percentage.
        """
        narrow, wide = (
            answer(
                {
                    "key": key,
                    "bucketing": bucketing,
                    "filters": {"groups": [{"rollout_percentage": percentage}]},
                },
                EvaluationContext(distinct_id=distinct_id),
            ).enabled
            for percentage in percentages
        )

        assert wide or not narrow

    @pytest.mark.parametrize("bucketing", ["murmur3", "sha1"])
    @pytest.mark.parametrize("percentage", [1, 25, 50, 99])
    def test_a_rollout_includes_its_share(self, bucketing, percentage):
        """
        Of many identifiers a rollout includes its percentage.
        """
        row = {
            "key": "f",
            "bucketing": bucketing,
            "filters": {"groups": [{"rollout_percentage": percentage}]},
        }
        flags = compile_flags({"f": row}, {})

        inside = sum(
            flags.evaluate(EvaluationContext(distinct_id=f"user-{n}"))[0].enabled
            for n in range(20_000)
        )

        assert inside / 200 == pytest.approx(percentage, abs=1.5)


class TestVariants:
    @pytest.mark.parametrize("bucketing", ["murmur3", "sha1"])
    def test_variants_follow_their_shares_inside_a_rollout(self, bucketing):
        """
        The variants share out a narrow rollout as they share out everybody.
        """
        shares = [50, 30, 20]
        row = variant_row("f", bucketing, shares)
        row["filters"]["groups"] = [{"rollout_percentage": 20}]
        flags = compile_flags({"f": row}, {})

        answers = [
            flags.evaluate(EvaluationContext(distinct_id=f"user-{n}"))[0] for n in range(40_000)
        ]

        inside = [each.variant for each in answers if each.enabled]
        for index, share in enumerate(shares):
            assert inside.count(f"v{index}") / len(inside) * 100 == pytest.approx(share, abs=2.5)

    @given(
        key=FLAG_KEYS,
        bucketing=BUCKETINGS,
        distinct_id=TEXTS,
        bounds=st.lists(PERCENTAGES, min_size=2, max_size=5).map(sorted),
    )
    def test_appending_moves_nobody_between_others(self, key, bucketing, distinct_id, bounds):
        """
        A variant that is appended takes only whoever had none.
        """
        shares = [bounds[0], *(high - low for low, high in pairwise(bounds))]
        context = EvaluationContext(distinct_id=distinct_id)

        before = answer(variant_row(key, bucketing, shares[:-1]), context).variant
        after = answer(variant_row(key, bucketing, shares), context).variant

        assert after in {before, f"v{len(shares) - 1}"} if before is None else after == before

    @given(key=FLAG_KEYS, bucketing=BUCKETINGS, distinct_id=TEXTS, count=st.integers(2, 30))
    def test_equal_shares_leave_nobody_out(self, key, bucketing, distinct_id, count):
        """
        Shares that add up to 100 but for rounding give everybody a variant.
        """
        shares = [round(100 / count, 12)] * count
        assume(bucketing == "murmur3" or sum(share / 100 for share in shares) >= 1)

        evaluation = answer(
            variant_row(key, bucketing, shares), EvaluationContext(distinct_id=distinct_id)
        )

        assert evaluation.variant is not None
