"""Everything here kills, fills or poisons a real server."""

from pathlib import Path

import pytest

from tests.filters import group_filters
from tests.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.crash)


@pytest.fixture
def gold_server(server: Server) -> Server:
    """A running server with a flag for the plan gold, and one organization on it."""
    server.set_group("organization", "org:1", plan="gold")
    server.create_flag("gold", group_filters(plan="gold"))
    return server
