import pytest

from flagstream.state.groups import GroupUpdate
from flagstream.state.merge import REDUCERS
from flagstream.topics import Table, record_key
from flagstream.views import StoredState


@pytest.fixture
def view(store):
    return StoredState(store, cache_entries=100, active_groups_ttl_days=30)


@pytest.fixture
def write_groups(store):
    """
    Write many groups of a type that have the same properties.
    """

    def write(group_type, count, **properties):
        update = GroupUpdate(time_ms=1, set=properties).to_bytes()
        value = REDUCERS[Table.GROUPS].fold(None, update, 1)
        store.write({b"g" + record_key(1, group_type, f"{n:06}"): value for n in range(count)}, {})

    return write
