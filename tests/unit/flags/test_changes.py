"""A project whose definitions change: what is made again, and what stays."""

import json

import pytest

from flagstream.flags import (
    CompiledFlags,
    Definitions,
    EvaluationContext,
    Reason,
    Sdk,
    compile_project,
    local_definitions,
    parse_project,
    time_zone,
)

CONTEXT = EvaluationContext(distinct_id="u", person_properties={"plan": "gold"})


def flag(key, *tests, **more):
    return {"key": key, "filters": {"groups": [{"properties": list(tests)}]}, **more}


def depends_on(name):
    return {"key": name, "type": "flag", "operator": "flag_evaluates_to", "value": True}


def project(*rows, before=None, cohorts=(), **more):
    definitions = Definitions(
        flags={row["key"]: row for row in rows}, cohorts={row["id"]: row for row in cohorts}, **more
    )
    return compile_project(parse_project(definitions, before and before.parsed), before)


def reasons(made):
    return {each.key: each.reason for each in CompiledFlags.of(made).answers(CONTEXT)}


def sent(made, before=None):
    return local_definitions(made, remembers_groups=False, before=before)


class TestFlags:
    def test_what_has_not_changed_is_the_same_object(self):
        """
        A flag is compiled again where it has changed, or what it follows from, and not else.
        """
        base, alone, behind = flag("base"), flag("alone"), flag("behind", depends_on("base"))
        before = project(base, alone, behind)

        same = project(base, alone, behind, flag("new"), before=before)
        other = project(flag("base"), alone, behind, before=before)

        kept = [
            {key for key, each in made.by_key.items() if each is before.by_key.get(key)}
            for made in (same, other)
        ]
        assert [{"base", "alone", "behind"}, {"alone"}] == kept

    @pytest.mark.parametrize(
        "change", [{"timezone": "Asia/Tokyo"}, {"property_matching_version": 2}]
    )
    def test_how_a_project_compares(self, change):
        """
        Another time zone or matching version changes what every flag is.
        """
        row = flag("f", {"key": "plan", "type": "person", "value": "false"})
        before = project(row)

        made = project(row, before=before, **change)

        assert made.by_key["f"] is not before.by_key["f"]

    def test_a_flag_that_comes_back(self):
        """
        What was missing is judged as soon as it is there, and the other way round.
        """
        behind = flag("behind", depends_on("1"))
        without = project(behind)
        with_it = project(behind, flag("base", id=1), before=without)
        again = project(behind, before=with_it)

        assert [Reason.MISSING_DEPENDENCY, Reason.CONDITION_MATCH, Reason.MISSING_DEPENDENCY] == [
            reasons(made)["behind"] for made in (without, with_it, again)
        ]

    def test_a_cohort_that_changes(self):
        """
        Flags that name a cohort are judged by its new rules.
        """
        row = flag("f", {"key": "id", "type": "cohort", "value": 1})
        rules = [{"key": "plan", "type": "person", "value": plan} for plan in ("gold", "silver")]
        cohorts = [
            {"id": 1, "filters": {"properties": {"type": "AND", "values": [rule]}}}
            for rule in rules
        ]
        before = project(row, cohorts=cohorts[:1])

        after = project(row, cohorts=cohorts[1:], before=before)
        gone = project(row, before=after)
        back = project(row, cohorts=cohorts[:1], before=gone)

        assert [
            Reason.CONDITION_MATCH,
            Reason.NO_CONDITION_MATCH,
            Reason.DEPENDENCY_NOT_FOUND,
            Reason.CONDITION_MATCH,
        ] == [reasons(made)["f"] for made in (before, after, gone, back)]

    def test_problems_go_when_the_row_is_repaired(self):
        """
        A set names what is wrong with rows that cannot be read, for as long as they cannot.
        """
        good, bad = flag("f"), {"key": "f", "filters": {"groups": 5}}
        before = project(good)
        broken = project(bad, before=before)

        assert ["$.filters.groups"] == [
            each.path for each in CompiledFlags.of(broken).problems["f"]
        ]
        assert {} == CompiledFlags.of(project(good, before=broken)).problems
        assert {"f": Reason.CONDITION_MATCH} == reasons(broken)
        assert {"f": Reason.FLAG_DATA_PARSING_ERROR} == reasons(project(bad))

    def test_a_flag_that_was_deleted_has_no_last_good_definition(self):
        """
        A row that cannot be read brings nothing deleted back.
        """
        deleted = project({**flag("f"), "deleted": True}, before=project(flag("f")))

        assert {} == reasons(deleted)
        bad = project({"key": "f", "id": "x"}, before=deleted)
        assert {"f": Reason.FLAG_DATA_PARSING_ERROR} == reasons(bad)


class TestDocuments:
    def test_the_chain_of_a_flag_that_is_not_active(self):
        """
        Also of a flag that is not active the document says what it follows from now.
        """
        behind = flag("behind", depends_on("base"), active=False)
        before = project(flag("base"), behind)
        documents = sent(before)

        made = project(behind, before=before)

        assert sent(made).documents == sent(made, documents).documents
        (row,) = json.loads(sent(made, documents).documents[Sdk.OTHER])["flags"]
        assert [] == row["filters"]["groups"][0]["properties"][0]["dependency_chain"]

    def test_parts_are_kept(self):
        """
        The part of a flag that has not changed is not made again, but for other settings.
        """
        row = flag("f")
        before = project(row)
        documents = sent(before)

        again = sent(project(row, flag("g"), before=before), documents)
        other = local_definitions(before, remembers_groups=True, before=documents)

        assert again.fragments["f"] is documents.fragments["f"]
        assert other.fragments["f"] is not documents.fragments["f"]

    def test_what_no_sdk_can_follow(self):
        """
        Who depends on a flag that is missing, in a wrong way, or on one that is mere configuration
        has the server asked.
        """
        rows = [
            flag("missing", depends_on("nowhere")),
            flag("wrong", {**depends_on("base"), "operator": "exact"}),
            flag("without", {**depends_on("base"), "value": None}),
            flag("configured", depends_on("configuration")),
            flag("base"),
            flag("configuration", is_remote_configuration=True),
        ]

        document = json.loads(sent(project(*rows)).documents[Sdk.PYTHON])

        assert {
            "missing": True,
            "wrong": True,
            "without": True,
            "configured": True,
            "base": False,
        } == {row["key"]: row["ensure_experience_continuity"] for row in document["flags"]}


class TestTimeZones:
    @pytest.mark.parametrize("name", ["", "Nowhere", "Europe", "../UTC", "/etc/localtime", "a\0b"])
    def test_unknown(self, name):
        """
        What names no time zone gives none, and a project with it is in UTC.
        """
        assert time_zone(name) is None
        assert "UTC" == str(project(flag("f"), timezone=name).parsed.matching.timezone)

    def test_known(self):
        """
        A name of the IANA database gives its zone.
        """
        assert "Europe/Berlin" == str(time_zone("Europe/Berlin"))
