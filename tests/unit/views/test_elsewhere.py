"""Records of other processes that the views do not show yet."""

import pytest

from flagstream.ports import Position
from flagstream.topics import Table, Topic
from flagstream.views import Watermarks
from flagstream.views.elsewhere import Elsewhere

GROUPS = Topic.GROUP_UPDATES.value


@pytest.fixture
def marks():
    return Watermarks(max_lag_changes=10, max_lag_s=2.0)


class TestElsewhere:
    def test_settled_once_it_is_visible(self, marks):
        """
        A key is distrusted from the moment on that somebody wrote it until the views show that.
        """
        assert marks.is_settled(GROUPS, b"a")
        marks.landed(b"a", Position(GROUPS, 0, 3))
        marks.folded(GROUPS, 0, 3, 3)
        assert not marks.is_settled(GROUPS, b"a")
        assert marks.is_settled(GROUPS, b"b")

        marks.applied(Table.GROUPS, 0, 3)
        assert marks.is_settled(GROUPS, b"a")

    def test_the_latest_counts(self, marks):
        """
        Of several records the last has to show.
        """
        for offset in (3, 4):
            marks.landed(b"a", Position(GROUPS, 0, offset))
        marks.folded(GROUPS, 0, 3, None)

        assert not marks.is_settled(GROUPS, b"a")

    def test_is_bounded(self):
        """
        What shows is forgotten also where nobody asks for it.
        """
        elsewhere = Elsewhere(lambda position: True)
        for offset in range(1_000):
            elsewhere.landed(b"%d" % offset, Position(GROUPS, 0, offset))

        assert len(elsewhere._landed) < 3
