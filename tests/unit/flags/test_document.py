"""Documents with definitions, as backends hand them to the library."""

from datetime import UTC, datetime

import pytest

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import FlagSet

IN_COHORT = {
    "key": "pilot",
    "filters": {
        "groups": [{"properties": [{"key": "id", "type": "cohort", "value": 7}]}],
        "payloads": {"true": {"a": [1, None]}},
    },
}


def pilot(**document):
    flags = FlagSet.from_definitions({"flags": [IN_COHORT], **document})
    return flags.evaluate("anna", person_properties={"plan": "gold"})["pilot"]


class TestShape:
    @pytest.mark.parametrize(
        ("document", "paths"),
        [
            ({}, ["$.flags"]),
            ({"flags": {}}, ["$.flags"]),
            ({"flags": [5]}, ["$.flags[0]"]),
            ({"flags": [], "group_type_mapping": {"5": "team"}}, ["$.group_type_mapping.5"]),
            ({"flags": [], "timezone": "Nowhere"}, ["$.timezone"]),
            ({"flags": 1, "property_matching_version": 3}, None),
        ],
    )
    def test_refused(self, document, paths):
        """
        A document of another shape is refused with the JSON path of every problem.
        """
        with pytest.raises(InvalidDefinitionError) as refused:
            FlagSet.from_definitions(document)

        found = [each.path.removesuffix(".[key]") for each in refused.value.problems]
        assert (paths or ["$.flags", "$.property_matching_version"]) == found

    def test_unreadable_flags_fail_alone(self):
        """
        A flag that cannot be read answers failed, and says why; the others work.
        """
        flags = FlagSet.from_definitions(
            {"flags": [{"key": "bad", "filters": 5}, {"key": 5}, {"key": "good"}]}
        )

        answers = flags.evaluate("anna")

        assert ["bad", "good"] == [key for key in answers if key in ("bad", "good")]
        assert (True, False) == (answers["bad"].failed, answers["good"].failed)
        assert ["$.filters"] == [each.path for each in flags.problems["bad"]]


RULES = {"type": "AND", "values": [{"key": "plan", "type": "person", "value": "gold"}]}


class TestCohorts:
    @pytest.mark.parametrize(
        "cohorts",
        [
            {"7": RULES},
            {"7": RULES, "odd": {}},
            [{"id": 7, "filters": {"properties": RULES}}],
            [{"id": 7, "is_static": True, "members": ["anna"]}, {"id": "odd"}],
        ],
    )
    def test_spellings(self, cohorts):
        """
        Cohorts are read as SDKs get them, and as the API answers them, static ones too.
        """
        assert pilot(cohorts=cohorts).value is True

    def test_missing(self):
        """
        A flag whose cohort is not in the document fails.
        """
        assert ("dependency_not_found", True) == (pilot().reason, pilot().failed)


class TestEvaluation:
    def test_payload(self):
        """
        The payload comes as JSON text and decoded; where there is none, as None.
        """
        on, off = pilot(cohorts={"7": {}}), pilot(cohorts={"7": {"type": "OR", "values": []}})

        assert ('{"a":[1,null]}', {"a": [1, None]}) == (on.payload, on.decoded_payload)
        assert (None, None) == (off.payload, off.decoded_payload)

    @pytest.mark.parametrize("now", [datetime(2026, 1, 10, tzinfo=UTC), None])
    def test_now(self, now):
        """
        Dates are judged at the time that is given, or now.
        """
        test = {"key": "since", "type": "person", "operator": "is_date_after", "value": "-7d"}
        row = {"key": "new", "filters": {"groups": [{"properties": [test]}]}}
        flags = FlagSet.from_definitions({"flags": [row]})
        since = (now or datetime.now(UTC)).timestamp() - 86_400

        answer = flags.evaluate("anna", person_properties={"since": since}, now=now)

        assert answer["new"].value is True

    def test_disabled(self):
        """
        Who asks for a flag that is off is told so; otherwise it is left out.
        """
        flags = FlagSet.from_definitions({"flags": [{"key": "off", "active": False}]})

        asked = flags.evaluate("anna", flag_keys=["off", "nowhere"])

        assert {} == flags.evaluate("anna")
        assert ["off"] == list(asked)
        assert "flag_disabled" == asked["off"].reason

    @pytest.mark.parametrize(
        ("key", "reason"),
        [
            ("acme", "condition_match"),
            (5, "condition_match"),
            (10**400, "condition_match"),
            ("", "no_group_type"),
            (True, "no_group_type"),
            (None, "no_group_type"),
            ([], "no_group_type"),
        ],
    )
    def test_group_keys(self, key, reason):
        """
        A group is named by a text or a number; nothing else names one, or breaks anything.
        """
        row = {"key": "g", "filters": {"aggregation_group_type_index": 0, "groups": [{}]}}
        flags = FlagSet.from_definitions(
            {"flags": [row], "group_type_mapping": {"0": "organization"}}
        )

        assert reason == flags.evaluate("anna", groups={"organization": key})["g"].reason

    def test_many_audiences(self):
        """
        However many audiences ask, each sees its own, and what is kept of them is bounded.
        """
        contexts = [f"context-{number}" for number in range(600)]
        rows = [{"key": each, "evaluation_contexts": [each]} for each in contexts]
        flags = FlagSet.from_definitions({"flags": rows})

        seen = [list(flags.visible(None, [each]).keys) for each in contexts]

        assert [[each] for each in contexts] == seen
        assert 256 >= len(flags._audiences)
