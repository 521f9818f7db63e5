"""Properties of many stored groups, counted."""

import pytest

from flagstream.census import MAX_EXAMINED, property_names, property_values
from flagstream.flags import finished


def values(view, name="plan", part=""):
    return property_values(view, 1, "company", name, part)


class TestCounts:
    @pytest.mark.parametrize(
        ("count", "examined", "is_complete"),
        [(0, 0, True), (45, 45, True), (MAX_EXAMINED + 1, MAX_EXAMINED, False)],
    )
    def test_as_far_as_the_bound(self, view, write_groups, count, examined, is_complete):
        """
        Groups are counted up to a bound, and the answer says whether there are others.
        """
        write_groups("company", count, plan="gold")

        names = finished(property_names(view, 1, "company"))

        assert (examined, is_complete) == (names.examined, names.is_complete)
        assert dict([("plan", examined)] if count else []) == dict(names.found)

    def test_others_are_not_counted(self, view, write_groups):
        """
        Neither other types nor other projects count.
        """
        write_groups("company", 3, plan="gold")
        write_groups("project", 5, plan="gold")

        assert [("gold", 3)] == finished(values(view)).found
        assert [] == finished(property_values(view, 2, "company", "plan", "")).found

    def test_short_steps(self, view, write_groups):
        """
        No step examines more than a few groups, so that others are let in.
        """
        write_groups("company", 1_000, plan="gold")

        assert len(list(values(view))) >= 1_000 // 20 - 1

    def test_closed_meanwhile(self, view, store, write_groups):
        """
        Between steps the views may be closed and opened again.
        """
        write_groups("company", 100, plan="gold")
        steps = values(view)
        next(steps)
        assert store.recover()

        assert [("gold", 100)] == finished(steps).found
