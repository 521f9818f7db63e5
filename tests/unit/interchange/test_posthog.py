"""PostHog's definitions, read and written."""

import json

import pytest
from hypothesis import given
from posthog import Posthog

from flagstream.flags import EvaluationContext
from flagstream.interchange import Source, Target, read_posthog, write_posthog
from tests.fakes.definitions import GROUP_ROWS, GROUP_TYPES, PERSON_ROWS
from tests.unit.flags.test_posthog_agreement import (
    ASKS_SERVER,
    IDENTIFIERS,
    PROPERTIES,
    sdk_value,
    server_value,
)

GOLD = {"key": "plan", "type": "person", "operator": "exact", "value": ["gold"]}
ON = {"groups": [{"properties": [], "rollout_percentage": 100}]}
TYPES = {"0": "company", "1": "project"}
API_TYPES = [{"group_type": name, "group_type_index": int(at)} for at, name in TYPES.items()]


def about(index, **condition):
    """Filters about a type of group."""
    return {"aggregation_group_type_index": index, "groups": [condition]}


def flag(key="beta", **members):
    """A flag as PostHog's API answers it."""
    return {
        "id": 17,
        "team_id": 3,
        "name": "",
        "key": key,
        "filters": ON,
        "active": True,
        "deleted": False,
        "version": 4,
        "created_by": {"id": 1},
        "experiment_set": [],
        "has_encrypted_payloads": False,
        **members,
    }


def cohort(cohort_id=98, **members):
    """A cohort as PostHog's API answers it."""
    filters = {"properties": {"type": "OR", "values": [{"type": "AND", "values": [GOLD]}]}}
    known = {"id": cohort_id, "name": "Gold", "is_static": False, "filters": filters}
    return {**known, "query": None, "count": 5, **members}


def naming(**test):
    """Filters that name a cohort or a flag."""
    return {"groups": [{"properties": [{"key": "id", **test}]}]}


IN_COHORT = naming(type="cohort", value=98, operator="in")


def document(*flags, cohorts=None, **members):
    """The document for local evaluation."""
    return {"flags": list(flags), "group_type_mapping": TYPES, "cohorts": cohorts or {}, **members}


def read(*documents, **target):
    sources = [Source(name=f"{at}.json", document=each) for at, each in enumerate(documents)]
    return read_posthog(sources, Target(**target))


def refusal(*documents, **target):
    """The one thing that is refused, as a line."""
    imported = read(*documents, **target)
    assert [] == [*imported.flags, *imported.cohorts]
    (refused,) = imported.refused
    return str(refused)


class TestRead:
    @pytest.mark.parametrize(
        "shape",
        [
            lambda each: [each],
            lambda each: {"count": 1, "next": None, "previous": None, "results": [each]},
            document,
        ],
        ids=["list", "page", "document"],
    )
    def test_shapes(self, shape):
        """
        Flags come as a list, as a page of the API, or in the document; they keep sha1.
        """
        (found,) = read(shape(flag())).flags

        assert found.body == {
            "id": 17,
            "key": "beta",
            "name": "",
            "filters": ON,
            "active": True,
            "deleted": False,
            "bucketing": "sha1",
        }
        assert found.place.startswith("0.json: $")

    def test_cohorts_of_the_api(self):
        """
        A file of cohorts beside one of flags: both are taken over, and the one names the other.
        """
        imported = read([flag(filters=IN_COHORT)], {"results": [cohort()]})

        (found,) = imported.cohorts
        assert found.body == {
            "id": 98,
            "name": "Gold",
            "is_static": False,
            "filters": cohort()["filters"],
        }
        assert (1, []) == (len(imported.flags), imported.refused)

    def test_cohorts_of_the_document(self):
        """
        The document has rules without names, so a cohort is called by its id.
        """
        rules = cohort()["filters"]["properties"]

        (found,) = read(document(cohorts={"98": rules})).cohorts

        assert {"id": 98, "name": "Cohort 98", "filters": {"properties": rules}} == found.body

    def test_dependency(self):
        """
        A flag that another names is named by its key, and without what documents say beside it.
        """
        test = {"type": "flag", "key": "beta", "value": True, "operator": "flag_evaluates_to"}
        filters = naming(**test, dependency_chain=["beta"])

        _, found = read(document(flag(), flag("late", id=18, filters=filters))).flags

        assert found.body["filters"] == naming(**test)

    def test_early_access(self):
        """
        The older spelling of early access is read as that of today.
        """
        choice = {"key": "$feature_enrollment/beta", "type": "person", "value": ["true"]}
        older = [{"properties": [choice], "rollout_percentage": 100}]

        (found,) = read([flag(filters={**ON, "super_groups": older})]).flags

        assert {**ON, "feature_enrollment": True} == found.body["filters"]

    def test_empty_members(self):
        """
        Members of rules that say nothing do not matter, whatever they are called.
        """
        filters = {**ON, "rules_of_2031": None, "super_groups": [], "holdout_groups": None}

        (found,) = read([flag(filters=filters)]).flags

        assert {**ON, "rules_of_2031": None} == found.body["filters"]

    def test_notes(self):
        """
        What is left behind though the flag is taken over is told.
        """
        continuity, experiment = read(
            [
                flag(ensure_experience_continuity=True),
                flag("b", id=18, experiment_set=[5]),
            ]
        ).notes

        assert "$[0]: flag beta: persons whom PostHog keeps bucketed" in continuity
        assert experiment.endswith("flag b: the flag is taken over, its experiment is not")


