"""Whom a flag is on for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

from flagstream.errors import InvalidFieldError
from flagstream.flags import (
    CompiledFlags,
    CompiledProject,
    EvaluationContext,
    FlagDefinition,
    Steps,
    compile_project,
    group_properties,
)
from flagstream.ports import Person, StateView
from flagstream.state.groups import GroupState

from .contexts import of_person
from .walk import Examined, each_group, each_person

_NOTHING: Mapping[str, Any] = {}
_Ask = Callable[[EvaluationContext], None]


class Reach(NamedTuple):
    """
    How many persons, or groups of a type, a flag is on for.

    Attributes:
        total: How many were examined.
        is_complete: These are all there are.
    """

    affected: int
    total: int
    is_complete: bool


class _Population(NamedTuple):
    """Whom to count, and when."""

    view: StateView
    project_id: int
    now_ms: int


def reach(
    view: StateView,
    project_id: int,
    project: CompiledProject,
    definition: FlagDefinition,
    now_ms: int,
) -> Steps[Reach]:
    """
    Count whom a flag is on for, be it among the project's or not.

    Args:
        definition: Of a flag that is about persons as a whole, or about groups of one type.

    Raises:
        InvalidFieldError: It looks at others besides.
    """
    flags = yield from _alone(project, definition)
    population, affected = _Population(view, project_id, now_ms), 0

    def ask(context: EvaluationContext) -> None:
        nonlocal affected
        (answer,) = flags.answers(context)
        affected += answer.enabled

    index = definition.filters.aggregation_group_type_index
    if index is None:
        examined = yield from _persons(population, flags, ask)
    else:
        names = {index: name for name, index in project.parsed.group_types.items()}
        examined = yield from _groups(population, names[index], flags, ask)
    return Reach(affected, examined.number, examined.is_complete)


def _alone(project: CompiledProject, definition: FlagDefinition) -> Steps[CompiledFlags]:
    """Compile one flag, which may name the project's cohorts and flags."""
    parsed = project.parsed
    # What others are called must not change what they are.
    key = next(name for length in count(1) if (name := "_" * length) not in parsed.rows)
    asked = replace(
        parsed,
        flags={**parsed.flags, key: definition.model_copy(update={"key": key})},
        rows={**parsed.rows, key: _NOTHING},
    )
    compiled = yield from compile_project.steps(asked, project)
    return (yield from CompiledFlags.steps_of(compiled.alone(key)))


def _persons(population: _Population, flags: CompiledFlags, ask: _Ask) -> Steps[Examined]:
    if flags.group_types:
        raise _refused("persons", "groups")

    def take(person: Person) -> None:
        ask(of_person(person, flags.person_names, population.now_ms))

    return (yield from each_person(population.view, population.project_id, take))


def _groups(
    population: _Population, group_type: str, flags: CompiledFlags, ask: _Ask
) -> Steps[Examined]:
    if flags.looks_at_person or not flags.group_types <= {group_type}:
        raise _refused("groups of that type", "others")
    names = flags.group_names.get(group_type, ())

    def take(found: tuple[str, GroupState]) -> None:
        group_key, group = found
        context = EvaluationContext(
            distinct_id="",
            groups={group_type: group_key},
            group_properties={
                group_type: group_properties(group.values(), _NOTHING, group_key, names)
            },
            now_ms=population.now_ms,
        )
        ask(context)

    return (yield from each_group(population.view, population.project_id, group_type, take))


def _refused(counted: str, others: str) -> InvalidFieldError:
    """Say that whom a condition matches follows from others than those that can be counted."""
    return InvalidFieldError("condition", f"filters of {counted} alone", f"filters of {others}")
