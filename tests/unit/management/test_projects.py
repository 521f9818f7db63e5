"""Projects made, archived, and given other tokens."""

import asyncio
from collections.abc import Sequence

import pytest

from flagstream.errors import (
    ConflictError,
    InvalidFieldError,
    InvalidRequestError,
    UnavailableError,
)
from flagstream.management import DefinitionsWriter, Editor, ProjectManagement
from flagstream.state.definitions import Kind
from tests.fakes.access import OTHER_PROJECT, PROJECT, FakeProjects
from tests.fakes.views import FakeCatalog, FakeDefinitionsLog, FakeView

NOW_MS = 1_764_000_000_000


class Node:
    """A node that takes writes; several may share a history, and nothing else."""

    def __init__(self, view: FakeView | None = None):
        self.access, self.view = FakeProjects(), view or FakeView()
        self.access.now_ms = NOW_MS
        self.catalog = FakeCatalog()
        self.log = FakeDefinitionsLog(self.catalog, self.view, self.access)
        clock = {"clock_ms": lambda: self.access.now_ms}
        writer = DefinitionsWriter(self.catalog, self.log, self.log, wait_timeout_s=0, **clock)
        self.projects = ProjectManagement(writer, self.access, self.view, **clock)

    def project(self, project_id):
        return self.access.by_id(project_id)


@pytest.fixture
def node():
    return Node()


class TestCreate:
    async def test_made(self, node):
        """
        A project has a number that none had, a token of its own, and the settings asked for.
        """
        made = await node.projects.create("somebody", {"name": "Staging", "bucketing": "sha1"})

        assert made == node.access.by_token(made.token)
        assert (3, NOW_MS, "somebody") == (made.id, made.created_at_ms, made.created_by)
        settings = node.catalog.project(3).settings
        assert ("Staging", "sha1") == (settings.name, settings.bucketing)
        assert ["Staging"] == [
            change.state.body["name"] for change in node.view.history(3, Kind.PROJECT, "3")
        ]

    async def test_at_once(self, node):
        """
        Projects that are made at the same time are different ones.
        """
        made = await asyncio.gather(*(node.projects.create("a", {"name": "x"}) for _ in range(5)))

        assert [3, 4, 5, 6, 7] == [project.id for project in made]
        assert 5 == len({project.token for project in made})

    async def test_several_nodes(self, node):
        """
        Of nodes that know nothing of each other's projects, none takes a number that another has.
        """
        nodes: Sequence[Node] = [node, *(Node(node.view) for _ in range(3))]

        made = await asyncio.gather(*(each.projects.create("a", {"name": "x"}) for each in nodes))

        assert {3, 4, 5, 6} == {project.id for project in made}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "x", "id": 5}, "id"),
            ({"name": "x", "timezone": "Mars"}, "timezone"),
        ],
    )
    async def test_refused(self, node, body, field):
        """
        What is wrong is named, and no number is used up.
        """
        with pytest.raises(InvalidRequestError) as caught:
            await node.projects.create("somebody", body)

        assert field == caught.value.attr
        assert [] == node.log.appended

    async def test_not_seen(self, node):
        """
        A number that is not known to be free is not taken.
        """
        node.log.is_lagging = True

        with pytest.raises(UnavailableError):
            await node.projects.create("somebody", {"name": "x"})

        assert [] == node.log.definitions

    async def test_too_many(self, node, monkeypatch):
        """
        A server has a bounded number of projects.
        """
        monkeypatch.setattr("flagstream.management.projects._MAX_PROJECTS", 2)

        with pytest.raises(InvalidRequestError, match="at most 2 projects"):
            await node.projects.create("somebody", {"name": "x"})


class TestArchive:
    async def test_and_back(self, node):
        """
        An archived project's token opens nothing, until it is taken out of the archive.
        """
        before = node.project(2)

        archived = await node.projects.archive("somebody", before, is_archived=True)
        found = node.access.by_token(before.token)
        back = await node.projects.archive("somebody", archived, is_archived=False)

        assert (True, None, before) == (archived.is_archived, found, back)

    async def test_number_is_never_given_again(self, node):
        """
        The number of an archived project is not that of another one.
        """
        made = await node.projects.create("somebody", {"name": "x"})
        await node.projects.archive("somebody", made, is_archived=True)

        assert made.id + 1 == (await node.projects.create("somebody", {"name": "y"})).id

    async def test_first(self, node):
        """
        The project of the settings is changed there.
        """
        with pytest.raises(ConflictError):
            await node.projects.archive("somebody", PROJECT, is_archived=True)
        with pytest.raises(ConflictError):
            await node.projects.rotate_token(Editor(1, "somebody"), PROJECT, {})

    async def test_not_seen(self, node):
        """
        What does not hold yet is not acknowledged.
        """
        node.log.is_lagging = True

        with pytest.raises(UnavailableError):
            await node.projects.archive("somebody", OTHER_PROJECT, is_archived=True)


class TestRotateToken:
    EDITOR = Editor(2, "somebody")

    async def test_overlap(self, node):
        """
        The new token is taken at once, the old one until the overlap has passed.
        """
        before = node.project(2).token

        after = await node.projects.rotate_token(self.EDITOR, node.project(2), {"overlap_s": 60})

        assert before != after.token
        assert [2, 2] == [node.access.by_token(each).id for each in (before, after.token)]
        node.access.now_ms += 60_000
        assert node.access.by_token(before) is None
        assert 2 == node.access.by_token(after.token).id

    async def test_again_and_again(self, node):
        """
        All tokens whose time has not come are taken, the latest ten at most.
        """
        tokens = [node.project(2).token]
        for _ in range(12):
            rotated = await node.projects.rotate_token(self.EDITOR, node.project(2), {})
            tokens.append(rotated.token)

        taken = [node.access.by_token(each) is not None for each in tokens]
        assert [False] * 2 + [True] * 11 == taken

    async def test_refused(self, node):
        """
        An overlap that is none is named.
        """
        with pytest.raises(InvalidFieldError, match="overlap_s: expected seconds"):
            await node.projects.rotate_token(self.EDITOR, node.project(2), {"overlap_s": "1 day"})
