"""The laws of evaluation, for any definitions and any context."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace as changed_project
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import (
    CompiledFlags,
    CompiledProject,
    Definitions,
    Evaluation,
    EvaluationContext,
    FlagDefinition,
    FlagSet,
    LocalDefinitions,
    Reason,
    Sdk,
    compile_flags,
    compile_project,
    group_properties,
    local_definitions,
    parse_flag,
    parse_project,
    person_properties,
)
from tests.fakes.definitions import (
    ASKS,
    AUDIENCES,
    BUCKETINGS,
    CONTEXTS,
    FLAG_KEYS,
    GROUP_PROJECTS,
    GROUP_TYPES,
    HOLDOUTS,
    IDENTIFIERS,
    JSON,
    PERCENTAGES,
    PERSONS_PROPERTIES,
    PROJECT_KEYS,
    PROJECTS,
    ROWS,
    TEXTS,
    UNREADABLE_ROWS,
)

ROOT = Path(__file__).parents[3]
ROW_LISTS = st.lists(ROWS, max_size=4, unique_by=lambda row: row["key"])


def by_key(rows):
    return {row["key"]: row for row in rows}


def answer(row, context):
    (evaluation,) = compile_flags({row["key"]: row}, GROUP_TYPES).answers(context)
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


def with_filters(row, **filters):
    return {**row, "filters": {**row["filters"], **filters}}


def project_of(definitions: Definitions, before: CompiledProject | None = None) -> CompiledProject:
    return compile_project(parse_project(definitions, before and before.parsed), before)


def compiled(definitions: Definitions) -> CompiledFlags:
    return CompiledFlags.of(project_of(definitions))


def answers(definitions: Definitions, context: EvaluationContext) -> Mapping[str, Evaluation]:
    return {each.key: each for each in compiled(definitions).answers(context)}


def with_flags(definitions: Definitions, rows: Mapping[str, Any]) -> Definitions:
    return changed_project(definitions, flags=rows)


def documents(project: CompiledProject, before: tuple[LocalDefinitions, ...] | None = None):
    """Make the documents, for a server that remembers groups and for one that does not."""
    return tuple(
        local_definitions(project, remembers_groups=remembers, before=before and before[remembers])
        for remembers in (False, True)
    )


def filters_of(definitions: Definitions, row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Walk through the filters of a flag, and of the cohorts and flags that they name."""
    pending, seen = [row["filters"]], set()
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
            continue
        inner = part.get("groups", part.get("properties", part.get("values")))
        if inner is not None and "operator" not in part:
            pending.append(inner)
            continue
        yield part
        place = (part.get("type"), part.get("value" if part.get("type") == "cohort" else "key"))
        if place in seen:
            continue
        seen.add(place)
        if part.get("type") == "cohort" and part["value"] in definitions.cohorts:
            pending.append(definitions.cohorts[part["value"]].get("filters", []))
        elif part.get("type") == "flag" and named(part) in definitions.flags:
            pending.append(definitions.flags[named(part)]["filters"])


def named(test: Mapping[str, Any]) -> str:
    """Tell the key of the flag that a filter names by key or by id."""
    at = int(test["key"]) - 1 if test["key"].isdecimal() else len(PROJECT_KEYS)
    return PROJECT_KEYS[at] if at < len(PROJECT_KEYS) else test["key"]


def needed(definitions: Definitions, key: str) -> set[str]:
    """Collect a flag and all that it follows from."""
    tests = filters_of(definitions, definitions.flags[key])
    return {key} | {named(test) for test in tests if test.get("type") == "flag"}


def needs_members(definitions: Definitions, key: str) -> bool:
    """Tell whether a flag looks at a cohort whose members are listed."""
    return any(
        test.get("type") == "cohort"
        and definitions.cohorts.get(test["value"], {}).get("is_static", False)
        for test in filters_of(definitions, definitions.flags[key])
    )


def as_server(flags: CompiledFlags, context: EvaluationContext) -> EvaluationContext:
    """Add what a server adds to the properties that are given."""
    return replace(
        context,
        person_properties=person_properties(
            {}, context.person_properties, context.distinct_id, flags.person_names
        ),
        group_properties={
            name: group_properties({}, context.group_properties.get(name, {}), group_key, names)
            for name, names in flags.group_names.items()
            if (group_key := context.groups.get(name)) is not None
        },
    )


