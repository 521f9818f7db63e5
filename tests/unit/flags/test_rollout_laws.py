"""The laws of rollouts and variants: whom a change of the shares moves, and whom not."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flagstream.flags import EvaluationContext, compile_flags
from tests.fakes.definitions import (
    ASKS,
    BUCKETINGS,
    CONTEXTS,
    FLAG_KEYS,
    HOLDOUTS,
    IDENTIFIERS,
    PERCENTAGES,
    PROJECTS,
    ROWS,
    TEXTS,
)
from tests.projects import answer, answers, with_flags


def variant_row(key, bucketing, shares):
    variants = [
        {"key": f"v{index}", "rollout_percentage": share} for index, share in enumerate(shares)
    ]
    filters = {"groups": [{}], "multivariate": {"variants": variants}}
    return {"key": key, "bucketing": bucketing, "filters": filters}


def with_filters(row, **filters):
    return {**row, "filters": {**row["filters"], **filters}}


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

    @given(
        definitions=PROJECTS,
        context=ASKS,
        percentages=st.tuples(PERCENTAGES, PERCENTAGES).map(sorted),
    )
    def test_widening_one_condition_removes_nobody(self, definitions, context, percentages):
        """
        In any flag of any project: whoever has it keeps it when one of its conditions is widened.
        """
        for key, row in definitions.flags.items():
            conditions = row["filters"]["groups"]
            if not row["active"] or not conditions:
                continue
            narrow, wide = (
                answers(with_flags(definitions, {**definitions.flags, key: each}), context)[key]
                for each in (
                    with_filters(
                        row, groups=[{**conditions[0], "rollout_percentage": each}, *conditions[1:]]
                    )
                    for each in percentages
                )
            )

            assert wide.enabled or not narrow.enabled

    @given(
        row=ROWS,
        context=CONTEXTS,
        holdout=HOLDOUTS,
        percentages=st.tuples(PERCENTAGES, PERCENTAGES).map(sorted),
    )
    def test_widening_a_holdout_only_moves_into_it(self, row, context, holdout, percentages):
        """
        Whoever is held out stays so in a wider holdout, and nobody else's answer changes but by
        being held out.
        """
        narrow, wide = (
            answer(with_filters(row, holdout={**holdout, "exclusion_percentage": each}), context)
            for each in percentages
        )

        held_out = f"holdout-{holdout['id']}"
        assert wide.variant == held_out or wide == narrow
        assert narrow.variant != held_out or wide == narrow

    @given(
        bucketing=BUCKETINGS,
        percentage=PERCENTAGES,
        keys=st.lists(FLAG_KEYS, min_size=2),
        identifier=IDENTIFIERS,
    )
    def test_a_holdout_is_one_for_all_flags(self, bucketing, percentage, keys, identifier):
        """
        Whoever is held out of one flag is held out of all that name the holdout.
        """
        holdout = {"id": 1, "exclusion_percentage": percentage}

        variants = {
            answer(
                {"key": key, "bucketing": bucketing, "filters": {"holdout": holdout}},
                EvaluationContext(distinct_id=identifier),
            ).variant
            for key in keys
        }

        assert 1 == len(variants)

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
            flags.answers(EvaluationContext(distinct_id=f"user-{n}"))[0].enabled
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
            flags.answers(EvaluationContext(distinct_id=f"user-{n}"))[0] for n in range(40_000)
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
