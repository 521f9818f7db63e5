"""The stream of changes, for backends."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagstream.flags import Difference
from flagstream.routes import streams as routes
from flagstream.streams import feed
from flagstream.streams.group_changes import said
from tests.fakes.views import PROJECT
from tests.sse import EventReader
from tests.unit.routes.asking import AUTH, ROOT, send
from tests.unit.routes.test_ofrep import flag_row, has

PATH = "/api/stream"
KEYS = f"{ROOT}/keys/"
PRO = flag_row("pro", [{"properties": [has("plan", "pro")]}])
PLACE = (PROJECT.id, "company", "acme")


@pytest.fixture
async def listen(client):
    """Open a stream; gives what reads it."""
    open_streams = []

    async def listen(**headers):
        response = await client.get(PATH, headers={**AUTH, **headers})
        assert 200 == response.status
        open_streams.append(response)
        return EventReader(response)

    yield listen

    for response in open_streams:
        response.close()


@pytest.fixture
def change(world):
    """Change a group's properties, and tell of it as the views do."""

    def change(group_type="company", group_key="acme", **properties):
        place = (PROJECT.id, group_type, group_key)
        known = world.view.states.get(place)
        before = None if known is None else known.to_bytes()
        world.view.put_group(place, properties)
        world.changes.tell(groups={place: before})

    return change


class TestGroups:
    async def test_changed_answer(self, world, listen, change):
        """
        A group's flags that answer otherwise are named, with what they answered and answer.
        """
        world.catalog.set_flag(PRO | {"filters": {**PRO["filters"], "payloads": {"true": "5"}}})
        world.catalog.set_flag(flag_row("all", flag_id=2))
        stream = await listen()

        change(plan="pro")
        first = await stream.next()
        change(plan="free")
        second = await stream.next()

        group = {"group_type": "company", "group_key": "acme", "undecided": []}
        on = {"key": "pro", "before": False, "after": True, "payload": "5"}
        off = {"key": "pro", "before": True, "after": False}
        assert ("group", {**group, "flags": [on]}) == (first.name, first.data)
        assert ("group", {**group, "flags": [off]}) == (second.name, second.data)

    async def test_what_no_answer_depends_on(self, world, listen, change):
        """
        A property that changes no answer is passed over, looked at or not.
        """
        world.catalog.set_flag(PRO)
        stream = await listen()

        change(seats=5)
        change(plan="free")
        change("project", "alpha", plan="pro")
        change(group_key="last", plan="pro")

        assert "last" == (await stream.next()).data["group_key"]

    async def test_back_and_forth(self, world, listen, change):
        """
        What changes several times before anybody is told is told as one; what is as it was, not.
        """
        world.catalog.set_flag(PRO)
        stream = await listen()

        change(plan="pro")
        change(plan="free")
        change(group_key="last", plan="free")
        change(group_key="last", plan="pro")

        event = await stream.next()
        assert ("last", [{"key": "pro", "before": False, "after": True}]) == (
            event.data["group_key"],
            event.data["flags"],
        )

    async def test_undecided(self, world, listen, change):
        """
        Flags that look at what has changed and at the user as well are named apart.
        """
        of_both = [has("plan", "pro"), has("beta", "true", of_groups=False)]
        world.catalog.set_flag(flag_row("both", [{"properties": of_both}]))
        stream = await listen()

        change(seats=5)
        change(plan="pro")

        data = (await stream.next()).data
        assert ([], ["both"]) == (data["flags"], data["undecided"])

    async def test_too_many(self, world, listen, change, monkeypatch):
        """
        When very many groups have changed at once, clients are told to read everything.
        """
        monkeypatch.setattr(feed, "MAX_GROUPS", 3)
        world.catalog.set_flag(PRO)
        stream = await listen()

        for number in range(5):
            change(group_key=f"{number}", plan="pro")

        assert "resync" == (await stream.next()).name

    async def test_unreadable(self, world, listen, change):
        """
        Likewise where groups cannot be read.
        """
        world.catalog.set_flag(PRO)
        stream = await listen()
        world.view.is_down = True

        change(plan="pro")

        assert "resync" == (await stream.next()).name

    async def test_untold(self, world, listen):
        """
        Likewise where nobody knows what a group was before, if flags look at groups of its type.
        """
        world.catalog.set_flag(PRO)
        stream = await listen()

        world.changes.tell(untold={(PROJECT.id, "project", "alpha")})
        world.changes.tell(flags={PROJECT.id: {"pro": Difference.CHANGED}})
        first = await stream.next()
        world.changes.tell(untold={PLACE})

        assert ["flag", "resync"] == [first.name, (await stream.next()).name]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
    @given(plans=st.lists(st.sampled_from(["pro", "free", None, 5, 5.0, True, "true"]), min_size=1))
    async def test_says_what_flags_say(self, world, listen, change, plans):
        """
        Whatever changes, somebody who applies what is told knows what the flags answer.
        """
        for flag_id, plan in enumerate(["pro", "5", "true"], 1):
            conditions = [{"properties": [has("plan", plan)]}]
            world.catalog.set_flag(flag_row(f"flag-{flag_id}", conditions, flag_id=flag_id))
        world.view.states.clear()
        world.view.properties.clear()
        stream = await listen()
        flags = world.catalog.project(PROJECT.id).flags
        known = {answer.key: False for answer in answers(flags, {})}

        for plan in plans:
            change(plan=plan)
            await asyncio.sleep(0)
        change(group_key="end", plan="pro")
        while (event := await stream.next()).data["group_key"] != "end":
            for each in event.data["flags"]:
                assert known[each["key"]] == each["before"]
                known[each["key"]] = each["after"]

        assert known == {
            answer.key: said(answer)[0] for answer in answers(flags, world.view.properties[PLACE])
        }


