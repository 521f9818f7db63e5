"""Groups as they were, as far as what was kept of them reaches."""

import pytest

from flagstream.state.groups import GroupUpdate, fold_group
from flagstream.state.kept import Beginning, group_then


@pytest.mark.parametrize(("time_ms", "unknown"), [(10, set()), (11, {"plan"})])
def test_who_is_younger(time_ms, unknown):
    """
    Of a group that came after the beginning all is known, of an older one not what was before.
    """
    present = fold_group(None, GroupUpdate(time_ms=10, set={"plan": "gold"}), 5)
    beginning = Beginning(version=5, time_ms=time_ms, is_whole=False)

    assert unknown == group_then(None, present, beginning).unknown
