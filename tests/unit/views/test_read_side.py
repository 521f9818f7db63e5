"""The read side as a whole: a changelog record in, an answer out."""

import asyncio

import orjson

from flagstream.errors import ViewError
from flagstream.flags import EvaluationContext, Sdk
from flagstream.ports import Position
from flagstream.settings import Settings
from flagstream.state.definitions import DefinitionUpdate
from flagstream.state.group_types import GroupTypeClaim
from flagstream.state.groups import GroupUpdate
from flagstream.topics import Table
from flagstream.views import ReadSide, ViewStore
from flagstream.views.catalog import snapshot

FLAG = {
    "id": 1,
    "key": "beta",
    "name": "",
    "active": True,
    "deleted": False,
    "version": 1,
    "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]},
}


class FullStore(ViewStore):
    """
    A store on a disk that is full for a while.
    """

    refusals = 0

    def write(self, changes, positions):
        if self.refusals:
            self.refusals -= 1
            raise ViewError("no space left")
        super().write(changes, positions)


def flag(**members):
    return DefinitionUpdate(time_ms=1, body={**FLAG, **members})


def cohort(**members):
    return DefinitionUpdate(time_ms=1, body={"id": 7, "deleted": False, **members})


def values(snapshot, **properties):
    """Ask all flags for one user."""
    context = EvaluationContext(distinct_id="u", person_properties=properties)
    return {each.key: each.value for each in snapshot.flags.answers(context)}


async def seen(side, table, version):
    """Wait until a version is in the views."""
    side.progress.folded(table.source, 0, version, version)
    return await side.progress.wait_visible([Position(table.source, 0, version)], 5)


class TestReadSide:
    async def test_what_was_there_and_what_comes(self, reading, write):
        """
        Ready means that everything of before is there; later changes can be waited for.
        """
        write(Table.GROUPS, (1, "org", "a"), GroupUpdate(time_ms=1, set={"plan": "free"}))
        async with reading() as side:
            assert side.is_ready
            assert {"plan": "free"} == side.state.group_properties(1, "org", "a")

            update = GroupUpdate(time_ms=1, set={"plan": "gold"})
            version = write(Table.GROUPS, (1, "org", "a"), update)
            assert await seen(side, Table.GROUPS, version)

            assert {"plan": "gold"} == side.state.group_properties(1, "org", "a")
        assert not side.is_ready
        assert not side.progress.is_open

    async def test_broken_follower_is_not_ready(self, reading, log, warnings, monkeypatch):
        """
        A follower that ends in any way makes the process unready instead of silently stale.
        """
        async with reading() as side:
            monkeypatch.setattr("flagstream.views.merging._RULES", {})
            log.append(Table.GROUPS.changelog, b"{}", b"{}")
            async with asyncio.timeout(10):
                while not warnings():  # noqa: ASYNC110 -- for a line in the log
                    await asyncio.sleep(0)

            assert not side.is_ready
            assert ["views-follower has ended"] == warnings()

    async def test_survives_a_store_that_takes_no_writes(
        self, tmp_path, log, write, warnings, monkeypatch
    ):
        """
        While nothing can be written nothing gets visible; afterwards nothing is missing.
        """
        monkeypatch.setattr("flagstream.views.follower._RETRY_S", 0)
        store = FullStore(tmp_path)
        side = ReadSide(Settings(), log, store)
        await side.start()
        await side.ready()
        store.refusals = 3
        version = write(Table.GROUPS, (1, "org", "a"), GroupUpdate(time_ms=1))

        assert await seen(side, Table.GROUPS, version)
        assert ["views take no writes"] * 3 == warnings()
        assert side.state.group(1, "org", "a") is not None
        await side.stop()


