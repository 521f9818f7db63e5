"""posthog-js on one page: an instance for each row, and a clock that only the test moves."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from playwright.sync_api import Page

from tests.clients.browser import OPTIONS
from tests.clients.proxy import FaultProxy, Kind
from tests.clients.rows import FLAG, Row, Seen
from tests.waiting import until

# Longer than what it waits by itself before it sends again for the first time, 4.5 s and 3 s until
# it looks; and less than what it waits for an answer.
RETRY_AFTER_S = 20
_SILENT = {
    "autocapture": False,
    "capture_pageview": False,
    "capture_pageleave": False,
    "disable_session_recording": True,
    "persistence": "memory",
    # By a clock that runs faster than the server's.
    "feature_flag_request_timeout_ms": 15_000,
}
# After a failure, until what is to be sent again was sent again.
_SENT_AGAIN_S = 2 * RETRY_AFTER_S
# Half an hour at most, a quarter of it more, and until it looks.
_LONGEST_WAIT_S = 40 * 60
# So that several of these pass while a client waits for an answer, which takes real time: one that
# is given up by this clock counts as a dropped connection, and is not sent again as often.
_LOOK_S = 10
_SENTINEL = "sentinel"
_TIMEOUT_S = 60
# Of XMLHttpRequest, which older versions use, Chromium itself times the answers.
_XHR_TIMEOUT = """
const { get, set } = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "timeout");
Object.defineProperty(XMLHttpRequest.prototype, "timeout", {
  get,
  set(value) { set.call(this, Math.min(value, 5000)); },
});
"""


class PageClock:
    """
    The page's clock.

    Attributes:
        now_s: Since the page was opened.
    """

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class BrowserRows:
    """Plays rows on a page."""

    def __init__(self, page: Page, clock: PageClock, proxy: FaultProxy, token: str) -> None:
        self._page = page
        self._clock = clock
        self._proxy = proxy
        self._token = token

    def play(
        self, url: str, rows: Sequence[Row], turn_off: Callable[[], object]
    ) -> tuple[dict[Row, Seen], dict[Row, Seen]]:
        """
        Play all rows at the same time.

        Args:
            turn_off: Makes the flag another than the page knows.

        Returns:
            What was seen of the flags where the page knew nothing of them yet; and of all rows,
            where it did.
        """
        flags = [row for row in rows if row.kind is Kind.FLAGS]
        events = [row for row in rows if row.kind is Kind.EVENTS]
        self._open(url, rows)
        self._settle(flags, 0)
        first = self._seen(flags, 0)

        mark = len(self._proxy.exchanges)
        self._on(flags, "(client) => client.reloadFeatureFlags()")
        self._advance_until(lambda: self._are_known(flags, mark))
        turn_off()
        mark = len(self._proxy.exchanges)
        for row in rows:
            self._plan(row)
        self._on(flags, "(client) => client.reloadFeatureFlags()")
        self._on(events, "(client, row) => row.events.forEach((name) => client.capture(name))")
        self._settle(rows, mark)
        then = self._seen(flags, mark)

        self._advance_until_given_up()
        self._on(events, f"(client) => client.capture('{_SENTINEL}')")
        self._advance_until(lambda: self._have_sentinels(events))
        return first, then | self._seen(events, mark)

    def _open(self, url: str, rows: Sequence[Row]) -> None:
        self._page.add_init_script(_XHR_TIMEOUT)
        self._page.clock.install()
        self._page.goto(url)
        for row in rows:
            host = self._plan(row) if row.kind is Kind.FLAGS else self._proxy.address(row.name)
            init = {**OPTIONS, **_SILENT, "api_host": host, "persistence_name": row.name}
            self._page.evaluate(
                "(args) => { posthog.init(...args); }", [self._token, init, row.name]
            )

    def _plan(self, row: Row) -> str:
        return self._proxy.plan(row.name, row.kind, row.faults(RETRY_AFTER_S))

    def _on(self, rows: Iterable[Row], script: str) -> None:
        self._page.evaluate(
            f"(rows) => rows.forEach((row) => {{ ({script})(posthog[row.name], row); }})",
            [row._asdict() for row in rows],
        )

    def _values(self, rows: Iterable[Row]) -> dict[str, Any]:
        values: dict[str, Any] = self._page.evaluate(
            """([names, flag]) => Object.fromEntries(names.map((name) =>
                 [name, posthog[name].getFeatureFlag(flag, { send_event: false }) ?? null]))""",
            [[row.name for row in rows], FLAG],
        )
        return values

    def _seen(self, rows: Sequence[Row], mark: int) -> dict[Row, Seen]:
        values = self._values(rows)
        exchanges = self._proxy.exchanges[mark:]
        return {row: Seen(row.requests(exchanges), values[row.name]) for row in rows}

    def _are_known(self, flags: Sequence[Row], mark: int) -> bool:
        seen = self._seen(flags, mark).values()
        return all(each.requests and each.value is True for each in seen)

    def _settle(self, rows: Sequence[Row], mark: int) -> None:
        """Let all requests come, and fail, and come again if they do."""
        self._advance_until(lambda: all(each.requests for each in self._seen(rows, mark).values()))
        self._advance_until(lambda: not self._proxy.is_failing)
        self._advance(_SENT_AGAIN_S)

    def _advance_until_given_up(self) -> None:
        """Let all events be sent as often as they are, until none has come for the longest wait."""
        came, last_s = 0, self._clock.now_s
        while self._clock.now_s < last_s + _LONGEST_WAIT_S:
            self._step(_LOOK_S)
            now = sum(each.kind is Kind.EVENTS for each in self._proxy.exchanges)
            if now > came:
                came, last_s = now, self._clock.now_s

    def _have_sentinels(self, rows: Sequence[Row]) -> bool:
        came = {each.row for each in self._proxy.exchanges if _SENTINEL in each.events}
        return came >= {row.name for row in rows}

    def _advance(self, seconds: int) -> None:
        for _ in range(seconds):
            self._step(1)

    def _advance_until(self, condition: Callable[[], bool]) -> None:
        def is_so() -> bool:
            self._step(1)
            return condition()

        until(is_so, _TIMEOUT_S)

    def _step(self, seconds: int) -> None:
        self._page.clock.run_for(seconds * 1_000)
        self._clock.now_s += seconds
        # Sent after whatever the page has sent meanwhile, so that is under way at least.
        self._page.evaluate(
            "(url) => fetch(url, { mode: 'no-cors' }).then(() => {})", self._proxy.address("step")
        )