def without_store(context: EvaluationContext) -> EvaluationContext:
    """Leave out what only a server knows."""
    return replace(context, anon_distinct_id=None, hash_keys={}, distinct_ids=())


def evaluated(
    flags: FlagSet, context: EvaluationContext, keys: Any = None
) -> Mapping[str, Evaluation]:
    return flags.evaluate(
        context.distinct_id,
        groups=context.groups,
        person_properties=context.person_properties,
        group_properties=context.group_properties,
        device_id=context.device_id,
        flag_keys=keys,
        now=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=context.now_ms),
    )


class TestTotality:
    @given(rows=ROW_LISTS, context=CONTEXTS, keys=st.lists(FLAG_KEYS))
    def test_every_context_has_answers(self, rows, context, keys):
        """
        Every accepted definition answers every context, as JSON that a client can read.
        """
        flags = compile_flags(by_key(rows), GROUP_TYPES)

        answers = flags.answers(context)

        assert list(by_key(rows)) == [each.key for each in answers] == list(flags.keys)
        assert not any(each.failed for each in answers)
        document = orjson.loads(b"{%b}" % b",".join(each.v2 for each in answers))
        assert {each.key: (each.enabled, each.variant) for each in answers} == {
            key: (record["enabled"], record["variant"]) for key, record in document.items()
        }
        assert [each for each in answers if each.key in keys] == flags.answers(context, keys)

    @given(definitions=PROJECTS, context=ASKS)
    def test_every_project_has_answers(self, definitions, context):
        """
        Whatever flags and cohorts name, all active flags answer, in order; what fails says why.
        """
        given = answers(definitions, context)

        assert [key for key, row in definitions.flags.items() if row["active"]] == list(given)
        for key, each in given.items():
            assert each.failed is (each.reason is Reason.DEPENDENCY_NOT_FOUND)
            assert not each.failed or not each.enabled
            assert not each.failed or any(
                test.get("type") == "cohort"
                for test in filters_of(definitions, definitions.flags[key])
            )
            assert orjson.loads(b"{%b}" % each.v2)[key]["reason"]["code"] == each.reason

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
        project = project_of(Definitions(flags=rows, group_types=GROUP_TYPES))
        answers = CompiledFlags.of(project).answers(EvaluationContext(distinct_id="u"))

        assert definition or problems
        for local in documents(project):
            assert all(orjson.loads(local.documents[sdk])["cohorts"] == {} for sdk in Sdk)
        assert not definition or all(
            each.reason is Reason.DEPENDENCY_NOT_FOUND for each in answers if each.failed
        )

    @given(
        definitions=PROJECTS,
        context=CONTEXTS,
        path=st.lists(st.randoms(use_true_random=False), min_size=1, max_size=7),
        value=JSON,
    )
    def test_any_change_of_a_cohort_is_judged_or_fails(self, definitions, context, path, value):
        """
        Whatever a member of a cohort becomes, flags that name it are answered or fail.
        """
        rows = {
            cohort_id: row if cohort_id > 1 else changed(row, path, value)
            for cohort_id, row in definitions.cohorts.items()
        }
        assume(all(isinstance(row, dict) for row in rows.values()))
        project = project_of(changed_project(definitions, cohorts=rows))

        given = CompiledFlags.of(project).answers(context)

        assert {Reason.DEPENDENCY_NOT_FOUND}.issuperset(
            each.reason for each in given if each.failed
        )
        assert all(orjson.loads(each.documents[Sdk.OTHER]) for each in documents(project))

    @given(rows=st.dictionaries(TEXTS, st.dictionaries(TEXTS, JSON)), context=CONTEXTS)
    def test_rows_that_do_not_parse_fail_alone(self, rows, context):
        """
        Whatever is stored, each flag has an answer and the document can be encoded.
        """
        flags = compile_flags({**rows, "good": {"key": "good"}}, GROUP_TYPES)

        *others, good = sorted(flags.answers(context), key=lambda each: each.key == "good")

        assert not good.failed
        assert all(each.failed for each in others)
        orjson.loads(b"{%b}" % b",".join(each.v2 for each in (*others, good)))

    @given(definitions=PROJECTS, context=ASKS, row=UNREADABLE_ROWS)
    def test_an_unreadable_flag_changes_no_other(self, definitions, context, row):
        """
        A row that cannot be read is one flag that fails, even where it has another one's id.
        """
        rows = {"odd": {"key": "odd", **row}, **definitions.flags}

        given = dict(answers(with_flags(definitions, rows), context))

        odd = given.pop("odd", None)
        assert answers(definitions, context) == given
        assert (None if odd is None else odd.reason) == (
            None if row.get("active") is False else Reason.FLAG_DATA_PARSING_ERROR
        )

    @given(rows=ROW_LISTS)
    def test_the_document_can_be_encoded(self, rows):
        """
        Whatever parses can be sent to SDKs, and parses again to the same definition.
        """
        project = project_of(Definitions(flags=by_key(rows), group_types=GROUP_TYPES))
        forgets, _ = documents(project)

        for sdk in Sdk:
            sent = json.loads(forgets.documents[sdk])["flags"]
            assert [row["key"] for row in rows] == [each["key"] for each in sent]
            for row, each in zip(rows, sent, strict=True):
                assert parse_flag(row).filters.groups == parse_flag(each).filters.groups


