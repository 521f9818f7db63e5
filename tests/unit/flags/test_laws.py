"""The laws of evaluation, for any definitions and any context."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    Evaluation,
    EvaluationContext,
    FlagSet,
    Reason,
    group_properties,
    person_properties,
)
from tests.fakes.definitions import (
    ASKS,
    AUDIENCES,
    CONTEXTS,
    GROUP_PROJECTS,
    GROUP_TYPES,
    PERSONS_PROPERTIES,
    PROJECT_KEYS,
    PROJECTS,
    UNREADABLE_ROWS,
)
from tests.projects import (
    answers,
    compiled,
    documents,
    needed,
    needs_members,
    project_of,
    with_flags,
)

ROOT = Path(__file__).parents[3]


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


def mixed(own, others, names):
    """Keep the properties of some names, and take all others from elsewhere."""
    kept = {name: value for name, value in own.items() if name in names}
    return kept | {name: value for name, value in others.items() if name not in names}


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