class TestGroupTypes:
    def test_named_by_the_document(self):
        """
        A type keeps its name, whatever index it has here.
        """
        imported = read(document(flag(filters=about(0))), group_types={"team": 0, "company": 1})

        assert about(1) == imported.flags[0].body["filters"]
        assert {"project": 2} == imported.group_types

    def test_added_in_order(self):
        """
        An empty project gets the types with PostHog's own indexes.
        """
        imported = read(document(flag()))

        assert {"company": 0, "project": 1} == imported.group_types

    @pytest.mark.parametrize(
        ("files", "named"),
        [
            ([], ["company", "project"]),
            (
                [[{"group_type": name, "group_type_index": int(at)} for at, name in TYPES.items()]],
                [],
            ),
        ],
        ids=["option", "file"],
    )
    def test_of_a_list(self, files, named):
        """
        A list of flags needs the names told, or the API's list of types beside it.
        """
        test = {"key": "plan", "type": "group", "group_type_index": 1, "value": "gold"}

        imported = read([flag(filters=about(1, properties=[test]))], *files, named_types=named)

        filters = imported.flags[0].body["filters"]
        assert about(1, properties=[test]) == filters
        assert {"company": 0, "project": 1} == imported.group_types

    def test_unknown(self):
        """
        Without names an index could be any type, and is refused.
        """
        refused = refusal([flag(filters=about(2))])

        assert refused == (
            "0.json: $[0].filters.aggregation_group_type_index: flag beta: index 2: the files do "
            "not say which group type this is; name PostHog's group types in the order of their "
            "indexes with --group-type"
        )

    def test_no_room(self):
        """
        With four types there is room for the one that is used; the other's flags are refused.
        """
        four = {name: index for index, name in enumerate("abcd")}

        both = read(document(flag(filters=about(1)), flag("c", filters=about(0))), group_types=four)
        one = read(document(flag(filters=about(1))), group_types=four)

        assert ["flag beta"] == [each.name for each in both.refused]
        assert {"project": 4} == one.group_types

    def test_payloads_are_left_alone(self):
        """
        What looks like an index within a payload or a value is none.
        """
        payloads = {"true": {"group_type_index": 3}}
        tests = [{**GOLD, "value": [{"group_type_index": 3}]}]
        filters = {"groups": [{"properties": tests}], "payloads": payloads}

        (found,) = read([flag(filters=filters)]).flags

        assert filters == found.body["filters"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("members", "said"),
        [
            ({"has_encrypted_payloads": True}, "$[0].has_encrypted_payloads: flag beta: True"),
            (
                {"filters": {"groups": [{"properties": [{**GOLD, "type": "session"}]}]}},
                "$[0].filters.groups[0].properties[0].type: flag beta: 'session'",
            ),
            (
                {"filters": naming(type="person", operator="regex", value="(?=x)")},
                "$[0].filters.groups[0].properties[0].value: flag beta: '(?=x)': expected",
            ),
            (
                {"filters": {**ON, "rules": [5]}},
                "$[0].filters.rules: flag beta: [5]: flagstream has no such rule; change it in",
            ),
            (
                {"filters": {"groups": [{"region": "eu"}]}},
                "$[0].filters.groups[0].region: flag beta: 'eu'",
            ),
            (
                {"filters": {**ON, "super_groups": [{"properties": [GOLD]}]}},
                "$[0].filters.super_groups: flag beta: ",
            ),
            (
                {"filters": {**ON, "holdout_groups": [{"rollout_percentage": 5}]}},
                "$[0].filters.holdout_groups: flag beta: ",
            ),
            ({"filters": IN_COHORT}, "$[0].filters.groups[0].properties[0]: flag beta: cohort 98"),
            (
                {"filters": naming(type="flag", value=True, operator="flag_evaluates_to")},
                "$[0].filters.groups[0].properties[0]: flag beta: flag id",
            ),
            ({"filters": 5}, "$[0].filters: flag beta: 5"),
        ],
    )
    def test_flags(self, members, said):
        """
        What would change an answer is refused, with flag, place and reason.
        """
        assert refusal([flag(**members)]).startswith(f"0.json: {said}")

    @pytest.mark.parametrize(
        ("members", "said"),
        [
            ({"is_static": True}, "0.json: $[0]: cohort 98: a static cohort: "),
            ({"query": {"kind": "ActorsQuery"}}, "0.json: $[0].query: cohort 98: "),
            (
                {
                    "filters": {
                        "properties": {
                            "type": "OR",
                            "values": [{"type": "behavioral", "key": "paid", "value": "x"}],
                        }
                    }
                },
                "0.json: $[0].filters.properties.values[0]: cohort 98: the event paid: ",
            ),
        ],
    )
    def test_cohorts(self, members, said):
        """
        A cohort that flagstream cannot judge is refused, and says what to make instead.
        """
        line = refusal([cohort(**members)])

        assert line.startswith(said)
        assert line.endswith("; make a static cohort with the id 98 and its members, then again")

    def test_what_names_refused(self):
        """
        What names something refused is refused as well, through any number of flags.
        """
        test = {"type": "flag", "value": True, "operator": "flag_evaluates_to"}
        flags = [
            flag("a", id=1, filters=naming(**{**test, "key": "2"})),
            flag("b", id=2, filters=naming(**{**test, "key": "3"})),
            flag("c", id=3, filters=IN_COHORT),
            flag("d", id=4),
        ]

        imported = read(flags, [cohort(is_static=True)])

        assert ["d"] == [each.body["key"] for each in imported.flags]
        assert ["flag a", "flag b", "flag c", "cohort 98"] == [
            each.name for each in imported.refused
        ]

    def test_cohort_that_is_there(self):
        """
        A cohort that was made by hand stands in for one that is refused.
        """
        imported = read([flag(filters=IN_COHORT)], [cohort(is_static=True)], cohort_ids=[98])

        assert ["beta"] == [each.body["key"] for each in imported.flags]

    def test_foreign_ids(self):
        """
        An id that the files do not tell is not taken for that of a flag that is here.
        """
        test = {"type": "flag", "key": "5", "value": True, "operator": "flag_evaluates_to"}

        assert "flag beta: flag 5: " in refusal([flag(filters=naming(**test))], flag_keys=["5"])

    @pytest.mark.parametrize(
        ("found", "said"),
        [
            ("text", "$: the file: text: neither a list of PostHog's API nor"),
            ({"flags": 5}, "$: the file: {'flags': 5}: neither a list"),
            ([5], "$[0]: the file: 5: neither a flag, nor a cohort, nor a group type"),
            ({"flags": [5]}, "$.flags[0]: the file: 5: no flag"),
            ({"results": [], "next": "http://x/?p=2"}, "$.next: the file: http://x/?p=2: "),
            ({"flags": [], "other_cohorts": {}}, "$.other_cohorts: the file: flagstream's own"),
            (
                document(timezone="Europe/Berlin"),
                "$.timezone: the project: 'Europe/Berlin': dates are read otherwise here, where",
            ),
            (document(property_matching_version=2), "$.property_matching_version: the project: 2"),
        ],
    )
    def test_files(self, found, said):
        """
        A file that is something else, or not all, or of a project that reads values otherwise.
        """
        assert refusal(found).startswith(f"0.json: {said}")


