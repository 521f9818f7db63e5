"""Flags that filters name, by id or by key."""

import pytest

from flagstream.cli.flag_names import keys_by_id, named_by_key
from flagstream.state.definitions import Kind

FLAG = {"key": "7", "type": "flag", "operator": "flag_evaluates_to", "value": True}


def flag(*tests):
    return {"key": "f", "filters": {"groups": [{}, {"properties": list(tests)}]}}


def cohort(*tests):
    return {"id": 1, "filters": {"properties": {"values": [{"values": list(tests)}]}}}


class TestKeysById:
    @pytest.mark.parametrize(
        ("row", "keys"),
        [
            ({"id": 7, "key": "a"}, {"7": "a"}),
            ({"id": 7, "key": "a7"}, {"7": "a7"}),
            ({"id": 7, "key": "12"}, {}),
            ({"key": "a"}, {}),
            ({"id": "7", "key": "a"}, {}),
            ({"id": True, "key": "a"}, {}),
        ],
    )
    def test_readable_as_keys(self, row, keys):
        """
        A flag is known by its id, unless its key would be read as an id itself.
        """
        assert keys == keys_by_id([row])


class TestNamedByKey:
    @pytest.mark.parametrize(("kind", "row"), [(Kind.FLAG, flag), (Kind.COHORT, cohort)])
    @pytest.mark.parametrize(
        ("test", "key"),
        [
            (FLAG, "a"),
            ({**FLAG, "key": "8"}, "8"),
            ({**FLAG, "key": "07"}, "07"),
            ({**FLAG, "key": "b"}, "b"),
            ({**FLAG, "dependency_chain": ["7"]}, "7"),
            ({**FLAG, "type": "person"}, "7"),
        ],
    )
    def test_known_ids(self, kind, row, test, key):
        """
        Ids that are known become keys; whatever else filters name stays.
        """
        before = row(test)

        assert row({**test, "key": key}) == named_by_key(kind, before, {"7": "a"})
        assert row(test) == before

    def test_without_filters(self):
        """
        What has no filters stays as it is.
        """
        assert {"key": "f"} == named_by_key(Kind.FLAG, {"key": "f"}, {"7": "a"})
