"""From the definitions of a project to its compiled flags."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .checks import CompiledCohort, Compiler, cohort_ids, compile_cohort
from .compiler import CompiledFlag, answers_of, compile_flag, constant, disabled
from .evaluation import Answers, Evaluation, Reason
from .model import MAX_INTEGER, CohortDefinition, FlagDefinition, PropertyFilter
from .ordering import dependencies_first
from .parse import is_alone, leaves, levels
from .project import ParsedProject
from .walk import Row

# Of groups within groups, through all cohorts that name each other: each is a call deep.
_MAX_DEPTH = 100

_MISSING_DEPENDENCY = "Flag cannot be evaluated due to missing dependency"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledProject:
    """
    Flags that can be asked, and what they were made of.

    Attributes:
        by_key: The flags that are active, in the order of definition.
        missing: Keys of those that cannot be evaluated: what they depend on is missing, or depends
            on them.
        disabled: By key, the answers of the flags that are not active.
        graph: By key, the flags that a flag depends on and that are active.
    """

    parsed: ParsedProject
    by_key: Mapping[str, CompiledFlag]
    missing: Collection[str]
    disabled: Mapping[str, Evaluation]
    graph: Mapping[str, Collection[str]]


def compile_project(
    parsed: ParsedProject, before: CompiledProject | None = None
) -> CompiledProject:
    """
    Compile what was parsed. Total.

    Args:
        before: What was compiled last; what has not changed since is taken from there.
    """
    cohorts = {cohort.id: cohort for cohort in sound_cohorts(parsed)}
    active = {key: definition for key, definition in parsed.flags.items() if definition.active}
    joined = {key: definition for key, definition in active.items() if not is_alone(definition)}
    graph: dict[str, Collection[str]] = dict.fromkeys(active, ())
    graph.update(
        (key, _flags_named(definition, parsed, cohorts)) for key, definition in joined.items()
    )
    unreadable = {
        key: parsed.rows[key]
        for key in parsed.problems
        if key not in parsed.flags and parsed.rows[key].get("active", True) is not False
    }
    graph.update(dict.fromkeys(unreadable, ()))
    kept = _kept(parsed, graph, before)
    compiled = _compiled(parsed, cohorts.values(), graph, unreadable, kept, joined)
    missing = graph.keys() - compiled.keys()
    for key in missing:
        answers = answers_of(parsed.flags[key])
        answer = answers.off(Reason.MISSING_DEPENDENCY, None, _MISSING_DEPENDENCY)
        compiled[key] = constant(key, answers, answer, parsed.flags[key])
    return CompiledProject(
        parsed=parsed,
        by_key={key: compiled[key] for key in parsed.rows if key in compiled},
        missing=missing,
        disabled=_disabled(parsed),
        graph=graph,
    )


def _compiled(
    parsed: ParsedProject,
    cohorts: Iterable[CohortDefinition],
    graph: Mapping[str, Collection[str]],
    unreadable: Mapping[str, Row],
    kept: Mapping[str, CompiledFlag],
    joined: Collection[str],
) -> dict[str, CompiledFlag]:
    compiled_cohorts: dict[int, CompiledCohort] = {}
    compiler = Compiler(parsed.matching, compiled_cohorts, parsed)
    for cohort in cohorts:
        compiled_cohorts[cohort.id] = compile_cohort(cohort, compiler)
    compiled: dict[str, CompiledFlag] = {}
    for key in dependencies_first(graph):
        if key in unreadable:
            compiled[key] = _unreadable(key, unreadable[key])
        elif key in kept and all(compiled[other] is kept.get(other) for other in graph[key]):
            compiled[key] = kept[key]
        else:
            definition = parsed.flags[key]
            compiled[key] = compile_flag(definition, compiler, compiled, is_alone=key not in joined)
    return compiled


def sound_cohorts(parsed: ParsedProject) -> Sequence[CohortDefinition]:
    """
    Sort the cohorts so that each comes behind those that it names.

    Those that are defined by themselves, by a cohort that does not exist, or too many levels
    deep, are left out.
    """
    graph = {key: cohort_ids(_leaves(cohort)) for key, cohort in parsed.cohorts.items()}
    depths: dict[int, int] = {}
    for key in dependencies_first(graph):
        deepest = max((depths[other] for other in graph[key]), default=0)
        depths[key] = deepest + levels(parsed.cohorts[key].filters.properties)
    return [parsed.cohorts[key] for key, depth in depths.items() if depth <= _MAX_DEPTH]


def _leaves(cohort: CohortDefinition) -> Sequence[PropertyFilter]:
    return () if cohort.is_static else tuple(leaves(cohort.filters.properties))


def _flags_named(
    definition: FlagDefinition, parsed: ParsedProject, cohorts: Mapping[int, CohortDefinition]
) -> Collection[str]:
    """Collect the keys of the flags that a flag depends on; of one that is missing, its name."""
    named = flag_filters(definition.tests, cohorts)
    keys = {parsed.resolve(test) or _absent(test) for test in named}
    return {key for key in keys if not parsed.is_off(key)}


def _absent(test: PropertyFilter) -> str:
    """Name what is missing so that no flag is called the same."""
    return f"\0{test.key}"


def flag_filters(
    tests: Iterable[PropertyFilter], cohorts: Mapping[int, CohortDefinition]
) -> Iterator[PropertyFilter]:
    """Walk through the filters that name flags, also within *cohorts*, which are sound."""
    pending, seen = [*tests], set[int]()
    while pending:
        test = pending.pop()
        if test.type == "flag":
            yield test
        elif test.type == "cohort" and test.value not in seen:
            seen.add(test.value)
            cohort = cohorts.get(test.value)
            pending.extend(() if cohort is None else _leaves(cohort))


def _kept(
    parsed: ParsedProject,
    graph: Mapping[str, Collection[str]],
    before: CompiledProject | None,
) -> Mapping[str, CompiledFlag]:
    """Pick the flags that need not be compiled again, provided that those they name are kept."""
    if before is None or before.parsed.matching != parsed.matching:
        return {}
    known = before.parsed
    has_same_cohorts = known.cohorts.keys() == parsed.cohorts.keys() and all(
        known.cohorts[key] is cohort for key, cohort in parsed.cohorts.items()
    )
    return {
        key: flag
        for key, flag in before.by_key.items()
        if key in parsed.flags
        and key not in before.missing
        and parsed.flags[key] is known.flags.get(key)
        and (flag.is_alone or (has_same_cohorts and graph[key] == before.graph[key]))
    }


def _disabled(parsed: ParsedProject) -> Mapping[str, Evaluation]:
    return {
        key: disabled(answers_of(definition))
        for key, definition in parsed.flags.items()
        if not definition.active
    }


def _unreadable(key: str, row: Row) -> CompiledFlag:
    name = key.encode("utf-8", "replace").decode()
    answers = Answers(_count(row, "id"), name, _count(row, "version"))
    description = "The flag's definition cannot be read"
    answer = answers.off(Reason.FLAG_DATA_PARSING_ERROR, None, description, failed=True)
    return constant(name, answers, answer)


def _count(row: Row, name: str) -> int:
    value = row.get(name)
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else 0
