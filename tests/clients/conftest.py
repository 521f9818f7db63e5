"""Real clients: posthog-js in Chromium, posthog-node and posthog-python."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.clients.browser import CHROMIUM, CHROMIUM_OPTIONS, Visitor
from tests.clients.pages import serve_pages
from tests.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.client)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; until it is closed, Playwright's event loop keeps others from running."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))

        yield browser

        browser.close()


@pytest.fixture(scope="session")
def pages_url() -> Iterator[str]:
    """Address of the product's pages; another origin than the server's."""
    with serve_pages() as url:
        yield url


@pytest.fixture
def visit(browser: Browser, pages_url: str, server: Server) -> Iterator[Callable[..., Visitor]]:
    """Visit the product, each time with a browser profile of its own; options are posthog-js's."""
    with contextlib.ExitStack() as stack:

        def visit(**options: object) -> Visitor:
            context = stack.enter_context(browser.new_context())
            return Visitor(context, pages_url, server, options)

        yield visit