def answers(flags, properties):
    return flags.group_flags("company").answers(flags.group_context("company", "acme", properties))


class TestFlags:
    async def test_changed_definition(self, world, listen):
        """
        A flag whose definition changed is named once, not for each group.
        """
        stream = await listen()

        world.changes.tell(flags={PROJECT.id: {"pro": Difference.ADDED}, 2: {"x": "added"}})

        event = await stream.next()
        assert ("flag", {"key": "pro", "change": "added"}) == (event.name, event.data)


class TestComingBack:
    async def test_what_was_missed(self, world, listen, change):
        """
        Who comes back is told what was missed, and only that.
        """
        world.catalog.set_flag(PRO)
        stream = await listen()
        for number in range(3):
            change(group_key=f"{number}", plan="pro")
        seen = [await stream.next() for _ in range(3)]
        stream.response.close()

        again = await listen(**{"Last-Event-ID": seen[0].id})

        assert seen[1:] == [await again.next() for _ in range(2)]
        assert seen[-1].id == again.last_id

    async def test_nothing_was_missed(self, listen, world, change):
        """
        Who comes back in time is told nothing twice, also before the first event.
        """
        world.catalog.set_flag(PRO)
        stream = await listen()
        started = await stream.started()

        again = await listen(**{"Last-Event-ID": started})
        change(plan="pro")

        assert "group" == (await again.next()).name

    @pytest.mark.parametrize("last_id", ["other.5", "nonsense", "x.y", "."])
    async def test_unknown_position(self, listen, last_id):
        """
        Who comes back from somewhere else is told to read everything.
        """
        stream = await listen(**{"Last-Event-ID": last_id})

        assert "resync" == (await stream.next()).name

    async def test_old_position(self, world, listen, change, monkeypatch):
        """
        So is who comes back when what was missed is not kept any more.
        """
        monkeypatch.setattr(feed, "MAX_KEPT_BYTES", 350)
        world.catalog.set_flag(PRO)
        stream = await listen()
        started = await stream.started()
        for number in range(3):
            change(group_key=f"{number}", plan="pro")
        for _ in range(3):
            await stream.next()

        again = await listen(**{"Last-Event-ID": started})

        assert "resync" == (await again.next()).name

    async def test_what_is_kept(self, world, client, listen, change):
        """
        What is kept for who comes back is no more than can be told at once, however large events
        are, and of that all is told.
        """
        payloads = {"true": f'"{"x" * 50_000}"'}
        world.catalog.set_flag(PRO | {"filters": {**PRO["filters"], "payloads": payloads}})
        stream, seen = await listen(), []
        for number in range(5):
            change(group_key=f"{number}", plan="pro")
            seen.append(await stream.next())
        kept = client.server.app[routes.keys.STREAMS].feed._projects[PROJECT.id]._kept

        again = await listen(**{"Last-Event-ID": seen[2].id})
        late = await listen(**{"Last-Event-ID": seen[1].id})

        assert 2 == len(kept)
        assert seen[3:] == [await again.next() for _ in range(2)]
        assert "resync" == (await late.next()).name

    async def test_large_event(self, world, listen, change):
        """
        What is larger than that is told as the advice to read everything, and cuts nobody off.
        """
        payloads = {"true": f'"{"x" * 300_000}"'}
        world.catalog.set_flag(PRO | {"filters": {**PRO["filters"], "payloads": payloads}})
        stream = await listen()

        change(plan="pro")
        change(group_key="last", plan="free")
        world.changes.tell(flags={PROJECT.id: {"pro": Difference.CHANGED}})

        names = {(await stream.next()).name, (await stream.next()).name}
        assert {"resync", "flag"} == names


