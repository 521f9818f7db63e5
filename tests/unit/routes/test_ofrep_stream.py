"""The streams by which pages learn that their flags answer otherwise."""

import asyncio
import base64
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from flagstream.errors import UnauthenticatedError
from flagstream.flags import Difference
from flagstream.routes import keys, ofrep
from flagstream.routes.channels import KEY_BYTES, MAX_BODY_BYTES, Channels
from flagstream.routes.flag_answers import FlagAnswers
from flagstream.routes.ofrep import STREAM_PATH
from flagstream.settings import Settings
from tests.fakes.views import PROJECT
from tests.fakes.world import NOW_MS, World
from tests.ofrep import PATH, validator
from tests.sse import EventReader
from tests.unit.routes.test_ofrep import ACME, ANNA, PRO, PUBLIC, flag_row, has

MINE = flag_row(
    "mine",
    [{"properties": [has("plan", "pro", of_groups=False)]}],
    flag_id=2,
    of_groups=False,
)
DAY_MS = 86_400_000


@pytest.fixture
def settings():
    return {}


@pytest.fixture
def world(settings):
    world = World(settings=Settings(**settings))
    world.catalog.set_flag(PRO)
    world.catalog.set_flag(MINE)
    return world


@pytest.fixture
async def fetch(client):
    """Ask for all flags; gives the answer."""

    async def fetch(context=ACME, query="", **headers):
        return await client.post(
            f"{PATH}{query}", json={"context": context}, headers={**PUBLIC, **headers}
        )

    return fetch


@pytest.fixture
async def listen(client, fetch):
    """Ask for all flags, and open the stream that the answer names."""
    responses = []

    async def listen(context=ACME, uri=None, **headers):
        if uri is None:
            uri = await stream_uri(await fetch(context))
        responses.append(await client.get(uri, headers=headers))
        assert 200 == responses[-1].status
        return EventReader(responses[-1])

    yield listen

    for response in responses:
        response.close()


async def stream_uri(answer):
    (stream,) = (await answer.json())["eventStreams"]
    return stream["endpoint"]["requestUri"]


@pytest.fixture
def looked(client):
    """Wait until everything that was told has been looked at."""
    watches = client.server.app[keys.STREAMS].watches

    async def looked():
        async with asyncio.timeout(5):
            while watches._pending:  # noqa: ASYNC110 -- of the code under test
                await asyncio.sleep(0.01)

    return looked


def change_group(world, key="acme", **properties):
    place = (PROJECT.id, "company", key)
    world.view.put_group(place, properties)
    world.changes.tell(groups={place: None})


