"""Whatever is defined and whoever asks, there is an answer, or a refusal that says why."""

import json
from dataclasses import replace as changed_project

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    EvaluationContext,
    FlagDefinition,
    Reason,
    Sdk,
    compile_flags,
    parse_flag,
)
from tests.fakes.definitions import (
    ASKS,
    CONTEXTS,
    FLAG_KEYS,
    GROUP_TYPES,
    JSON,
    PROJECTS,
    ROWS,
    TEXTS,
    UNREADABLE_ROWS,
)
from tests.projects import answers, documents, filters_of, parsed, project_of, with_flags

ROW_LISTS = st.lists(ROWS, max_size=4, unique_by=lambda row: row["key"])


def by_key(rows):
    return {row["key"]: row for row in rows}


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
