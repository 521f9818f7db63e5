"""Compiled flags: an immutable snapshot that is asked on the request path."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self

from flagstream.errors import Problem

from .bucketing import utf8
from .checks import Needs
from .compilation import CompiledProject, compile_project
from .compiler import UNREAD, CompiledFlag, disabled, unjudged
from .conditions import Rule
from .context import INITIAL, group_properties
from .evaluation import Evaluation, EvaluationContext
from .project import Definitions, parse_project
from .slots import (
    ALIASES,
    ANON,
    ANSWERS,
    DEVICE,
    EMPTY,
    HASH_KEYS,
    NOW,
    PERSON,
    STICKY,
    Request,
    group_slot,
)
from .steps import Steps, finished
from .walk import Row

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_MAX_AUDIENCES = 256
_READY_AUDIENCES = 8
_PERSONS = frozenset({PERSON, DEVICE, STICKY})


# Names of parts, next to those of group types: numbers, which are looked up in no time.
_Part = str | int
_PERSON_PART, _OTHER_PART, _NO_PART = range(3)

_EVERY_RUNTIME = "all"
# The runtime, and the contexts of which a flag must have one if it has any.
_Audience = tuple[str | None, frozenset[str] | None]


class CompiledFlags:
    """
    Compiled flags in the order of their definition; immutable, compared by identity.

    Made of stored rows by :func:`flagstream.flags.compile_project`.

    Each flag is in one of :meth:`group_flags`, by type, in :attr:`person_flags` or in
    :attr:`other_flags`. The answers of the first depend on nothing but this set, the group's key
    and the group's properties, those of the second on nothing but the person. So a server can keep
    them ready until one of these changes::

        ready = cache.get((flags, group_type, group_key))
        if ready is None:
            ready = flags.group_flags(group_type).answers(context)

    and has only :attr:`other_flags` to evaluate for each request.

    Attributes:
        keys: Of the flags, in order.
        problems: By flag key, what is wrong with the definitions that cannot be read.
        looks_at_person: Some flag looks at the person, be it for the identifier alone.
        needs_person: Something that is stored of the person can change an answer.
        person_names: The properties of the person that are looked at.
        group_types: Names of the types whose groups some flag looks at.
        group_names: By these, the properties that are looked at.
        sticky_keys: Of the flags that bucket persons by who they were before being identified.
        has_runtimes: Some flags are for the requests of servers alone, or of clients.
    """

    def __init__(self) -> None:
        """Make a set without flags; all others are made by :meth:`of`."""
        finished(self._take_in((), _NOTHING))

    @classmethod
    def of(cls, project: CompiledProject) -> Self:
        """Take in all flags of a project that are active."""
        return finished(cls.steps_of(project))

    @classmethod
    def steps_of(cls, project: CompiledProject) -> Steps[Self]:
        """Do the same flag by flag."""
        return (
            yield from cls._made(
                tuple(project.by_key.values()),
                project.parsed.group_types,
                disabled=project.disabled,
                problems=project.parsed.problems,
            )
        )

    @classmethod
    def _made(
        cls,
        flags: Sequence[CompiledFlag],
        group_types: Mapping[str, int],
        visible: Collection[str] | None = None,
        disabled: Mapping[str, Evaluation] = _NOTHING,
        problems: Mapping[str, Sequence[Problem]] = _NOTHING,
    ) -> Steps[Self]:
        made = cls.__new__(cls)
        yield from made._take_in(  # noqa: SLF001 -- its own kind
            flags, group_types, visible, disabled, problems
        )
        return made

    def _take_in(
        self,
        flags: Sequence[CompiledFlag],
        group_types: Mapping[str, int],
        visible: Collection[str] | None = None,
        disabled: Mapping[str, Evaluation] = _NOTHING,
        problems: Mapping[str, Sequence[Problem]] = _NOTHING,
    ) -> Steps[None]:
        """
        Take *flags* in.

        Args:
            group_types: Index by name, of all types that the project has.
            visible: Keys of all flags that the audience sees, of which *flags* may be a part. The
                others are false to the flags that depend on them. None is all.
            disabled: By key, the answers of flags that are not active.
            problems: By key, of the flags that cannot be read.
        """
        self._flags = flags
        self._all_group_types = group_types
        self._visible = visible
        self._disabled = disabled
        self.problems = problems
        self._audiences: dict[_Audience, CompiledFlags] = {}
        yield from self._read_needs()
        yield from self._read_slots()
        yield from self._read_audiences()
        yield from self._split()

    def _read_needs(self) -> Steps[None]:
        """Find out which flags are asked before others, and note where each is."""
        needs: dict[str, CompiledFlag] = {}
        for flag in self._flags:
            needs.update((each.key, each) for each in flag.needs)
            yield
        self._needs = tuple(needs.values())
        self._hidden = _hidden(self._needs, self._visible)
        self._positions: dict[str, int] = {}
        rules: list[Rule] = []
        for flag in self._flags:
            self._positions[flag.key] = len(rules)
            rules.append(_recalling(flag.key) if flag.key in needs else flag.rule)
            yield
        self.keys: Collection[str] = tuple(self._positions)
        self._rules = tuple(rules)
        self._named_rules = tuple(zip(self.keys, self._rules, strict=True))

    def _read_slots(self) -> Steps[None]:
        """Find out what the flags look at."""
        looked_at, needs = set[int](), Needs()
        for flag in self._flags:
            looked_at |= flag.slots
            needs.read_all(flag.reads)
            needs.is_timed |= flag.is_timed
            yield
        reads = needs.reads
        places = {group_slot(index): name for name, index in self._all_group_types.items()}
        self._group_slots = tuple(
            (places[slot], slot) for slot in sorted(looked_at & places.keys())
        )
        self.looks_at_person = not looked_at.isdisjoint({PERSON, DEVICE})
        self._looks_at_group_key = any("$group_key" in reads.get(slot, ()) for slot in places)
        self._looks_at_time = needs.is_timed
        self._looks_beyond_groups = self.looks_at_person or self._looks_at_time
        self.person_names = reads.get(PERSON, frozenset[str]())
        self._adds_to_person = not self.person_names.isdisjoint({"distinct_id", *INITIAL})
        self.group_types = frozenset(name for name, _ in self._group_slots)
        self.group_names = {
            name: reads.get(slot, frozenset[str]()) for name, slot in self._group_slots
        }
        sticky_keys = set[str]()
        for flag in (*self._flags, *self._needs):
            if flag.is_sticky:
                sticky_keys.add(flag.key)
            yield
        self.sticky_keys = frozenset(sticky_keys)
        self.needs_person = PERSON in reads or bool(sticky_keys)

    def _read_audiences(self) -> Steps[None]:
        """Find out who sees the flags."""
        runtimes, contexts = set[str](), set[str]()
        for flag in self._flags:
            if flag.runtime:
                runtimes.add(flag.runtime)
            contexts |= flag.contexts
            yield
        self._runtimes, self._contexts = frozenset(runtimes), frozenset(contexts)
        self.has_runtimes = bool(runtimes)

    def _split(self) -> Steps[None]:
        """Make the parts."""
        names = {slot: name for name, slot in self._group_slots}
        parts: defaultdict[_Part, list[CompiledFlag]] = defaultdict(list)
        for flag in self._flags:
            parts[_part_of(flag, names)].append(flag)
            yield
        self._parts: dict[_Part, CompiledFlags] = {}
        # A set that is its own only part does not hold itself: cycles are not freed by themselves.
        self._whole = next(iter(parts)) if len(parts) == 1 else _NO_PART
        if len(parts) > 1:
            for name, part in parts.items():
                made = CompiledFlags._made(tuple(part), self._all_group_types, self._visible)
                self._parts[name] = yield from made

    def group_flags(self, group_type: str) -> "CompiledFlags":
        """Give the flags that look at groups of this type and at nothing else."""
        return self._part(group_type)

    @property
    def person_flags(self) -> "CompiledFlags":
        """Give the flags that look at the person and at nothing else, or at nobody."""
        return self._part(_PERSON_PART)

    @property
    def other_flags(self) -> "CompiledFlags":
        """Give the flags that look at several, or at the time."""
        return self._part(_OTHER_PART)

    def group_context(
        self,
        group_type: str,
        group_key: str | None,
        stored: Mapping[str, Any],
        given: Mapping[str, Any] = _NOTHING,
    ) -> EvaluationContext:
        """
        Make the context in which :meth:`group_flags` are asked for a group.

        Args:
            group_key: None where no group is named.
            given: Properties that go before the stored ones.
        """
        if group_key is None:
            return EvaluationContext(distinct_id="")
        names = self.group_names.get(group_type, ())
        properties = group_properties(stored, given, group_key, names)
        return EvaluationContext(
            distinct_id="",
            groups={group_type: group_key},
            group_properties={group_type: properties},
        )

    def looking_at(self, group_type: str, names: Collection[str]) -> Sequence[str]:
        """Give the keys of the flags that look at some of these properties of groups of a type."""
        slot, wanted = dict(self._group_slots).get(group_type), frozenset(names)
        if slot is None:
            return ()
        return [flag.key for flag in self._flags if not wanted.isdisjoint(flag.reads.get(slot, ()))]

    def part_of(self, key: str) -> "CompiledFlags | None":
        """Give the part that a flag is in, whose context is all that it needs; None without it."""
        if key not in self._positions:
            return None
        parts = self._parts.values()
        return next((part for part in parts if key in part._positions), self)  # noqa: SLF001 -- same

    def _part(self, name: _Part) -> "CompiledFlags":
        if self._whole == name:
            return self
        return self._parts.get(name) or _no_flags()

    def visible(self, runtime: str | None, contexts: Collection[str]) -> "CompiledFlags":
        """
        Give the flags that an audience sees.

        Args:
            runtime: Of the request, ``server`` or ``client``; ``all`` sees the flags of both, None,
                where it is not known, those of neither.
            contexts: That the request names; empty is all.
        """
        if not self._runtimes and not (self._contexts and contexts):
            return self
        known = self._contexts.intersection(contexts) if contexts else None
        is_told = runtime == _EVERY_RUNTIME or runtime in self._runtimes
        audience = (runtime if is_told else None, known)
        found = self._audiences.get(audience)
        return finished(self._prepared(*audience)) if found is None else found

    def prepare(self, replaced: "CompiledFlags") -> Steps[None]:
        """Make what those see who asked another set last, before they wait for it."""
        if self._runtimes or self._contexts:
            for audience in list(replaced._audiences)[-_READY_AUDIENCES:]:  # noqa: SLF001 -- same
                yield from self._prepared(*audience)

    def _prepared(
        self, runtime: str | None, contexts: frozenset[str] | None
    ) -> "Steps[CompiledFlags]":
        seen: dict[str, CompiledFlag] = {}
        for flag in self._flags:
            is_for = contexts is None or not flag.contexts or not flag.contexts.isdisjoint(contexts)
            if is_for and (runtime == _EVERY_RUNTIME or flag.runtime in (None, runtime)):
                seen[flag.key] = flag
            yield
        flags = yield from CompiledFlags._made(
            tuple(seen.values()), self._all_group_types, seen.keys(), self._disabled
        )
        if len(self._audiences) >= _MAX_AUDIENCES:
            self._audiences.clear()
        self._audiences[runtime, contexts] = flags
        return flags

    def answers(
        self, context: EvaluationContext, keys: Collection[str] | None = None
    ) -> Sequence[Evaluation]:
        """
        Evaluate in the order of definition. Total: every context has answers.

        Args:
            context: With all properties that are looked at, ``$group_key`` and the like among
                them.
            keys: Of the flags to evaluate; unknown ones are passed over. None is all.
        """
        request = self._request(context)
        return self._ask(request) if keys is None else self._ask_for(request, keys)

    def asked(self, context: EvaluationContext, key: str) -> tuple[Evaluation, Request]:
        """
        Evaluate one flag, and give the request as it was asked, with what that depended on.

        Raises:
            KeyError: There is no such flag in this set.
        """
        request = self._request(context)
        flag = self._flags[self._positions[key]]
        self._ask_first(request, flag.needs)
        return flag.rule(request), request

    def group_types_of(self, key: str) -> frozenset[str]:
        """Name the types whose groups a flag looks at; none where it is not in this set."""
        position = self._positions.get(key)
        slots = frozenset[int]() if position is None else self._flags[position].slots
        return frozenset(name for name, slot in self._group_slots if slot in slots)

    def _request(self, context: EvaluationContext) -> Request:
        request = EMPTY.copy()
        if self.looks_at_person:
            request[PERSON] = (context.person_properties, utf8(context.distinct_id))
            if context.device_id:
                request[DEVICE] = (context.person_properties, utf8(context.device_id))
            if context.anon_distinct_id:
                request[ANON] = utf8(context.anon_distinct_id)
            if self.needs_person:
                self._fill_stored(request, context)
        groups, properties = context.groups, context.group_properties
        for group_type, slot in self._group_slots:
            group_key = groups.get(group_type)
            if group_key is not None:
                request[slot] = (properties.get(group_type, _NOTHING), utf8(group_key))
        request[NOW] = context.now_ms
        return request

    def only_rule(self) -> Rule:
        """Give the rule of the only flag, which asks those first that it depends on."""
        (flag,) = self._flags
        rule, needs = flag.rule, flag.needs
        if not needs:
            return rule

        def ask(request: Request) -> Evaluation:
            self._ask_first(request, needs)
            return rule(request)

        return ask

    def failing(
        self,
        answers: Iterable[Evaluation],
        unread: Mapping[str | None, Collection[str] | None],
        description: str = UNREAD,
    ) -> list[Evaluation]:
        """
        Let those of some answers fail that may follow from what could not be read.

        Args:
            unread: By the name of a group's type, or None for the person, the names of the
                properties that are known all the same; None where not even the group is known.
            description: Why, in words.
        """
        slots = {
            PERSON if name is None else group_slot(self._all_group_types[name]): known
            for name, known in unread.items()
        }
        flags = ((answer, self._flags[self._positions[answer.key]]) for answer in answers)
        return [
            unjudged(flag.answers, description) if flag.may_need(slots) else answer
            for answer, flag in flags
        ]

    def _fill_stored(self, request: Request, context: EvaluationContext) -> None:
        if context.hash_keys:
            request[HASH_KEYS] = {key: utf8(value) for key, value in context.hash_keys.items()}
        if context.distinct_ids:
            request[ALIASES] = tuple(map(utf8, context.distinct_ids))

    def _ask(self, request: Request) -> list[Evaluation]:
        if self._needs:
            self._ask_first(request, self._needs)
        answers: list[Evaluation] = []
        for rule in self._rules:
            answers.append(rule(request))  # noqa: PERF401 -- for one flag, half the time
        return answers

    def _ask_for(self, request: Request, keys: Collection[str]) -> list[Evaluation]:
        positions = sorted({self._positions[key] for key in keys if key in self._positions})
        flags = [self._flags[position] for position in positions]
        self._ask_first(request, _needs_of(flags))
        return [flag.rule(request) for flag in flags]

    def _ask_first(self, request: Request, needs: Iterable[CompiledFlag]) -> None:
        """Ask the flags that others depend on, each after those that it depends on itself."""
        known = request[ANSWERS] = dict(self._hidden)
        for flag in needs:
            if flag.key not in known:
                known[flag.key] = flag.rule(request)


def group_requests(
    group_type_index: int, now_ms: int, names: Collection[str]
) -> Callable[[str, Mapping[str, Any]], Request]:
    """
    Make what makes the requests of one group after the other, and nobody else.

    Args:
        names: The properties that are looked at.
    """
    slot, empty = group_slot(group_type_index), EMPTY.copy()
    empty[NOW] = now_ms
    is_key_seen = "$group_key" in names

    def make(group_key: str, properties: Mapping[str, Any]) -> Request:
        if is_key_seen:
            properties = {**properties, "$group_key": group_key}
        request = empty.copy()
        request[slot] = (
            properties,
            group_key.encode() if group_key.isascii() else utf8(group_key),
        )
        return request

    return make


@lru_cache(maxsize=1)
def _no_flags() -> CompiledFlags:
    return CompiledFlags()


def _part_of(flag: CompiledFlag, group_types: Mapping[int, str]) -> _Part:
    """Tell where a flag belongs; *group_types* by slot."""
    if flag.is_timed:
        return _OTHER_PART
    if flag.slots <= _PERSONS:
        return _PERSON_PART
    slot, *others = flag.slots
    return _OTHER_PART if others else group_types.get(slot, _OTHER_PART)


def _needs_of(flags: Iterable[CompiledFlag]) -> Sequence[CompiledFlag]:
    return tuple({each.key: each for flag in flags for each in flag.needs}.values())


def _hidden(
    needs: Sequence[CompiledFlag], visible: Collection[str] | None
) -> Mapping[str, Evaluation]:
    """Make the answers of the flags that the audience does not see, as other flags see them."""
    if visible is None:
        return {}
    return {flag.key: disabled(flag.answers) for flag in needs if flag.key not in visible}


def _recalling(key: str) -> Rule:
    """Make the rule of a flag that was asked before the others, because they depend on it."""

    def recall(request: Request) -> Evaluation:
        answer: Evaluation = request[ANSWERS][key]
        return answer

    return recall


def compile_flags(rows: Mapping[str, Row], group_types: Mapping[str, int]) -> CompiledFlags:
    """
    Compile stored rows, by key; those of flags that are active and not deleted. Total.

    A row that does not parse becomes a flag that answers ``failed``; the others work.

    Args:
        group_types: Index by name.
    """
    definitions = Definitions(flags=rows, group_types=group_types)
    return CompiledFlags.of(compile_project(parse_project(definitions)))