class TestRefetch:
    async def test_group(self, world, fetch, listen):
        """
        When a property changes an answer, the page is told so, with the tag of the next answer.
        """
        stream = await listen()
        started = await stream.started()
        assert f'"{started}"' == (await fetch()).headers["ETag"]

        change_group(world, plan="pro")

        event = await stream.next()
        assert (event.id, "message") == (event.data["etag"], event.name)
        assert f'"{event.id}"' == (await fetch()).headers["ETag"]

    async def test_what_breaks(self, client, world, listen):
        """
        Where it cannot be told how one page's flags answer, its stream ends, so that it comes
        back, and the other pages are told; so they are where backends cannot be.
        """
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}
        broken, other = await listen(), await listen(ANNA)
        streams, etag = client.server.app[keys.STREAMS], await broken.started()
        watches = streams.watches._by_project[PROJECT.id]
        (watch,) = (each for each in watches if each.sight.etag == etag)
        watch.look = streams.feed.flush = lambda: 1 / 0

        change_group(world, plan="pro")

        assert await broken.next() is None
        assert await other.next()

    async def test_protocol(self, world, listen):
        """
        The event is what the protocol says.
        """
        stream = await listen()
        change_group(world, plan="pro")

        event = await stream.next()

        schema = {"$ref": "#/components/schemas/sseEventData"}
        assert [] == list(validator(schema).iter_errors(event.data))
        assert {"type", "etag"} == event.data.keys()

    @pytest.mark.parametrize("context", [ANNA, ACME])
    async def test_what_no_answer_depends_on(self, world, listen, looked, context):
        """
        A page is not told of other properties, other groups, or of what flags only say of
        themselves.
        """
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}
        stream = await listen(context)

        change_group(world, seats=5)
        change_group(world, "other", plan="pro")
        world.catalog.set_flag({**PRO, "version": 9})
        world.changes.tell(projects={PROJECT.id}, flags={PROJECT.id: {}})
        await looked()
        change_group(world, plan="pro")

        await stream.next()
        assert b"" == stream.response.content.read_nowait()

    async def test_person(self, world, listen):
        """
        It is told of changes of the person, by any id of theirs, and of their groups.
        """
        stream = await listen(ANNA)
        world.view.set_person("anna", plan="pro", distinct_ids=["phone"])
        world.changes.tell(persons={(PROJECT.id, "anna")})
        assert await stream.next()

        world.view.set_person("anna", plan="free", distinct_ids=["phone"])
        world.changes.tell(persons={(PROJECT.id, "phone")})
        assert await stream.next()

        world.view.set_group("company", "acme", plan="pro")
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}
        world.changes.tell(persons={(PROJECT.id, "anna")})
        assert await stream.next()

        change_group(world, plan="free")
        assert await stream.next()

    async def test_definition(self, world, listen, looked):
        """
        And of definitions by which its own flags answer otherwise, not those of other projects.
        """
        stream = await listen()
        await stream.started()

        world.catalog.set_flag(flag_row("new", flag_id=3))
        world.changes.tell(projects={2})
        await looked()
        assert b"" == stream.response.content.read_nowait()
        world.changes.tell(projects={PROJECT.id}, flags={PROJECT.id: {"new": Difference.ADDED}})

        assert await stream.next()

    async def test_missed_before_it_listened(self, world, fetch, listen):
        """
        What changed between the answer and the stream is told at once, and so is what did while
        the connection was lost.
        """
        uri = await stream_uri(await fetch())
        change_group(world, plan="pro")

        first = await (await listen(uri=uri)).next()
        change_group(world, plan="free")
        second = await (await listen(uri=uri, **{"Last-Event-ID": first.id})).next()

        assert first.id != second.id
        assert f'"{second.id}"' == (await fetch()).headers["ETag"]

    async def test_nothing_was_missed(self, world, fetch, listen):
        """
        Who has the present answer is told nothing.
        """
        uri = await stream_uri(await fetch())

        stream = await listen(uri=uri)

        change_group(world, plan="pro")
        event = await stream.next()
        again = await listen(uri=uri, **{"Last-Event-ID": event.id})
        change_group(world, plan="free")
        assert event.id != (await again.next()).id


class TestBehind:
    async def test_waits(self, world, fetch, monkeypatch):
        """
        Who was told of a change that this process has not seen is answered once it has.
        """
        before = (await fetch()).headers["ETag"]
        headers = {"If-None-Match": before}
        asking = asyncio.create_task(fetch(query="?flagConfigEtag=told", **headers))
        await asyncio.sleep(0.05)
        world.view.set_group("company", "acme", plan="pro")

        assert 200 == (await asking).status

    async def test_not_for_ever(self, fetch, monkeypatch):
        """
        If nothing comes, it is told that nothing has changed.
        """
        monkeypatch.setattr(ofrep, "_BEHIND_S", 0.02)
        headers = {"If-None-Match": (await fetch()).headers["ETag"]}

        assert 304 == (await fetch(query="?flagConfigEtag=told", **headers)).status

    async def test_costs_little(self, fetch, monkeypatch):
        """
        Whoever says so for nothing lets flags be evaluated a few times, not all the while.
        """
        evaluated, evaluate = [], FlagAnswers.ofrep

        def counting(answers, asked):
            evaluated.append(asked)
            return evaluate(answers, asked)

        monkeypatch.setattr(FlagAnswers, "ofrep", counting)
        monkeypatch.setattr(ofrep, "_BEHIND_S", 0.2)
        headers = {"If-None-Match": (await fetch()).headers["ETag"]}
        evaluated.clear()

        assert 304 == (await fetch(query="?flagConfigEtag=told", **headers)).status
        assert 3 <= len(evaluated) <= 7


