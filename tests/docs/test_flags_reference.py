"""The reference of flags, the schema and the samples say what the model says."""

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from flagstream.errors import InvalidDefinitionError
from flagstream.flags import parse_cohort, parse_flag
from flagstream.flags.evaluation import Reason
from flagstream.flags.model import (
    CohortDefinition,
    Condition,
    Filters,
    FlagDefinition,
    Holdout,
    Operator,
    Variant,
)
from flagstream.flags.schema import definitions_schema

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/flags.md").read_text()
SCHEMA = json.loads((ROOT / "config/flag-definition.schema.json").read_text())
SAMPLES = sorted((ROOT / "config/flags").glob("*.json"))
CASES = sorted((ROOT / "tests/conformance/cases").glob("*.json"))
# Names of which a page says more by what they do: refused, or said of a whole.
UNLISTED = {"description", "sort_key", "version", "deleted"}
is_valid = jsonschema.Draft202012Validator(SCHEMA).is_valid


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def parsed_definitions(node):
    """Find the flags and cohorts anywhere in a file of cases, as far as they can be read."""
    if isinstance(node, list):
        for each in node:
            yield from parsed_definitions(each)
    elif isinstance(node, dict):
        for kind, parse in (("flags", parse_flag), ("cohorts", parse_cohort)):
            with suppress(InvalidDefinitionError):
                parse(node)
                yield {kind: [node]}
        for each in node.values():
            yield from parsed_definitions(each)


class TestPage:
    @pytest.mark.parametrize(
        "model", [FlagDefinition, Filters, Condition, Variant, Holdout, CohortDefinition]
    )
    def test_every_member(self, model):
        """
        Every member of a definition is on the page.
        """
        names = set(model.model_fields) - UNLISTED

        assert set() == {name for name in names if not re.search(rf'[`".]{name}[`"]', PAGE)}

    @pytest.mark.parametrize("names", [get_args(Operator), [each.value for each in Reason]])
    def test_every_operator_and_reason(self, names):
        """
        Every operator and every reason has its row.
        """
        rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]

        assert set() == {name for name in names if not any(f"`{name}`" in row for row in rows)}

    def test_examples_run(self):
        """
        The Python on the page does what it says.
        """
        (example,) = blocks("python")

        ran = subprocess.run(
            [sys.executable, "-c", example], capture_output=True, text=True, check=False
        )

        assert (0, "") == (ran.returncode, ran.stderr)

    def test_examples_are_definitions(self):
        """
        The definitions on the page are well-formed.
        """
        examples = list(map(json.loads, blocks("json")))

        assert [True] * 2 == list(map(is_valid, examples))


class TestSchema:
    def test_is_the_models(self):
        """
        The schema in config/ is the one that `scripts/schema` makes.
        """
        assert definitions_schema() == SCHEMA

    @pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
    def test_samples(self, sample):
        """
        Every sample satisfies it.
        """
        assert is_valid(json.loads(sample.read_text()))

    def test_cases(self):
        """
        Every definition in the conformance cases that can be read satisfies it.
        """
        definitions = [
            each for path in CASES for each in parsed_definitions(json.loads(path.read_text()))
        ]

        assert 100 < len(definitions)
        assert [] == [each for each in definitions if not is_valid(each)]

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"key": "a b"},
            {"key": "a", "filters": {"version": 2}},
            {"key": "a", "filters": {"groups": [{"rollout_percentage": 101}]}},
            {"key": "a", "filters": {"groups": [{"properties": [{"key": "p"}]}]}},
            {"key": "a", "has_encrypted_payloads": True},
            {"flags": [{"key": 5}]},
            {"cohorts": [{"name": "no id"}]},
            {"flags": [], "odd": 1},
        ],
        ids=json.dumps,
    )
    def test_refuses(self, document):
        """
        What the server refuses, an editor shows already.
        """
        assert not is_valid(document)


class TestLibrary:
    def test_imports_no_server(self):
        """
        The library brings in neither Faust nor aiohttp nor RocksDB.
        """
        script = (
            "import sys, flagstream.flags; "
            "print(*{name.partition('.')[0] for name in sys.modules}"
            " & {'faust', 'aiohttp', 'rocksdict', 'aiokafka'})"
        )

        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )

        assert ("\n", "") == (ran.stdout, ran.stderr)