class TestConsistency:
    @given(definitions=GROUP_PROJECTS, context=ASKS, other=ASKS)
    def test_a_groups_answer_is_the_groups_alone(self, definitions, context, other):
        """
        A group flag depends on the group's key and properties: not on who asks, on other groups,
        on the device, on what is stored of the person, or on the time.
        """
        flags = compiled(definitions)
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

        first, second = (flags.answers(each) for each in asks)

        assert first == second
        assert not flags.needs_person
        assert {"organization"} >= flags.group_types

    @given(definitions=PROJECTS, context=ASKS, seed=st.randoms(use_true_random=False))
    def test_in_any_order(self, definitions, context, seed):
        """
        The order of flags and of cohorts changes no answer.
        """

        def shuffled(rows):
            return dict(random.Random(seed.random()).sample(list(rows.items()), len(rows)))

        other = Definitions(
            flags=shuffled(definitions.flags),
            cohorts=shuffled(definitions.cohorts),
            group_types=shuffled(definitions.group_types),
            timezone=definitions.timezone,
            property_matching_version=definitions.property_matching_version,
        )

        assert answers(definitions, context) == answers(other, context)

    @given(definitions=PROJECTS, context=ASKS)
    def test_alone_or_among_others(self, definitions, context):
        """
        A flag answers the same alone, but for what it follows from, as among all others.
        """
        together = answers(definitions, context)

        for key, each in together.items():
            needs = needed(definitions, key)
            rows = {name: row for name, row in definitions.flags.items() if name in needs}
            assert each == answers(with_flags(definitions, rows), context)[key]

    @given(definitions=PROJECTS, context=CONTEXTS, keys=st.lists(st.sampled_from(PROJECT_KEYS)))
    def test_one_by_one_or_all_at_once(self, definitions, context, keys):
        """
        All flags at once, some of them, each by itself, or through the library: the same answers.
        """
        project = project_of(definitions)
        flags, library = CompiledFlags.of(project), FlagSet.of(project)
        context = without_store(context)
        seen = as_server(flags, context)

        given = flags.answers(seen)

        assert given == [each for key in flags.keys for each in flags.answers(seen, [key])]
        assert [each for each in given if each.key in keys] == flags.answers(seen, keys)
        assert {each.key: each for each in given} == evaluated(library, context)
        some = evaluated(library, context, keys)
        assert {
            key: definitions.flags[key]["active"] for key in keys if key in definitions.flags
        } == {key: each.reason is not Reason.FLAG_DISABLED for key, each in some.items()}
        assert [each for each in given if each.key in keys] == [
            each for each in some.values() if each.reason is not Reason.FLAG_DISABLED
        ]

    @pytest.mark.parametrize("seed", ["1", "2"])
    def test_in_any_process(self, seed):
        """
        Another process, which orders sets otherwise, gives the same answers and documents.
        """
        script = Path(__file__).parent / "print_answers.py"

        def printed(hash_seed):
            environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
            return subprocess.run(
                [sys.executable, script], env=environment, capture_output=True, check=True
            ).stdout

        expected = printed("0")

        assert 100 < expected.count(b"\n")
        assert expected == printed(seed)

    @given(definitions=PROJECTS, context=ASKS)
    def test_the_parts_make_the_whole(self, definitions, context):
        """
        Each flag is in exactly one part, and the parts answer as the whole does.
        """
        flags = compiled(definitions)
        parts = [flags.person_flags, flags.other_flags, *map(flags.group_flags, GROUP_TYPES)]

        given = [each for part in parts for each in part.answers(context)]

        assert sorted(given, key=lambda each: each.key) == sorted(
            flags.answers(context), key=lambda each: each.key
        )

    @given(definitions=PROJECTS, context=ASKS, properties=PERSONS_PROPERTIES, other=ASKS)
    def test_only_what_is_named_has_to_be_read(self, definitions, context, properties, other):
        """
        Properties that the set does not name change no answer, nor, where it does not need the
        person, anything that is stored of the person.
        """
        flags = compiled(definitions)
        group_names = {name: flags.group_names.get(name, ()) for name in GROUP_TYPES}
        needs = flags.needs_person
        changed_context = replace(
            context,
            person_properties=mixed(context.person_properties, properties, flags.person_names),
            group_properties={
                name: mixed(context.group_properties.get(name, {}), properties, names)
                for name, names in group_names.items()
            },
            hash_keys={
                key: context.hash_keys[key] for key in flags.sticky_keys & context.hash_keys.keys()
            },
            distinct_ids=context.distinct_ids if needs else other.distinct_ids,
        )

        assert flags.answers(context) == flags.answers(changed_context)


