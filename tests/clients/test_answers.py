"""What each client does on each answer, and what the log then holds: as the reference says."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from typing import NamedTuple
from uuid import uuid4

import pytest

from flagstream.state.events import EventRecord
from flagstream.topics import Topic
from tests.clients import browser_rows, program_rows
from tests.clients.answers import CASES, Does
from tests.clients.browser import chromium
from tests.clients.browser_rows import BrowserRows, PageClock
from tests.clients.pages import serve_pages
from tests.clients.program_rows import play_program
from tests.clients.proxy import Kind, proxying
from tests.clients.rows import FLAG, Row, Seen, rows_of
from tests.clients.versions import BROWSER
from tests.clients.words import word_for_events, word_for_flag
from tests.crash.stored import stored_records
from tests.server import Server

DOUBLING = {client for (client, _), does in CASES[Kind.EVENTS].items() if does == Does.DOUBLED}


class Played(NamedTuple):
    """
    What was seen of a client.

    Attributes:
        first: Of the flag, where a page knew nothing of it yet.
        then: Of everything; the flag that a page knew is another by now.
        stored: Events of the log by name.
        retry_after_s: What the client was asked to wait.
    """

    first: Mapping[Row, Seen]
    then: Mapping[Row, Seen]
    stored: Mapping[str, int]
    retry_after_s: int


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Played]:
    """Play all rows of a client; once, also where that fails."""

    @cache
    def played(client: str) -> Future[Played]:
        future: Future[Played] = Future()
        server = Server(tmp_path_factory.mktemp("played") / "data")
        try:
            server.start()
            play = play_in_browser if client in BROWSER else play_as_program
            future.set_result(play(client, server, list(rows_of(client))))
        except Exception as error:  # noqa: BLE001 -- raised for each row
            future.set_exception(error)
        finally:
            server.kill()
        return future

    return lambda client: played(client).result()


def play_as_program(client: str, server: Server, rows: Sequence[Row]) -> Played:
    server.create_flag(FLAG, rollout(100))
    with proxying(server.url) as proxy:
        seen = play_program(client, server.token, proxy, rows)
    return Played({}, seen, stored(server), program_rows.RETRY_AFTER_S)


def play_in_browser(client: str, server: Server, rows: Sequence[Row]) -> Played:
    flag = server.api("POST", "feature_flags/", {"key": FLAG, "filters": rollout(100)})
    clock = PageClock()
    with proxying(server.url, clock) as proxy, serve_pages() as pages, chromium() as browser:
        player = BrowserRows(browser.new_page(), clock, proxy, server.token)
        first, then = player.play(
            f"{pages}{BROWSER[client]}/",
            rows,
            turn_off=lambda: server.api(
                "PATCH", f"feature_flags/{flag['id']}/", {"filters": rollout(0)}
            ),
        )
    return Played(first, then, stored(server), browser_rows.RETRY_AFTER_S)


def rollout(percentage: int) -> dict[str, object]:
    return {"groups": [{"rollout_percentage": percentage}]}


def stored(server: Server) -> Counter[str]:
    """Stop the server and count the events of its log."""
    assert 0 == server.terminate()
    records = asyncio.run(stored_records(server.data_dir, Topic.EVENTS))
    return Counter(EventRecord.from_bytes(record.value or b"").event for record in records)


def cases(kind: Kind, *clients: str) -> pytest.MarkDecorator:
    """Parametrize with the rows of all clients, or of those given."""
    return pytest.mark.parametrize(
        ("client", "row", "does"),
        [
            pytest.param(client, row, CASES[kind][client, row.answer], id=f"{client}: {row.answer}")
            for client in clients or dict.fromkeys(client for client, _ in CASES[kind])
            for row in rows_of(client)
            if row.kind is kind
        ],
    )


class TestEvents:
    @cases(Kind.EVENTS)
    def test_answer(self, play, client, row, does):
        """
        Events are sent again as the table says, and are in the log as often as it says.
        """
        played = play(client)
        seen = played.then[row]

        assert does == word_for_events(row, seen, played.stored, played.retry_after_s), seen

    @cases(Kind.EVENTS)
    def test_uuid(self, play, client, row, does):
        """
        An event that is sent again has the uuid that it had before, if any.
        """
        uuids = defaultdict(set)
        for request in play(client).then[row].requests:
            for name, uuid in request.events.items():
                uuids[name].add(uuid)

        assert [1] * len(row.events) == [len(each) for each in uuids.values()]

    @pytest.mark.parametrize("client", DOUBLING)
    def test_given_uuid(self, server, client):
        """
        What a client doubles that gives events no uuid is there once where the product gives one.
        """
        rows = [
            row for row in rows_of(client) if CASES[row.kind][client, row.answer] == Does.DOUBLED
        ]
        uuids = {event: str(uuid4()) for row in rows for event in row.events}
        with proxying(server.url) as proxy:
            play_program(client, server.token, proxy, rows, uuids)

        assert dict.fromkeys(uuids, 1) == stored(server)


class TestFlags:
    @cases(Kind.FLAGS)
    def test_answer(self, play, client, row, does):
        """
        The product is given what the table says; a page keeps what it knew where it says so.
        """
        played = play(client)
        seen = played.then[row]

        assert does == word_for_flag(seen, value=not played.first), seen

    @cases(Kind.FLAGS, *BROWSER)
    def test_first_load(self, play, client, row, does):
        """
        A page that knows nothing yet is given nothing where another keeps what it knew.
        """
        seen = play(client).first[row]
        expected = Does.UNKNOWN if does == Does.AS_BEFORE else does

        assert expected == word_for_flag(seen, value=True), seen