class TestStreams:
    async def test_heartbeat(self, listen, monkeypatch):
        """
        A stream without events says that it lives.
        """
        monkeypatch.setattr(routes, "_HEARTBEAT_S", 0.01)
        stream = await listen()
        await stream.started()

        assert b":\n" == await stream.response.content.readline()

    async def test_ends_when_nothing_is_answered(self, world, listen, monkeypatch):
        """
        A node that does not answer requests ends its streams: clients ask another one.
        """
        monkeypatch.setattr(routes, "_HEARTBEAT_S", 0.01)
        stream = await listen()

        world.is_ready = False

        assert await stream.next() is None

    async def test_limit(self, world, client, listen):
        """
        Nobody has more than so many streams.
        """
        client.server.app[routes.keys.STREAMS].connections._max_per_project = 1
        await listen()

        refused = await client.get(PATH, headers=AUTH)

        assert 429 == refused.status
        assert int(refused.headers["Retry-After"]) > 0

    async def test_who(self, client):
        """
        The public token is not enough.
        """
        headers = {"Authorization": f"Bearer {PROJECT.token}"}

        assert 401 == (await client.get(PATH, headers=headers)).status

    async def test_revoked(self, client, listen, change, world):
        """
        Who holds a key that was revoked is told nothing any more.
        """
        world.catalog.set_flag(PRO)
        made = await send(client, "POST", KEYS, {"label": "ours", "scopes": ["groups:read"]}, 201)
        stream = await listen(Authorization=f"Bearer {made['secret']}")
        await stream.started()

        await send(client, "DELETE", f"{KEYS}{made['id']}/")
        change(plan="pro")

        assert await stream.next() is None

    async def test_head(self, client):
        """
        Who only wants to know that it is there is told so at once.
        """
        assert 200 == (await client.head(PATH, headers=AUTH)).status

    async def test_shutdown(self, client, listen):
        """
        When the server stops, streams end, and nobody is let in.
        """
        stream = await listen()

        await client.server.app[routes.keys.STREAMS].end()

        assert await stream.next() is None
        assert 503 == (await client.get(PATH, headers=AUTH)).status

    async def test_nobody_listens(self, world, client, listen, monkeypatch):
        """
        Changes cost nothing as long as there are no streams, and again some time after the last.
        """
        monkeypatch.setattr("flagstream.streams.streams._REMEMBER_S", 0.01)
        monkeypatch.setattr(routes, "_HEARTBEAT_S", 0.01)
        assert [] == world.changes.listeners
        stream = await listen()
        assert 1 == len(world.changes.listeners)

        stream.response.close()

        async with asyncio.timeout(5):
            while world.changes.listeners:  # noqa: ASYNC110 -- of the code under test
                await asyncio.sleep(0.01)