def mixed(own, others, names):
    """Keep the properties of some names, and take all others from elsewhere."""
    kept = {name: value for name, value in own.items() if name in names}
    return kept | {name: value for name, value in others.items() if name not in names}


class TestAudiences:
    @given(definitions=PROJECTS, audience=AUDIENCES)
    def test_who_sees_a_flag(self, definitions, audience):
        """
        A flag is seen by its runtime's requests, and by those that name none of contexts or one of
        its own.
        """
        runtime, contexts = audience

        def is_seen(row):
            own = row.get("evaluation_contexts") or contexts
            return row.get("evaluation_runtime", "all") in ("all", runtime) and (
                not contexts or not own or bool(set(own) & set(contexts))
            )

        flags = compiled(definitions)
        seen = flags.visible(runtime, contexts)

        assert [
            key for key, row in definitions.flags.items() if row["active"] and is_seen(row)
        ] == list(seen.keys)
        assert seen is flags.visible(runtime, contexts)

    @given(definitions=PROJECTS, audience=AUDIENCES, context=ASKS)
    def test_who_does_not_see_a_flag_takes_it_for_false(self, definitions, audience, context):
        """
        To an audience the flags that it does not see are as if they were not active, but that they
        can be missing to others.
        """
        flags = compiled(definitions)
        seen = flags.visible(*audience)
        rows = {
            key: {**row, "active": row["active"] and key in seen.keys}
            for key, row in definitions.flags.items()
        }

        known = {each.key: each for each in flags.answers(context)}
        expected = answers(with_flags(definitions, rows), context)
        missing = {key for key in known if known[key].reason is Reason.MISSING_DEPENDENCY}
        expected.update((key, known[key]) for key in missing & expected.keys())
        given = {each.key: each for each in seen.answers(context)}

        assert expected == given
        parts = [seen.person_flags, seen.other_flags, *map(seen.group_flags, GROUP_TYPES)]
        assert given == {each.key: each for part in parts for each in part.answers(context)}