class TestAddress:
    async def test_tells_nothing(self, world, fetch):
        """
        An address says neither whose flags it is about, nor which group was remembered.
        """
        world.view.active[PROJECT.id, "anna"] = {"company": "acme"}

        uri = await stream_uri(await fetch({**ANNA, "email": "anna@example.com"}))

        (channel,) = parse_qs(urlsplit(uri).query)["channel"]
        plain = base64.urlsafe_b64decode(channel + "===")
        for secret in (b"anna", b"acme", b"example"):
            assert secret not in plain

    async def test_stays(self, fetch):
        """
        It is the same as long as the context is, so that a page keeps its stream.
        """
        first, again, other = [
            urlsplit(await stream_uri(await fetch(context))).query for context in (ACME, ACME, ANNA)
        ]

        assert first == again != other

    @pytest.mark.parametrize("settings", [{"public_url": "https://example.com/flags/"}])
    async def test_behind_a_path(self, fetch):
        """
        Where clients know the server by another address, the stream is below that.
        """
        (stream,) = (await (await fetch()).json())["eventStreams"]

        assert stream["url"].startswith(f"https://example.com/flags{STREAM_PATH}?")
        assert "endpoint" not in stream

    async def test_large_context(self, fetch):
        """
        A context whose address would be too long has no stream, and its flags all the same.
        """
        answer = await fetch({**ACME, "long": "x" * MAX_BODY_BYTES})

        assert {"flags"} == (await answer.json()).keys()

    @pytest.mark.parametrize("channel", ["", "nonsense", "a" * 100, "ä"])
    async def test_unknown(self, client, channel):
        """
        An address that was not written here is refused.
        """
        response = await client.get(STREAM_PATH, params={"channel": channel})

        assert 401 == response.status

    def test_expires(self):
        """
        An address is good for a day at least, and not for three; another key knows none.
        """
        channels = Channels(bytes(KEY_BYTES))
        address = channels.write(1, b"{}", None, NOW_MS)

        for passed_ms in (0, DAY_MS):
            assert b"{}" == channels.read(address, NOW_MS + passed_ms).body
        with pytest.raises(UnauthenticatedError):
            channels.read(address, NOW_MS + 2 * DAY_MS)
        with pytest.raises(UnauthenticatedError):
            Channels(b"x" * KEY_BYTES).read(address, NOW_MS)
        assert address != channels.write(1, b"{}", None, NOW_MS + DAY_MS)

    async def test_pages_may_listen(self, client, fetch):
        """
        A page of another origin may listen.
        """
        origin = {"Origin": "https://page.example"}

        response = await client.get(await stream_uri(await fetch()), headers=origin)

        assert origin["Origin"] == response.headers["Access-Control-Allow-Origin"]
        assert "text/event-stream" == response.content_type
        response.close()

    @pytest.mark.parametrize("settings", [{"max_streams_per_project": 1}])
    async def test_limit(self, client, fetch, listen):
        """
        Pages have so many streams and no more, and leave those of backends alone.
        """
        uri = await stream_uri(await fetch())
        await listen(uri=uri)

        assert 429 == (await client.get(uri)).status
        await listen(uri="/api/stream", Authorization=f"Bearer {PROJECT.secret_key}")

    @pytest.mark.parametrize(
        "settings", [{"max_flag_requests_per_s": 0.5, "rate_burst_s": 4}], ids=["two"]
    )
    async def test_rate(self, client, fetch, listen):
        """
        To listen is a question about flags like any other.
        """
        uri = await stream_uri(await fetch())
        await listen(uri=uri)

        refused = await client.get(uri)

        assert (429, "2") == (refused.status, refused.headers["Retry-After"])

    async def test_archived(self, world, client, fetch, listen, monkeypatch):
        """
        Nobody is told anything of a project that is archived.
        """
        uri = await stream_uri(await fetch())
        stream = await listen(uri=uri)
        await stream.started()

        monkeypatch.setattr(world.access, "by_id", lambda _: replace(PROJECT, is_archived=True))
        world.view.set_group("company", "acme", plan="pro")
        world.changes.tell(groups={(PROJECT.id, "company", "acme"): None})

        assert await stream.next() is None
        assert 401 == (await client.get(uri)).status
