"""Real clients: posthog-js in Chromium, posthog-node and posthog-python."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.clients.browser import Visitor, chromium
from tests.clients.pages import serve_pages
from tests.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.client)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a module."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def pages_url() -> Iterator[str]:
    """Address of the product's pages; another origin than the server's."""
    with serve_pages() as url:
        yield url


@pytest.fixture
def visit(browser: Browser, pages_url: str, server: Server) -> Iterator[Callable[..., Visitor]]:
    """Visit the product, each time with a browser profile of its own; options are posthog-js's."""
    with contextlib.ExitStack() as stack:

        def visit(module: str = "posthog-js", **options: object) -> Visitor:
            context = stack.enter_context(browser.new_context())
            return Visitor(context, pages_url, server, options, module)

        yield visit