class TestChanges:
    @given(first=PROJECTS, second=PROJECTS, context=ASKS, data=st.data())
    def test_only_what_changed_is_made_again(self, first, second, context, data):
        """
        Built on what was there before, answers and documents are those of a new start.
        """
        moved = data.draw(st.sets(st.sampled_from(PROJECT_KEYS)))
        whole = {
            name: getattr(data.draw(st.sampled_from([first, first, second])), name)
            for name in ("cohorts", "timezone", "property_matching_version")
        }
        rows = {
            key: source.flags[key]
            for key in PROJECT_KEYS
            if key in (source := second if key in moved else first).flags
        }
        definitions = Definitions(flags=rows, group_types=GROUP_TYPES, **whole)
        before = project_of(first)
        local = documents(before)

        project = project_of(definitions, before)
        made = documents(project, local)
        again = project_of(first, project)

        anew = project_of(definitions)
        assert CompiledFlags.of(anew).answers(context) == CompiledFlags.of(project).answers(context)
        assert [each.documents for each in documents(anew)] == [each.documents for each in made]
        assert CompiledFlags.of(before).answers(context) == CompiledFlags.of(again).answers(context)
        assert [each.documents for each in local] == [
            each.documents for each in documents(again, made)
        ]

    @given(definitions=PROJECTS, context=ASKS, row=UNREADABLE_ROWS, data=st.data())
    def test_the_last_good_definition_stays(self, definitions, context, row, data):
        """
        A flag whose row cannot be read any more is judged as before, and said to be unreadable.
        """
        key = data.draw(st.sampled_from(sorted(definitions.flags)))
        before = project_of(definitions)
        rows = {**definitions.flags, key: {**row, "key": key}}

        broken = project_of(with_flags(definitions, rows), before)
        still = project_of(with_flags(definitions, dict(rows)), broken)
        healed = project_of(definitions, still)

        expected = CompiledFlags.of(before).answers(context)
        for project in (broken, still):
            flags = CompiledFlags.of(project)
            assert expected == flags.answers(context)
            assert {key} == flags.problems.keys()
        assert [each.documents for each in documents(before)] == [
            each.documents for each in documents(still)
        ]
        assert (expected, {}) == (
            CompiledFlags.of(healed).answers(context),
            CompiledFlags.of(healed).problems,
        )


class TestUnread:
    @given(definitions=PROJECTS, first=ASKS, second=ASKS, known=PERSONS_PROPERTIES)
    def test_what_may_differ_by_what_is_stored_of_the_person_fails(
        self, definitions, first, second, known
    ):
        """
        Where the person cannot be read, each flag fails that could answer otherwise if it could;
        but none does that looks at nobody but groups.
        """
        flags = compiled(definitions)
        asks = [
            replace(
                first,
                person_properties={**stored.person_properties, **known},
                hash_keys=stored.hash_keys,
                distinct_ids=stored.distinct_ids,
            )
            for stored in (first, second)
        ]

        one, other = (flags.answers(each) for each in asks)
        failing = flags.failing(one, {None: set(known)})

        assert [each.key for each in one] == [each.key for each in failing]
        assert all(
            after.failed and after.reason is Reason.DATABASE_ERROR
            for before, changed, after in zip(one, other, failing, strict=True)
            if before != changed
        )
        for group_type in GROUP_TYPES:
            part = flags.group_flags(group_type)
            given = part.answers(first)
            assert given == part.failing(given, {None: set()})

    @given(definitions=PROJECTS, first=ASKS, second=ASKS, known=PERSONS_PROPERTIES)
    def test_what_may_differ_by_what_is_stored_of_a_group_fails(
        self, definitions, first, second, known
    ):
        """
        Where a group cannot be read, or not even which group it is, likewise.
        """
        flags = compiled(definitions)

        def ask(stored, group):
            return replace(
                first,
                groups={**first.groups, "organization": group},
                group_properties={
                    **first.group_properties,
                    "organization": {**stored.group_properties.get("organization", {}), **known},
                },
            )

        named = [flags.answers(ask(each, "org:5")) for each in (first, second)]
        remembered = [
            flags.answers(ask(each, group)) for each, group in ((first, "a"), (second, "b"))
        ]

        for (one, other), names in ((named, {*known}), (remembered, None)):
            failing = flags.failing(one, {"organization": names})
            assert all(
                after.failed
                for before, changed, after in zip(one, other, failing, strict=True)
                if before != changed
            )
        for each in flags.failing(named[0], {}):
            assert each in named[0]


class TestDocument:
    @given(definitions=PROJECTS, context=ASKS)
    def test_the_library_answers_as_the_server(self, definitions, context):
        """
        Of every document of a server the library makes the server's answers: value, reason,
        condition and payload of each flag that looks at no listed members.
        """
        project = project_of(definitions)
        flags = CompiledFlags.of(project)
        context = without_store(context)
        expected = {
            each.key: each
            for each in flags.answers(as_server(flags, context))
            if not needs_members(definitions, each.key)
        }

        for local in documents(project):
            for document in set(local.documents.values()):
                library = FlagSet.from_definitions(json.loads(document))
                given = evaluated(library, context)
                assert list(flags.keys) == list(given)
                assert expected == {key: given[key] for key in expected}


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
