"""How flags were answered, counted."""

from collections import Counter

import pytest

from flagstream.flags import Evaluation, Reason
from flagstream.routes import tallies
from flagstream.routes.tallies import Evaluations, tally_of
from tests.fakes.views import PROJECT


def evaluation(key, reason):
    return Evaluation(
        id=1, key=key, version=1, enabled=False, reason=reason, description=reason.value
    )


# Of projects that no other test asks: alike answers share a tally.
def answer(*reasons, project_id=7001):
    return tally_of(project_id, [evaluation(f"f{n}", r) for n, r in enumerate(reasons)])


@pytest.fixture
def counted():
    # Answers that other tests gave and nobody has counted are not ours.
    tallies._shared.cache_clear()
    return Evaluations()


def series(collector, name):
    """Read what is not zero of one metric, by labels."""
    (family,) = [each for each in collector.collect() if each.name == name]
    return {
        tuple(sample.labels.values()): sample.value for sample in family.samples if sample.value
    }


class TestEvaluations:
    def test_by_reason(self, counted):
        """
        Every flag of every answer that was given counts, however often the same one was given.
        """
        one = answer(Reason.CONDITION_MATCH, Reason.CONDITION_MATCH, Reason.NO_CONDITION_MATCH)
        for _ in range(3):
            counted.given(one)
        counted.given(answer(Reason.CONDITION_MATCH))
        first = series(counted, "flagstream_evaluations")
        counted.given(one)

        assert {("condition_match",): 7, ("no_condition_match",): 3} == first
        assert {("condition_match",): 9, ("no_condition_match",): 4} == series(
            counted, "flagstream_evaluations"
        )

    def test_every_reason_is_there(self, counted):
        """
        A reason that did not occur is zero, so that its first time is seen.
        """
        (family, _) = counted.collect()

        assert set(Reason) == {sample.labels["reason"] for sample in family.samples}

    def test_flags_without_group(self, counted):
        """
        Flags that were asked without their group are named, with their project.
        """
        counted.given(answer(Reason.NO_GROUP_TYPE, Reason.CONDITION_MATCH, Reason.NO_GROUP_TYPE))
        counted.given(answer(Reason.NO_GROUP_TYPE, project_id=7002))

        assert {("7001", "f0"): 1, ("7001", "f2"): 1, ("7002", "f0"): 1} == series(
            counted, "flagstream_flags_without_group"
        )

    def test_bounded(self, counted):
        """
        However many projects and flags there are, there are so many series and no more; what goes
        beyond is counted together.
        """
        for project_id in range(8000, 8020):
            counted.given(answer(*[Reason.NO_GROUP_TYPE] * 150, project_id=project_id))

        found = series(counted, "flagstream_flags_without_group")
        assert 20 * 150 == sum(found.values())
        assert len(found) <= 1_001
        assert 101 == Counter(project for project, _ in found)["8000"]
        assert 50 == found["8000", "(other)"]
        assert found["(other)", "(other)"] > 0


FLAGS = [
    {"key": "company", "filters": {"aggregation_group_type_index": 0, "groups": [{}]}},
    {"key": "person", "filters": {"groups": [{}]}},
]


@pytest.fixture
def asking(client, world):
    """Ask for flags, and tell what that has added."""
    for flag in FLAGS:
        world.catalog.set_flag(flag)

    async def ask(path="/flags/?v=2", **members):
        before = await _counted(client)
        body = {"token": PROJECT.token, "distinct_id": "u", **members}
        assert 200 == (await client.post(path, json=body)).status
        return {name: n - before.get(name, 0) for name, n in (await _counted(client)).items()}

    return ask


async def _counted(client):
    text = await (await client.get("/metrics")).text()
    lines = [line.rpartition(" ") for line in text.splitlines()]
    return {
        name: float(number)
        for name, _, number in lines
        if name.startswith(("flagstream_evaluations_total", "flagstream_flags_without_group_total"))
    }


class TestRequests:
    @pytest.mark.parametrize(
        "members",
        [{}, {"path": "/decide/?v=3"}, {"path": "/flags/?v=1"}, {"flag_keys_to_evaluate": None}],
    )
    async def test_each_answer_counts(self, asking, members):
        """
        In whatever shape flags are answered, and whether that was ready, they count once.
        """
        for _ in range(2):
            added = {name: n for name, n in (await asking(**members)).items() if n}

            assert {
                'flagstream_evaluations_total{reason="condition_match"}': 1,
                'flagstream_evaluations_total{reason="no_group_type"}': 1,
                'flagstream_flags_without_group_total{flag="company",project="1"}': 1,
            } == added

    async def test_nothing_asked(self, asking):
        """
        Where no flag is evaluated, nothing is counted.
        """
        assert 0 == sum((await asking(disable_flags=True)).values())
