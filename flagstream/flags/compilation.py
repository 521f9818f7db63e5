"""From the definitions of a project to its compiled flags."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .checks import CompiledCohort, Compiler, cohort_ids, compile_cohort
from .compiler import CompiledFlag, answers_of, compile_flag, constant, disabled
from .evaluation import Answers, Evaluation, Reason
from .model import MAX_INTEGER, CohortDefinition, FlagDefinition, PropertyFilter
from .ordering import dependencies_first
from .parse import is_alone, leaves, levels
from .project import ParsedProject
from .steps import Steps, stepwise
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
        compiler: Made them, and makes more of the same.
    """

    parsed: ParsedProject
    compiler: Compiler
    by_key: Mapping[str, CompiledFlag]
    missing: Collection[str]
    disabled: Mapping[str, Evaluation]
    graph: Mapping[str, Collection[str]]

    def alone(self, key: str) -> "CompiledProject":
        """Leave out all flags but one, which may name the others."""
        return replace(self, by_key={key: self.by_key[key]}, disabled={})


@stepwise
def compile_project(
    parsed: ParsedProject, before: CompiledProject | None = None
) -> Steps[CompiledProject]:
    """
    Compile what was parsed, flag by flag. Total.

    Args:
        before: What was compiled last; what has not changed since is taken from there.
    """
    cohorts = {cohort.id: cohort for cohort in (yield from sound_cohorts.steps(parsed))}
    graph, joined = yield from _dependencies(parsed, cohorts)
    unreadable = {
        key: parsed.rows[key]
        for key in parsed.problems
        if key not in parsed.flags and parsed.rows[key].get("active", True) is not False
    }
    graph.update(dict.fromkeys(unreadable, ()))
    kept = yield from _kept(parsed, graph, before)
    compiler = yield from _compiler(parsed, cohorts.values(), before)
    compiled: dict[str, CompiledFlag] = {}
    for key in (yield from dependencies_first.steps(graph)):
        if key in unreadable:
            compiled[key] = _unreadable(key, unreadable[key])
        elif key in kept and all(compiled[other] is kept.get(other) for other in graph[key]):
            compiled[key] = kept[key]
        else:
            definition = parsed.flags[key]
            compiled[key] = compile_flag(definition, compiler, compiled, is_alone=key not in joined)
        yield
    missing = graph.keys() - compiled.keys()
    for key in missing:
        answers = answers_of(parsed.flags[key])
        answer = answers.off(Reason.MISSING_DEPENDENCY, None, _MISSING_DEPENDENCY)
        compiled[key] = constant(key, answers, answer, parsed.flags[key])
        yield
    return CompiledProject(
        parsed=parsed,
        compiler=compiler,
        by_key=(yield from _in_order(compiled, parsed.rows)),
        missing=missing,
        disabled=(yield from _disabled(parsed)),
        graph=graph,
    )


def _dependencies(
    parsed: ParsedProject, cohorts: Mapping[int, CohortDefinition]
) -> Steps[tuple[dict[str, Collection[str]], Collection[str]]]:
    """Collect what each active flag depends on, and the keys of those that name anything."""
    graph: dict[str, Collection[str]] = {}
    joined: set[str] = set()
    for key, definition in parsed.flags.items():
        yield
        if not definition.active:
            continue
        graph[key] = ()
        if not is_alone(definition):
            graph[key] = _flags_named(definition, parsed, cohorts)
            joined.add(key)
    return graph, joined


def _compiler(
    parsed: ParsedProject, cohorts: Iterable[CohortDefinition], before: CompiledProject | None
) -> Steps[Compiler]:
    """Make what compiles flags; it knows the cohorts."""
    compiled: dict[int, CompiledCohort] = {}
    compiler = Compiler(parsed.matching, compiled, parsed)
    known: Mapping[int, CompiledCohort] = {} if before is None else before.compiler.cohorts
    for cohort in cohorts:
        is_known = before is not None and before.parsed.cohorts.get(cohort.id) is cohort
        # A list of members follows from nothing else, and may be long: it is there once.
        kept = known.get(cohort.id) if is_known and cohort.is_static else None
        compiled[cohort.id] = compile_cohort(cohort, compiler) if kept is None else kept
        yield
    return compiler


def _in_order(
    compiled: Mapping[str, CompiledFlag], keys: Iterable[str]
) -> Steps[Mapping[str, CompiledFlag]]:
    ordered: dict[str, CompiledFlag] = {}
    for key in keys:
        if key in compiled:
            ordered[key] = compiled[key]
        yield
    return ordered


@stepwise
def sound_cohorts(parsed: ParsedProject) -> Steps[Sequence[CohortDefinition]]:
    """
    Sort the cohorts so that each comes behind those that it names.

    Those that are defined by themselves, by a cohort that does not exist, or too many levels
    deep, are left out.
    """
    graph: dict[int, Collection[int]] = {}
    for key, cohort in parsed.cohorts.items():
        graph[key] = cohort_ids(_leaves(cohort))
        yield
    depths: dict[int, int] = {}
    for key in (yield from dependencies_first.steps(graph)):
        deepest = max((depths[other] for other in graph[key]), default=0)
        depths[key] = deepest + levels(parsed.cohorts[key].filters.properties)
        yield
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
) -> Steps[Mapping[str, CompiledFlag]]:
    """Pick the flags that need not be compiled again, provided that those they name are kept."""
    kept: dict[str, CompiledFlag] = {}
    if before is None or before.parsed.matching != parsed.matching:
        return kept
    known = before.parsed
    has_same_cohorts = known.cohorts.keys() == parsed.cohorts.keys() and all(
        known.cohorts[key] is cohort for key, cohort in parsed.cohorts.items()
    )
    for key, flag in before.by_key.items():
        yield
        if (
            key in parsed.flags
            and key not in before.missing
            and parsed.flags[key] is known.flags.get(key)
            and (flag.is_alone or (has_same_cohorts and graph[key] == before.graph[key]))
        ):
            kept[key] = flag
    return kept


def _disabled(parsed: ParsedProject) -> Steps[Mapping[str, Evaluation]]:
    answers: dict[str, Evaluation] = {}
    for key, definition in parsed.flags.items():
        if not definition.active:
            answers[key] = disabled(answers_of(definition))
        yield
    return answers


def _unreadable(key: str, row: Row) -> CompiledFlag:
    name = key.encode("utf-8", "replace").decode()
    answers = Answers(_count(row, "id"), name, _count(row, "version"))
    description = "The flag's definition cannot be read"
    answer = answers.off(Reason.FLAG_DATA_PARSING_ERROR, None, description, failed=True)
    return constant(name, answers, answer)


def _count(row: Row, name: str) -> int:
    value = row.get(name)
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else 0
