"""What is added to the properties that a request brings along."""

import pytest

from flagstream.flags import group_key_text, group_properties, person_properties


def person(given, *names, stored=None, **more):
    return person_properties(stored or {}, given, "u", names, **more)


class TestPerson:
    def test_a_request_goes_before_what_is_stored(self):
        """
        Properties are joined name by name; null is a value.
        """
        joined = person({"plan": None, "new": 1}, "plan", stored={"plan": "gold", "old": 2})

        assert {"plan": None, "new": 1, "old": 2} == joined

    @pytest.mark.parametrize(
        ("given", "names", "added"),
        [
            ({}, ["distinct_id"], {"distinct_id": "u"}),
            ({"distinct_id": "v"}, ["distinct_id"], {"distinct_id": "u"}),
            ({}, ["plan"], {}),
            ({"$browser": "X"}, ["$initial_browser"], {"$initial_browser": "X"}),
            ({"$browser": None}, ["$initial_browser"], {"$initial_browser": None}),
            ({"utm_source": "x"}, ["$initial_utm_source"], {"$initial_utm_source": "x"}),
            ({"$browser": "X", "$initial_browser": "Y"}, ["$initial_browser"], {}),
            ({"$browser": "X"}, ["plan"], {}),
            ({"browser": "X"}, ["$initial_browser"], {}),
        ],
    )
    def test_what_is_added(self, given, names, added):
        """
        The distinct id is a property, and a first value that is not known is the present one; but
        only what some flag looks at is added.
        """
        assert {**given, **added} == person(given, *names)

    def test_when_the_person_was_created(self):
        """
        What is known besides properties has a name that no property has, and is added where it is
        known.
        """
        name = "\0metadata/created_at"

        assert {name: 1.5} == person({}, name, created_at_ms=1500)
        assert {} == person({}, name)
        assert {} == person({}, "created_at", created_at_ms=1500)

    def test_nothing_is_copied_for_nothing(self):
        """
        What needs no joining is handed on as it is.
        """
        properties = {"plan": "gold"}

        assert properties is person(properties, "plan")
        assert properties is person({}, "plan", stored=properties)


class TestGroup:
    @pytest.mark.parametrize(
        ("stored", "given", "names", "joined"),
        [
            ({"a": 1}, {"a": 2}, ["a"], {"a": 2}),
            ({"a": 1}, {"b": 2}, [], {"a": 1, "b": 2}),
            ({"a": 1}, {}, ["$group_key"], {"a": 1, "$group_key": "k"}),
            ({}, {"$group_key": "other"}, ["$group_key"], {"$group_key": "k"}),
        ],
    )
    def test_joined(self, stored, given, names, joined):
        """
        A request goes before what is stored, but a group's key is what it is.
        """
        assert joined == group_properties(stored, given, "k", names)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            *(("acme", "acme"), (" ", " "), ("", None), (5, "5"), (5.0, "5"), (5.5, "5.5")),
            *((0, "0"), (-1, "-1"), (True, None), (False, None), (None, None), ([], None)),
            ({"a": 1}, None),
        ],
    )
    def test_key(self, value, text):
        """
        A text that is not empty names a group, and so does a number; nothing else does.
        """
        assert text == group_key_text(value)
