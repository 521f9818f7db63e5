"""Definitions in files: read and checked."""

import json

import pytest

from flagstream.cli.definitions import DefinitionsError, read_definitions

FILTERS = {"groups": [{"properties": [], "rollout_percentage": 50}]}
COHORT = {"id": 5, "name": "Gold", "filters": {"properties": {"type": "OR", "values": []}}}


@pytest.fixture
def write(tmp_path):
    """Write a file of definitions."""

    def write(document, name="flags.json"):
        file = tmp_path / name
        raw = document if isinstance(document, bytes | str) else json.dumps(document)
        file.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return file

    return write


def naming(*cohort_ids):
    """Filters of a cohort that names others."""
    values = [{"key": "id", "type": "cohort", "value": each} for each in cohort_ids]
    return {"properties": {"type": "OR", "values": values}}


class TestRead:
    @pytest.mark.parametrize(
        "shape", [lambda flag: flag, lambda flag: [flag], lambda flag: {"flags": [flag]}]
    )
    def test_shapes(self, write, shape):
        """
        A file holds a flag, a list of flags, or what an export prints.
        """
        (definition,) = read_definitions([write(shape({"key": "new", "filters": FILTERS}))])

        assert ("flag", {"key": "new", "filters": FILTERS}) == (definition.kind, definition.body)

    @pytest.mark.parametrize("flags", [{}, {"flags": []}, {"flags": [{"key": "new"}]}])
    def test_cohorts(self, write, flags):
        """
        A file may hold cohorts, with flags or without.
        """
        definitions = read_definitions([write({**flags, "cohorts": [{**COHORT, "version": 3}]})])

        assert ("cohort", COHORT) == (definitions[-1].kind, definitions[-1].body)
        assert len(flags.get("flags", [])) + 1 == len(definitions)

    @pytest.mark.parametrize(
        ("document", "said"),
        [
            ("{", "flags.json: not JSON: "),
            ("[" * 100_000, "flags.json: not JSON: "),
            ('{"key": "é"}'.encode("latin-1"), "flags.json: not JSON: "),
            ("3", "flags.json: $: expected an object, got 3"),
            ([1], "flags.json: $[0]: expected an object, got 1"),
            ({"flags": {}}, "flags.json: $.flags: expected a list of flags, got {}"),
            ({"cohorts": {}}, "flags.json: $.cohorts: expected a list of cohorts, got {}"),
            ({"cohorts": [5]}, "flags.json: $.cohorts[0]: expected an object, got 5"),
            ({"filters": {}}, "flags.json: $: key: expected a text"),
            ([{"key": "a b"}], "flags.json: $[0]: key: expected at most 400 letters"),
            ([{"key": "a", "tags": 1}], "flags.json: $[0].tags: expected "),
            (
                {"flags": [{"key": "a", "filters": {"groups": [{"rollout_percentage": "x"}]}}]},
                "flags.json: $.flags[0].filters.groups[0].rollout_percentage: expected ",
            ),
            (
                {"cohorts": [{**COHORT, "filters": naming("x")}]},
                "flags.json: $.cohorts[0].filters.properties.values[0].value: expected the id",
            ),
            ({"cohorts": [{**COHORT, "id": None}]}, "flags.json: $.cohorts[0].id: expected the id"),
            ({"cohorts": [{**COHORT, "id": "5"}]}, "flags.json: $.cohorts[0].id: expected a num"),
            ({"cohorts": [{"id": 5}]}, "flags.json: $.cohorts[0].name: expected a text"),
            (
                {"cohorts": [{**COHORT, "filters": naming(5)}]},
                "flags.json: $.cohorts[0].filters.properties.values[0].value: expected a cohort ",
            ),
            (
                {
                    "cohorts": [
                        {**COHORT, "filters": naming(9, 6)},
                        {**COHORT, "id": 6, "filters": naming(5)},
                    ]
                },
                "flags.json: $.cohorts[0].filters.properties.values[1].value: expected a cohort ",
            ),
        ],
    )
    def test_malformed(self, write, tmp_path, document, said):
        """
        A problem is named with file, JSON path and what was expected.
        """
        with pytest.raises(DefinitionsError) as raised:
            read_definitions([write(document)])

        assert f"{tmp_path}/{said}" in str(raised.value)

    def test_every_problem(self, write):
        """
        One reading names the problems of all files, a line each.
        """
        files = [
            write("{", "a.json"),
            write([{"key": "x", "active": 1}, {"key": "x", "name": 2}], "b.json"),
        ]

        with pytest.raises(DefinitionsError) as raised:
            read_definitions([*files, files[0].with_name("none.json")])

        lines = str(raised.value).splitlines()
        assert ["a.json", "none.json", "b.json", "b.json", "b.json"] == [
            line.split(":")[0].rpartition("/")[2] for line in lines
        ]
        assert lines[-1].endswith(f"x is also defined in {files[1]}: $[0]")

    @pytest.mark.parametrize(
        ("first", "second", "said"),
        [
            ({"flags": [{"key": "a"}]}, {"flags": [{"key": "a"}]}, "a is also"),
            (
                {"flags": [{"key": "a", "id": 5}]},
                {"flags": [{"key": "b", "id": 5}]},
                "the flag with id 5 is also",
            ),
            (
                {"cohorts": [COHORT]},
                {"cohorts": [{**COHORT, "name": "Other"}]},
                "the cohort with id 5 is also",
            ),
        ],
    )
    def test_twice(self, write, first, second, said):
        """
        A key, or an id, is that of one definition in all files.
        """
        files = [write(first, "a.json"), write(second, "b.json")]

        with pytest.raises(DefinitionsError) as raised:
            read_definitions(files)

        (kind,) = first
        assert f"{files[1]}: $.{kind}[0]: {said} defined in {files[0]}: $.{kind}[0]" == str(
            raised.value
        )

    def test_flags_and_cohorts_count_apart(self, write):
        """
        A flag and a cohort may have the same id.
        """
        document = {"flags": [{"key": "a", "id": 5}], "cohorts": [COHORT]}

        assert 2 == len(read_definitions([write(document)]))

    def test_flags_are_named_by_key(self, write):
        """
        A filter that names a flag by an id which the files tell names it by its key.
        """
        test = {"key": "7", "type": "flag", "operator": "flag_evaluates_to", "value": True}
        files = [
            write({"key": "b", "filters": {"groups": [{"properties": [test]}]}}, "b.json"),
            write(
                {
                    "flags": [{"key": "a", "id": 7}],
                    "cohorts": [{**COHORT, "filters": {"properties": {"values": [test]}}}],
                },
                "a.json",
            ),
        ]

        b, _, cohort = read_definitions(files)

        assert [{**test, "key": "a"}] == b.body["filters"]["groups"][0]["properties"]
        assert [{**test, "key": "a"}] == cohort.body["filters"]["properties"]["values"]
