import pytest

from flagstream.views import ViewStore


@pytest.fixture
def store(tmp_path):
    """
    Views on disk, empty.
    """
    store = ViewStore(tmp_path / "views")
    yield store
    store.close()
