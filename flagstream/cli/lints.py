"""Definitions in files that are well-formed and yet not what anybody wants."""

from collections.abc import Iterable, Iterator, Sequence

from flagstream.flags import Definitions, compile_project, lint, parse_project
from flagstream.state.definitions import Kind

from .definitions import Definition


def lints(definitions: Iterable[Definition], group_types: Sequence[str]) -> Iterator[str]:
    """
    Look through definitions, together the project that there is; a line each.

    Args:
        group_types: Names in the order of their indexes; empty where they are not known.
    """
    flags = {each.body["key"]: each for each in definitions if each.kind is Kind.FLAG}
    project = compile_project(
        parse_project(
            Definitions(
                flags={key: each.body for key, each in flags.items()},
                cohorts={
                    each.body["id"]: each.body for each in definitions if each.kind is Kind.COHORT
                },
                group_types={name: index for index, name in enumerate(group_types)},
            )
        )
    )
    for key, definition in project.parsed.flags.items():
        for each in lint(definition, project, knows_group_types=bool(group_types)):
            yield flags[key].place + str(each).removeprefix("$")