class TestCatalog:
    async def test_unknown_project_is_empty(self, reading):
        """
        A project without definitions has an empty snapshot with a valid document.
        """
        async with reading() as side:
            snapshot = side.catalog.project(7)

        assert ({}, []) == (snapshot.flag_rows, snapshot.group_types.types)
        assert [] == orjson.loads(snapshot.local_definitions.documents[Sdk.OTHER])["flags"]

    async def test_flags_types_and_settings(self, reading, write):
        """
        A snapshot holds all flags, deleted ones as rows only, the types, and the settings.
        """
        write(Table.DEFINITIONS, (1, "flag", "beta"), flag())
        write(Table.DEFINITIONS, (1, "flag", "old"), flag(key="old", deleted=True))
        write(Table.GROUP_TYPES, (1,), GroupTypeClaim(group_type="org", time_ms=1))
        settings = {"name": "Shop", "remember_active_groups": False, "of_the_future": 1}
        update = DefinitionUpdate(time_ms=1, body=settings)
        write(Table.DEFINITIONS, (1, "project", "settings"), update)

        async with reading() as side:
            snapshot = side.catalog.project(1)

        assert {"beta", "old"} == snapshot.flag_rows.keys()
        document = orjson.loads(snapshot.local_definitions.documents[Sdk.OTHER])
        assert ["beta"] == [each["key"] for each in document["flags"]]
        assert {"0": "org"} == document["group_type_mapping"]
        assert ("Shop", False) == (snapshot.settings.name, snapshot.settings.remember_active_groups)

    async def test_change_swaps_the_snapshot(self, reading, write):
        """
        A visible change is in a new snapshot with another tag; the old one stays as it was.
        """
        write(Table.DEFINITIONS, (1, "flag", "beta"), flag())
        async with reading() as side:
            before, other = side.catalog.project(1), side.catalog.project(2)
            version = write(Table.DEFINITIONS, (1, "flag", "new"), flag(key="new"))
            assert await seen(side, Table.DEFINITIONS, version)
            after = side.catalog.project(1)

        assert ({"beta"}, {"beta", "new"}) == (before.flag_rows.keys(), after.flag_rows.keys())
        assert before.etags != after.etags
        assert other is side.catalog.project(2)

    async def test_same_definitions_have_the_same_tag(self, reading, write):
        """
        A restart changes no tag, so that clients keep what they have.
        """
        write(Table.DEFINITIONS, (1, "flag", "beta"), flag())
        tags = []
        for _ in range(2):
            async with reading() as side:
                tags.append(side.catalog.project(1).etags)

        assert tags[0] == tags[1]

    async def test_many_changes_compile_once(self, reading, write, monkeypatch):
        """
        Definitions that come together are compiled together.
        """
        compiled, steps = [], snapshot.steps
        monkeypatch.setattr(snapshot, "steps", lambda *args: compiled.append(args) or steps(*args))
        async with reading() as side:
            compiled.clear()
            for number in range(20):
                key = f"flag-{number}"
                version = write(Table.DEFINITIONS, (1, "flag", key), flag(key=key))
            assert await seen(side, Table.DEFINITIONS, version)

        assert 1 == len(compiled)

    async def test_what_audiences_see_is_ready(self, reading, write, monkeypatch):
        """
        No request waits until what its audience sees is made anew, as others saw the same before.
        """
        write(Table.DEFINITIONS, (1, "flag", "beta"), flag(evaluation_runtime="server"))
        async with reading() as side:
            assert () == side.catalog.project(1).flags.visible("client", ()).keys
            assert ("beta",) == side.catalog.project(1).flags.visible("server", ()).keys
            new = flag(key="new", evaluation_runtime="server")
            version = write(Table.DEFINITIONS, (1, "flag", "new"), new)
            assert await seen(side, Table.DEFINITIONS, version)
            # With what makes them on demand taken away.
            monkeypatch.delattr("flagstream.flags.compiled_flags.finished")
            assert ("beta", "new") == side.catalog.project(1).flags.visible("server", ()).keys

    async def test_the_last_good_definition_stays(self, reading, write, warnings):
        """
        A flag whose new definition cannot be read is judged by the last one that could, and the
        operator is told once; a restart knows nothing of that one.
        """
        write(Table.DEFINITIONS, (1, "flag", "beta"), flag())
        bad = flag(filters={"groups": 5})
        async with reading() as side:
            version = write(Table.DEFINITIONS, (1, "flag", "beta"), bad)
            assert await seen(side, Table.DEFINITIONS, version)
            version = write(Table.DEFINITIONS, (1, "flag", "new"), flag(key="new", id=2))
            assert await seen(side, Table.DEFINITIONS, version)
            snapshot = side.catalog.project(1)

            assert {"beta": True, "new": True} == values(snapshot)
            assert {"groups": 5} == snapshot.flag_rows["beta"]["filters"]
            assert ["a flag's definition cannot be read"] == warnings()
        async with reading() as side:
            assert {"beta": False, "new": True} == values(side.catalog.project(1))

    async def test_cohorts_and_how_a_project_compares(self, reading, write):
        """
        Cohorts, the time zone and the matching version are part of what flags are judged by, and a
        change of any of them is seen.
        """
        day = {"key": "since", "type": "person", "operator": "is_date_exact", "value": "2024-06-01"}
        vip = {"key": "vip", "type": "person", "value": "false"}
        rules = {"type": "AND", "values": [day, vip]}
        member = {"key": "id", "type": "cohort", "value": 7}
        write(
            Table.DEFINITIONS,
            (1, "flag", "beta"),
            flag(filters={"groups": [{"properties": [member]}]}),
        )
        write(Table.DEFINITIONS, (1, "cohort", "7"), cohort(filters={"properties": rules}))
        settings = {"timezone": "Europe/Berlin"}
        write(
            Table.DEFINITIONS,
            (1, "project", "settings"),
            DefinitionUpdate(time_ms=1, body=settings),
        )
        properties = {"since": "2024-05-31T22:00:00Z", "vip": "banana"}
        async with reading() as side:
            before = side.catalog.project(1)
            found = [values(before, **properties)]
            for change in (
                (
                    "project",
                    DefinitionUpdate(time_ms=1, body={**settings, "property_matching_version": 2}),
                ),
                ("project", DefinitionUpdate(time_ms=1, body=settings)),
                ("project", DefinitionUpdate(time_ms=1, body={"timezone": "UTC"})),
                ("cohort", cohort(is_static=True, members=["u"])),
                ("cohort", cohort(deleted=True)),
            ):
                kind, update = change
                name = "7" if kind == "cohort" else "settings"
                version = write(Table.DEFINITIONS, (1, kind, name), update)
                assert await seen(side, Table.DEFINITIONS, version)
                found.append(values(side.catalog.project(1), **properties))
            after = side.catalog.project(1)

        assert [True, False, True, False, True, False] == [each["beta"] for each in found]
        assert (False, True) == (before.cohort_rows[7]["deleted"], after.cohort_rows[7]["deleted"])

    async def test_settings_that_do_not_fit(self, reading, write, warnings):
        """
        A definition that cannot be compiled leaves the snapshot of before, and is logged.
        """
        write(Table.DEFINITIONS, (1, "flag", "beta"), flag())
        async with reading() as side:
            before = side.catalog.project(1)
            update = DefinitionUpdate(time_ms=1, body={"name": 7})
            version = write(Table.DEFINITIONS, (1, "project", "settings"), update)
            assert await seen(side, Table.DEFINITIONS, version)

            assert before is side.catalog.project(1)
            assert ["definitions do not compile"] == warnings()
            assert side.is_ready