@pytest.fixture(scope="module")
def sdk():
    """An SDK that is handed its definitions and sends nothing."""
    client = Posthog("phc_test", send=False, sync_mode=True)

    yield client

    client.shutdown()


def imported(row):
    """A row as it comes back from a document of PostHog's."""
    kept = {name: value for name, value in row.items() if name != "bucketing"}
    target = {
        "named_types": ["organization", "project"],
        "group_types": {"organization": 0, "project": 1},
    }
    (found,) = read(document(kept, group_type_mapping={}), **target).flags
    return found.body


class TestAgreement:
    @given(row=GROUP_ROWS, group_key=IDENTIFIERS, properties=PROPERTIES)
    def test_group_flags(self, sdk, row, group_key, properties):
        """
        An imported group flag answers what PostHog's SDK does, whoever asks.
        """
        row = {**row, "bucketing": "sha1"}
        context = EvaluationContext(
            distinct_id="u",
            groups={"organization": group_key},
            group_properties={"organization": properties},
        )

        assert sdk_value(sdk, row, context) in (ASKS_SERVER, server_value(imported(row), context))

    @given(row=PERSON_ROWS, distinct_id=IDENTIFIERS, properties=PROPERTIES)
    def test_person_flags(self, sdk, row, distinct_id, properties):
        """
        An imported flag of persons likewise.
        """
        row = {**row, "bucketing": "sha1"}
        context = EvaluationContext(distinct_id=distinct_id, person_properties=properties)

        assert sdk_value(sdk, row, context) in (ASKS_SERVER, server_value(imported(row), context))


