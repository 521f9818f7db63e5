"""OpenFeature's SDKs for servers and for pages, asked alike."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from playwright.sync_api import Page

from tests.clients.programs import execute

PROGRAMS = {
    "python": [sys.executable, "openfeature_python.py"],
    "node": ["node", "openfeature_node.mjs"],
}
"""By SDK for servers, what runs it."""


class Ask(NamedTuple):
    """What is asked of an SDK; *fallback* is the default in the code."""

    type: str
    key: str
    fallback: Any
    context: Mapping[str, Any] = {}


def ask(sdk: str, url: str, key: str, asked: Sequence[Ask]) -> list[dict[str, Any]]:
    """Ask an SDK for servers; gives the details of each flag."""
    given = {
        "url": url,
        "headers": [["Authorization", f"Bearer {key}"]],
        "asked": [each._asdict() for each in asked],
    }
    answers: list[dict[str, Any]] = execute(PROGRAMS[sdk], given)
    return answers


class WebClient:
    """The SDK for pages, on a page of its own."""

    def __init__(self, page: Page, pages_url: str, url: str, token: str) -> None:
        self.page = page
        self._options = {
            "baseUrl": url,
            "headers": [["Authorization", f"Bearer {token}"]],
            # Flags are kept by the user alone unless a page says otherwise, whatever the groups.
            "cacheMode": "disabled",
        }
        page.goto(f"{pages_url}openfeature/")
        page.wait_for_function("() => window.details !== undefined")

    def start(self, context: Mapping[str, Any], **options: Any) -> str | None:
        """Start the provider; gives why that failed, or None."""
        given = [{**self._options, **options}, context]
        code: str | None = self.page.evaluate("(given) => start(...given)", given)
        return code

    def set_context(self, context: Mapping[str, Any]) -> None:
        """Say who the user is now."""
        self.page.evaluate("(context) => setContext(context)", context)

    def details(self, asked: Ask) -> dict[str, Any]:
        """Ask, for the user that was said."""
        details: dict[str, Any] = self.page.evaluate("(asked) => details(asked)", asked._asdict())
        return details

    def wait_value(self, asked: Ask, value: Any) -> None:
        """Wait until it answers so."""
        self.page.wait_for_function(
            "([asked, value]) => details(asked).value === value", arg=[asked._asdict(), value]
        )
