"""Definitions in files: read, checked and compared."""

import json

import pytest

from flagstream.cli.definitions import DefinitionsError, changes, defining, read_definitions
from flagstream.management import changed_row, new_row

FILTERS = {"groups": [{"properties": [], "rollout_percentage": 50}]}


@pytest.fixture
def write(tmp_path):
    """Write a file of definitions."""

    def write(document, name="flags.json"):
        file = tmp_path / name
        raw = document if isinstance(document, bytes | str) else json.dumps(document)
        file.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return file

    return write


def stored(**body):
    return new_row(
        {"key": "new", "filters": FILTERS, **body}, flag_id=7, bucketing="sha1", now_ms=0
    )


class TestRead:
    @pytest.mark.parametrize(
        "shape", [lambda flag: flag, lambda flag: [flag], lambda flag: {"flags": [flag]}]
    )
    def test_shapes(self, write, shape):
        """
        A file holds a flag, a list of flags, or what the API answers.
        """
        (definition,) = read_definitions([write(shape({"key": "new", "filters": FILTERS}))])

        assert {"key": "new", "filters": FILTERS} == definition.body

    def test_own_answers(self, write):
        """
        What the API answers can be kept as it is, its version does not get in the way.
        """
        (definition,) = read_definitions([write({"flags": [{**stored(), "status": "ACTIVE"}]})])

        assert [] == list(changes([{**stored(), "version": 9}], [definition]))

    @pytest.mark.parametrize(
        ("document", "said"),
        [
            ("{", "flags.json: not JSON: "),
            ("[" * 100_000, "flags.json: not JSON: "),
            ('{"key": "é"}'.encode("latin-1"), "flags.json: not JSON: "),
            ("3", "flags.json: $: expected an object, got 3"),
            ([1], "flags.json: $[0]: expected an object, got 1"),
            ({"flags": {}}, "flags.json: $.flags: expected a list of flags, got {}"),
            ({"filters": {}}, "flags.json: $: key: expected a text"),
            ([{"key": "a b"}], "flags.json: $[0]: key: expected at most 400 letters"),
            ([{"key": "a", "tags": 1}], "flags.json: $[0].tags: expected "),
            (
                {"flags": [{"key": "a", "filters": {"groups": [{"rollout_percentage": "x"}]}}]},
                "flags.json: $.flags[0].filters.groups[0].rollout_percentage: expected ",
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


class TestChanges:
    def changes(self, write, row, **body):
        definitions = read_definitions([write({"key": "new", **body})])
        return list(changes([row] if row else [], definitions))

    def test_new(self, write):
        """
        A flag that the server lacks is added as it is defined.
        """
        (change,) = self.changes(write, None, filters=FILTERS)

        assert change.flag_id is None
        assert {"key": "new", "filters": FILTERS} == change.body
        assert '+  "key": "new"' in change.diff()

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"filters": FILTERS},
            {"filters": {**FILTERS, "payloads": None}},
            {"rollout_percentage": 50},
            {"active": True, "deleted": False},
        ],
    )
    def test_same(self, write, body):
        """
        A definition that says what is so already changes nothing.
        """
        assert [] == self.changes(write, stored(), **body)

    def test_payloads(self, write):
        """
        A payload is the same whether a file spells it as JSON or as JSON in a text.
        """
        row = stored(filters={**FILTERS, "payloads": {"true": '{"a":1}'}})

        assert [] == self.changes(write, row, filters={**FILTERS, "payloads": {"true": {"a": 1}}})

    def test_changed(self, write):
        """
        A change names the version it is based on, and its diff the lines that differ.
        """
        wider = {"groups": [{"properties": [], "rollout_percentage": 60}]}

        (change,) = self.changes(write, stored(), filters=wider)

        assert (7, 1) == (change.flag_id, change.body["version"])
        assert ['-        "rollout_percentage": 50', '+        "rollout_percentage": 60'] == [
            line for line in change.diff().splitlines()[2:] if line[0] in "+-"
        ]

    def test_taken_away(self, write):
        """
        What a definition's filters no longer hold is taken away from the server's.
        """
        row = stored(filters={**FILTERS, "payloads": {"true": "1"}})

        (change,) = self.changes(write, row, filters=FILTERS)

        after = changed_row(row, change.body, now_ms=0)
        assert defining(stored()) == defining(after) == change.after
        assert "payloads" not in change.after["filters"]

    def test_deleted(self, write):
        """
        A flag is deleted once.
        """
        (change,) = self.changes(write, stored(), deleted=True)

        assert change.after["deleted"]
        assert [] == self.changes(write, None, deleted=True)