class TestWrite:
    def written(self, *flags, cohorts=(), **target):
        rows = {"flags": list(flags), "cohorts": list(cohorts)}
        return write_posthog(rows, Target(**{"group_types": {"company": 0}, **target}))

    def test_document(self):
        """
        The document names group types, and says beside a named flag what it follows from.
        """
        test = {"type": "flag", "key": "beta", "value": True, "operator": "flag_evaluates_to"}
        rules = cohort()["filters"]

        document = self.written(
            {"key": "beta", "bucketing": "sha1", "filters": about(0)},
            {"key": "late", "bucketing": "sha1", "filters": naming(**test)},
            cohorts=[{"id": 98, "name": "Gold", "filters": rules}],
        ).document

        assert {"0": "company"} == document["group_type_mapping"]
        assert {"98": rules["properties"]} == document["cohorts"]
        assert naming(**test, dependency_chain=["beta"]) == document["flags"][1]["filters"]

    @pytest.mark.parametrize("active", [True, False])
    @pytest.mark.parametrize(("percentage", "is_refused"), [(50, True), (100, False)])
    def test_murmur3(self, active, percentage, is_refused):
        """
        Where flagstream's own hash decides, PostHog would let in others.
        """
        filters = {"groups": [{"rollout_percentage": percentage}]}
        row = {"key": "a", "active": active, "bucketing": "murmur3", "filters": filters}

        assert is_refused == bool(self.written(row).refused)

    def test_cohorts(self):
        """
        Cohorts that PostHog's document cannot hold are refused, and so is what names them.
        """
        in_groups = naming(type="cohort", value=99, operator="in")
        exported = self.written(
            {"key": "a", "bucketing": "sha1", "filters": IN_COHORT},
            {"key": "b", "bucketing": "sha1", "filters": in_groups},
            cohorts=[
                {"id": 98, "name": "Early", "is_static": True, "members": ["a"]},
                {"id": 99, "name": "Large", "group_type_index": 0, "filters": {"properties": {}}},
            ],
        )

        assert ["flag a", "flag b", "cohort 98", "cohort 99"] == [
            each.name for each in exported.refused
        ]
        assert ([], {}) == (exported.document["flags"], exported.document["cohorts"])

    @given(row=GROUP_ROWS | PERSON_ROWS)
    def test_round_trip(self, row):
        """
        What was written is read back as the same, and written as the same again.
        """
        rows = {"flags": [{**row, "bucketing": "sha1"}], "cohorts": []}
        first = write_posthog(rows, Target(group_types=GROUP_TYPES)).document

        back = read(json.loads(json.dumps(first)))
        again = {"flags": [each.body for each in back.flags], "cohorts": []}

        assert [] == back.refused
        assert rows == again
        assert first == write_posthog(again, Target(group_types=back.group_types)).document


def test_chains_of_unknown_flags():
    """
    A flag that names what there is not has an empty chain for SDKs, and is refused.
    """
    test = {"type": "flag", "key": "gone", "value": True, "operator": "flag_evaluates_to"}
    rows = {"flags": [{"key": "a", "bucketing": "sha1", "filters": naming(**test)}], "cohorts": []}

    (refused,) = write_posthog(rows, Target()).refused

    assert "flag a: flag gone" in str(refused)
