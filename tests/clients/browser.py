"""A visitor of a product's page, and what posthog-js asked and was answered meanwhile."""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, sync_playwright

from tests.server import Server

_CHROMIUM = "/usr/bin/chromium"
_CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OPTIONS = {
    # Playwright's browser says of itself that it is driven; nobody's events are to be dropped here.
    "opt_out_useragent_filter": True,
    "request_queue_config": {"flush_interval_ms": 250},
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; until it is closed, Playwright's event loop keeps others from running."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=list(_CHROMIUM_OPTIONS)
        )
        yield browser
        browser.close()


class FlagsExchange(NamedTuple):
    """What posthog-js sent to ``/flags/``, and the flags it was answered, by key."""

    request: Mapping[str, Any]
    flags: Mapping[str, Any]


class Visitor:
    """A browser profile on the product's page."""

    def __init__(
        self,
        context: BrowserContext,
        pages_url: str,
        server: Server,
        options: Mapping[str, object],
        module: str = "posthog-js",
    ) -> None:
        init = {"api_host": server.url, **OPTIONS, **options}
        query = {"token": server.token, "options": json.dumps(init)}
        self._url = f"{pages_url}{module}/?{urlencode(query)}"
        self._context = context
        self.page: Page = context.new_page()

    def open(self) -> None:
        """Open the page."""
        self.page.goto(self._url)

    def load(self) -> FlagsExchange:
        """Open the page; returns the first exchange about flags."""
        with self.page.expect_response(_is_flags) as answered:
            self.open()
        return _exchange(answered.value)

    def hard_refresh(self) -> FlagsExchange:
        """Load the page again past every cache."""
        session = self._context.new_cdp_session(self.page)
        with self.page.expect_response(_is_flags) as answered:
            session.send("Page.reload", {"ignoreCache": True})
        session.detach()
        return _exchange(answered.value)

    def new_tab(self) -> FlagsExchange:
        """Open the page in another tab of the same profile, which becomes the current one."""
        self.page = self._context.new_page()
        return self.load()

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of posthog-js."""
        return self.page.evaluate(
            "([method, args]) => { const result = posthog[method](...args);"
            " return typeof result === 'object' ? null : result; }",
            [method, list(arguments)],
        )

    def call_for_flags(self, method: str, *arguments: object) -> FlagsExchange:
        """Call a method of posthog-js that asks for flags; returns that exchange."""
        with self.page.expect_response(_is_flags) as answered:
            self.call(method, *arguments)
        return _exchange(answered.value)

    def wait_flag(self, key: str, value: object) -> None:
        """Wait until posthog-js gives this value to the page's own code."""
        self.page.wait_for_function(
            "([key, value]) => posthog.getFeatureFlag(key) === value", arg=[key, value]
        )


def _is_flags(response: Response) -> bool:
    return "/flags/?" in response.url and response.request.method == "POST"


def _exchange(response: Response) -> FlagsExchange:
    assert response.status == 200, response.text()
    return FlagsExchange(_sent(response.request), response.json()["flags"])


def _sent(request: Request) -> Mapping[str, Any]:
    body = request.post_data_buffer or b""
    plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    sent: Mapping[str, Any] = json.loads(plain)
    return sent
