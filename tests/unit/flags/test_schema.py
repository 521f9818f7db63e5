"""The JSON schema of files with definitions."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from flagstream.flags.schema import definitions_schema

CASES = Path(__file__).parents[2] / "conformance" / "cases"


@pytest.fixture(scope="module")
def is_valid():
    schema = definitions_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema).is_valid


def rows(name):
    return [case["row"] for case in json.loads((CASES / f"{name}.json").read_text())["cases"]]


class TestSchema:
    def test_whatever_is_read_satisfies_it(self, is_valid):
        """
        No row that the engine reads is marked as wrong in an editor.
        """
        accepted = rows("accepted")

        assert [] == [row for row in accepted if not is_valid(row)]
        assert is_valid(accepted)
        assert is_valid({"flags": accepted, "cohorts": [{"id": 1}]})

    def test_most_of_what_is_refused_does_not(self, is_valid):
        """
        All mistakes that a schema can tell are marked: types, names and bounds.
        """
        refused = rows("refused")

        marked = [row for row in refused if not is_valid(row)]

        assert 0.7 < len(marked) / len(refused)
        assert {"key": "f", "active": "true"} in marked
        assert not is_valid({})
        assert not is_valid({"flags": [{"key": 5}]})
        assert not is_valid({"cohorts": [{"id": -1}]})
        assert not is_valid({"flags": [], "odd": 1})
