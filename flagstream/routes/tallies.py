"""How flags were answered, by reason; counted by answer and not by flag."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from flagstream.flags import Evaluation, Reason

# Series of flags, of a project and of all: Prometheus keeps each one's name for weeks.
_MAX_FLAGS, _MAX_SERIES = 100, 1_000
_OTHER = "(other)"
_MAX_SHARED = 512
_MAX_WEIGHT = 2_000  # some tenths of a millisecond

_Place = tuple[str, str]


class Tally:
    """
    What some answers have in common, and how often these were given since that was counted.

    Attributes:
        reasons: With the number of flags that each decided.
        without_group: Keys of the flags of groups that were asked without a group.
        is_partial: There are such flags, and *without_group* does not name them.
    """

    __slots__ = ("is_partial", "project_id", "reasons", "times", "without_group")

    def __init__(
        self, project_id: int, reasons: Sequence[Reason], keys: Sequence[str] = ()
    ) -> None:
        counts = Counter(reasons)
        self.project_id = project_id
        self.reasons = tuple(counts.items())
        self.without_group = tuple(
            key
            for key, reason in zip(keys, reasons, strict=False)
            if reason is Reason.NO_GROUP_TYPE
        )
        self.is_partial = counts[Reason.NO_GROUP_TYPE] > len(self.without_group)
        self.times = 0


_shared = lru_cache(_MAX_SHARED)(Tally)


def tally_of(project_id: int, evaluations: Sequence[Evaluation]) -> Tally:
    """Look through an answer once, however often it will be given; alike answers share a tally."""
    reasons = tuple([evaluation.reason for evaluation in evaluations])
    tally = _shared(project_id, reasons)
    if tally.is_partial:
        return _shared(project_id, reasons, tuple(evaluation.key for evaluation in evaluations))
    return tally


class Evaluations(Collector):
    """
    The counters of answers; on the event loop, as all counting.

    An answer that is kept ready is looked through once, and costs an addition when it is given.
    """

    def __init__(self) -> None:
        self._pending: list[Tally] = []
        self._weight = 0
        self._reasons = dict.fromkeys(Reason, 0)
        self._without_group: dict[_Place, int] = {}
        self._flags: Counter[str] = Counter()

    def given(self, tally: Tally) -> None:
        """Note that an answer was given."""
        tally.times += 1
        if tally.times == 1:
            self._pending.append(tally)
            self._weight += len(tally.reasons) + len(tally.without_group)
            if self._weight > _MAX_WEIGHT:
                self._count()

    def _count(self) -> None:
        for tally in self._pending:
            times, tally.times = tally.times, 0
            for reason, flags in tally.reasons:
                self._reasons[reason] += flags * times
            project = str(tally.project_id)
            for key in tally.without_group:
                place = self._place(project, key)
                self._without_group[place] = self._without_group.get(place, 0) + times
        self._pending.clear()
        self._weight = 0

    def _place(self, project: str, key: str) -> _Place:
        if (project, key) in self._without_group:
            return project, key
        if len(self._without_group) >= _MAX_SERIES:
            return _OTHER, _OTHER
        if self._flags[project] >= _MAX_FLAGS:
            return project, _OTHER
        self._flags[project] += 1
        return project, key

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield what was counted, as the registry asks for it."""
        self._count()
        by_reason = CounterMetricFamily(
            "flagstream_evaluations", "Flags that were answered, by the reason.", labels=["reason"]
        )
        for reason, number in self._reasons.items():
            by_reason.add_metric([reason.value], number)
        yield by_reason
        by_flag = CounterMetricFamily(
            "flagstream_flags_without_group",
            "Answers of flags of groups where neither the request nor the session named a group.",
            labels=["project", "flag"],
        )
        for place, number in self._without_group.items():
            by_flag.add_metric(place, number)
        yield by_flag


EVALUATIONS = Evaluations()
REGISTRY.register(EVALUATIONS)
