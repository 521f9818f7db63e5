"""What a change of a flag would do to whom: the flag as it is and as it would be, side by side."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from flagstream.flags import Evaluation

ListName = Literal["join", "leave", "stay", "move"]
LISTS: Sequence[ListName] = ("join", "leave", "stay", "move")
Value = str | bool


class PageOf(Struct, frozen=True, kw_only=True):
    """
    Which list is to be read on, and behind which name; None for its beginning.
    """

    list: ListName
    after: str | None = None


class Change(Struct, frozen=True, kw_only=True):
    """
    A change of a flag, with all definitions that it follows from.

    Attributes:
        key: Of the flag.
        now: The flag as it is; None where there is none, or it is off.
        then: As it would be, likewise.
        group_type: Whom the new definition says to be about as a whole; None for persons.
        flags: The others that either follows from, by key.
        cohorts: Likewise, by id.
        group_types: Index by name.
    """

    key: str
    now: dict[str, Any] | None
    then: dict[str, Any] | None
    group_type: str | None
    flags: dict[str, dict[str, Any]]
    cohorts: dict[int, dict[str, Any]]
    group_types: dict[str, int]
    timezone: str
    property_matching_version: int


class PreviewTask(Struct, frozen=True, kw_only=True):
    """
    All that a preview follows from, but for the views.

    Attributes:
        limit: Names that a list has at most.
        page: Only this is wanted; None for all counts, and the beginning of each list.
    """

    project_id: int
    change: Change
    now_ms: int
    timeout_s: float
    limit: int
    page: PageOf | None = None


class Welcome(Struct, frozen=True, kw_only=True):
    """
    What a process that previews is told at its start.

    Attributes:
        views: The directory of the views.
        own: One for what RocksDB writes about this reader alone.
        log_level: As the setting of that name; likewise *log_format*.
    """

    views: str
    own: str
    task: PreviewTask
    log_level: str
    log_format: str


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """The definition is about others than those who can be counted."""

    expected: str
    got: str


class Named(Struct, kw_only=True):
    """
    Somebody whose answer is told.

    Attributes:
        name: The group's key, or the id that stays of a person.
    """

    name: str
    now: Value
    then: Value


class NameList(Struct, kw_only=True):
    """
    The names of a list, in the order of their encoded keys.

    Attributes:
        count: How many there are.
        next_after: Behind which the list goes on; null at its end.
    """

    count: int
    results: list[Named]
    next_after: str | None


class Tally(Struct, kw_only=True):
    """
    What a flag answers to how many.

    Attributes:
        variants: Of those for whom it is on.
        failed: For whom it cannot be judged.
    """

    on: int
    off: int
    failed: int
    variants: dict[str, int]


class Preview(Struct, kw_only=True, tag="preview"):
    """
    What a change would do.

    Attributes:
        group_type: Whose groups were examined; null for persons.
        is_complete: All there are were examined; else time was up.
        join: Off now, on then.
        leave: On now, off then.
        stay: On now and then.
        move: Of these, who would get another variant.
    """

    group_type: str | None
    examined: int
    is_complete: bool
    now: Tally
    then: Tally
    join: NameList
    leave: NameList
    stay: NameList
    move: NameList


class PreviewPage(Struct, kw_only=True, tag="page"):
    """
    A page of one of its lists.

    Attributes:
        group_type: Whose groups they are; null for persons.
        next_after: Behind which the list goes on; null at its end. A page may be short, or empty,
            and yet have one: then time was up.
    """

    group_type: str | None
    list: ListName
    results: Sequence[Named]
    next_after: str | None


Answered = tuple[str, Evaluation | None, Evaluation | None]
"""Somebody, and what the flag answers, now and then; None where there is no flag, or it is off."""


class _Pair:
    """
    What a flag answers now and then to some.

    Attributes:
        count: To how many.
        lists: In which they stand.
        open: The names of those lists that may still grow.
    """

    __slots__ = ("answered", "count", "lists", "open")

    def __init__(self, answered: Answered, names: Mapping[ListName, list[Named]]) -> None:
        self.answered = answered
        self.count = 0
        self.lists = tuple(lists_of(answered))
        self.open = [names[name] for name in self.lists]


class Counting:
    """What was found so far, of millions: what is done for each of them is little."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # By identity: what a flag can answer is finite, and made before.
        self._pairs: dict[tuple[int, int], _Pair] = {}
        self._names: dict[ListName, list[Named]] = {name: [] for name in LISTS}

    def add(self, answered: Answered) -> None:
        """Count somebody."""
        _, now, then = answered
        pair = self._pairs.get((id(now), id(then)))
        if pair is None:
            pair = self._pairs[id(now), id(then)] = _Pair(answered, self._names)
        pair.count += 1
        if pair.open:
            for names in pair.open:
                if len(names) < self._limit:
                    names.append(named(answered))
            pair.open = [names for names in pair.open if len(names) < self._limit]

    def preview(self, group_type: str | None, *, is_complete: bool) -> Preview:
        """Sum up."""
        pairs = self._pairs.values()
        return Preview(
            group_type=group_type,
            examined=sum(pair.count for pair in pairs),
            is_complete=is_complete,
            now=_tally((pair.answered[1], pair.count) for pair in pairs),
            then=_tally((pair.answered[2], pair.count) for pair in pairs),
            **{name: self._list(name) for name in LISTS},
        )

    def _list(self, name: ListName) -> NameList:
        count = sum(pair.count for pair in self._pairs.values() if name in pair.lists)
        names = self._names[name]
        has_more = count > len(names)
        # Without names there is nothing to go on behind: from the beginning.
        after = names[-1].name if names else None
        return NameList(count=count, results=names, next_after=after if has_more else None)


def lists_of(answered: Answered) -> Iterator[ListName]:
    """Tell in which lists somebody stands."""
    _, now, then = answered
    was_on, is_on = (each is not None and each.enabled for each in (now, then))
    if is_on and not was_on:
        yield "join"
    elif was_on and not is_on:
        yield "leave"
    elif was_on:
        yield "stay"
        if _value(now) != _value(then):
            yield "move"


def named(answered: Answered) -> Named:
    """Show somebody."""
    name, now, then = answered
    return Named(name=name, now=_value(now), then=_value(then))


def _value(answer: Evaluation | None) -> Value:
    return False if answer is None else answer.value


def _tally(answers: Iterable[tuple[Evaluation | None, int]]) -> Tally:
    tally = Tally(on=0, off=0, failed=0, variants={})
    for answer, count in answers:
        if answer is None:
            tally.off += count
        elif answer.failed:
            tally.failed += count
        elif not answer.enabled:
            tally.off += count
        else:
            tally.on += count
            if answer.variant is not None:
                tally.variants[answer.variant] = tally.variants.get(answer.variant, 0) + count
    return tally
