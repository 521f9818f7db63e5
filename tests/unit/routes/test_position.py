"""Reading, on any node, what was written on another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstream.errors import InvalidRequestError
from flagstream.ports import Position
from flagstream.routes.position import POSITION, STALE, CatchUp, written
from flagstream.topics import Table, Topic
from tests.fakes.views import PROJECT

PARTITIONS = 4
SOURCES = [table.source.value for table in Table]
IDENTIFY_GROUP = {
    "event": "$groupidentify",
    "distinct_id": "user-1",
    "properties": {"$group_type": "company", "$group_key": "a", "$group_set": {"plan": "pro"}},
}
positions = st.lists(
    st.builds(
        Position,
        st.sampled_from([*SOURCES, Topic.EVENTS.value]),
        st.integers(0, PARTITIONS - 1),
        st.integers(0, 10**15 - 1),
    )
)


class Waited:
    """A :class:`flagstream.ports.Progress` that remembers what was waited for."""

    positions = ()

    async def wait_visible(self, positions, timeout_s):
        self.positions = positions
        return True


def catch_up(progress):
    return CatchUp(progress=progress, partitions=PARTITIONS, timeout_s=1)


async def ask(client, **headers):
    body = {"token": PROJECT.token, "distinct_id": "user-1"}
    return await client.post("/flags/?v=2", json=body, headers=headers)


class TestHeader:
    @given(positions)
    async def test_as_far_as_was_written(self, positions):
        """
        Who reads waits for the last of each partition that was written to, and only where a state
        follows from it.
        """
        last = {}
        for position in positions:
            if position.topic in SOURCES:
                last[position[:2]] = max(position, last.get(position[:2], position))
        header, progress = written(positions), Waited()
        if header is not None:
            assert await catch_up(progress).to(header) is None

        assert set(progress.positions) == set(last.values())

    def test_more_than_a_line(self):
        """
        What no line can name is not named at all, rather than in part.
        """
        assert written([Position(SOURCES[0], number, 1) for number in range(256)])
        assert written([Position(SOURCES[0], number, 1) for number in range(257)]) is None

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "groups",
            "groups.1",
            "groups.1.2.3",
            "groups.1.-2",
            "groups.1.²",
            "groups.4.1",
            "plans.0.1",
            "groups.0.1,",
            "groups.0.1000000000000000",
            ",".join(["groups.0.1"] * 257),
        ],
    )
    async def test_nonsense(self, header):
        """
        A header that no node has written is refused by its name.
        """
        with pytest.raises(InvalidRequestError, match=f"^{POSITION}: expected ") as refused:
            await catch_up(Waited()).to(header)
        assert POSITION == refused.value.attr


class TestOverHttp:
    async def test_read_your_writes(self, client, world):
        """
        Whoever wrote is told how far, and whoever says so is answered from it.
        """
        sent = {"token": PROJECT.token, "batch": [IDENTIFY_GROUP]}
        position = (await client.post("/batch/", json=sent)).headers[POSITION]
        response = await ask(client, **{POSITION: position})

        assert "groups." in position
        assert (200, None) == (response.status, response.headers.get(STALE))

    async def test_not_in_time(self, client, world):
        """
        A node that is not as far in time answers all the same, and says so.
        """
        world.log.is_lagging = True
        response = await ask(client, **{POSITION: "groups.0.5"})

        assert 200 == response.status
        assert 0 <= int(response.headers[STALE])

    async def test_nonsense(self, client):
        """
        A header that nobody wrote is an error that names it.
        """
        response = await ask(client, **{POSITION: "yesterday"})

        assert 400 == response.status
        assert POSITION == (await response.json())["attr"]

    async def test_events_without_state(self, client):
        """
        Nothing has to be waited for where nothing follows from what was sent.
        """
        properties = {"$process_person_profile": False}
        event = {"event": "ev", "distinct_id": "user-1", "properties": properties}
        response = await client.post("/batch/", json={"token": PROJECT.token, "batch": [event]})

        assert POSITION not in response.headers
