"""
2,000 random definitions: what an SDK answers, by itself or from the server, is the server's word.

The server is the application over real HTTP, with definitions and state in memory; it has stored
properties that the SDKs do not know, and remembers groups that they do not name.
"""

import json
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from flagstream.api import create_app
from flagstream.ports import Person
from tests.clients.programs import run
from tests.clients.serving import serving
from tests.clients.versions import NODE, PYTHON
from tests.fakes.access import FakeProjects, KeyedProject
from tests.fakes.random_projects import GROUP_TYPES, Asker, RandomProject, random_project
from tests.fakes.views import FakeCatalog
from tests.fakes.world import World

PROJECTS, FLAGS, ASKERS = 20, 100, 10
# Of all answers, so many at least an SDK has to give alone; else this proves nothing.
TODAYS_PYTHON, TODAYS_NODE = next(iter(PYTHON)), next(iter(NODE))
LEAST_ALONE = {TODAYS_PYTHON: 0.15, TODAYS_NODE: 0.1}
# Older ones are trusted with less, in whatever project.
PROJECTS_OF_OLD, LEAST_ALONE_OF_OLD = 5, 0.05


class Served(NamedTuple):
    """
    A project of the server.

    Attributes:
        words: What the server says of every asker, by flag key.
    """

    project: KeyedProject
    drawn: RandomProject
    words: list[dict[str, Any]]


@pytest.fixture(scope="module", params=[True, False], ids=["remembering", "forgetting"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[Served]]]:
    """A server of random projects that remembers active groups, or does not; and its words."""
    drawn = [random_project(Random(seed), flags=FLAGS, askers=ASKERS) for seed in range(PROJECTS)]
    projects = [
        KeyedProject(id=number, token=f"phc_{number}", secret_key=f"phs_{number}")
        for number in range(1, PROJECTS + 1)
    ]
    world = World(catalog=FakeCatalog(*GROUP_TYPES), access=FakeProjects(*projects))
    for project, each in zip(projects, drawn, strict=True):
        fill(world, project.id, each, remembers=request.param)
    app = create_app(world.services())
    with serving(app) as url:
        yield (
            url,
            [
                Served(project, each, [word(url, project, asker) for asker in each.askers])
                for project, each in zip(projects, drawn, strict=True)
            ],
        )


def fill(world: World, number: int, drawn: RandomProject, *, remembers: bool) -> None:
    """Put a project into the server's memory."""
    settings = {"remember_active_groups": remembers}
    world.catalog.write(number, "project", str(number), settings)
    for row in drawn.cohorts:
        world.catalog.write(number, "cohort", str(row["id"]), row)
    for row in drawn.flags:
        world.catalog.write(number, "flag", row["key"], row)
    for (group_type, key), properties in drawn.groups.items():
        world.view.put_group((number, group_type, key), properties)
    for distinct_id, properties in drawn.persons.items():
        world.view.known[number, distinct_id] = Person(
            distinct_id=distinct_id,
            properties=properties,
            is_identified=True,
            recent={},
            hash_keys={},
            distinct_ids=[distinct_id],
            created_at_ms=0,
        )
    for distinct_id, groups in drawn.active.items():
        world.view.active[number, distinct_id] = groups


def word(url: str, project: KeyedProject, asker: Asker) -> dict[str, Any]:
    """Ask the server itself, as a backend without an SDK would."""
    body = {"token": project.token, "evaluation_runtime": "server", **asker._asdict()}
    request = Request(f"{url}/flags/?v=2", json.dumps(body).encode())  # noqa: S310 -- our own
    with urlopen(request) as response:  # noqa: S310 -- our own
        answer = json.load(response)
    assert not any("parsing" in flag["reason"]["code"] for flag in answer["flags"].values())
    return {
        key: flag["enabled"] if flag["variant"] is None else flag["variant"]
        for key, flag in answer["flags"].items()
        if "failed" not in flag
    }


def disagreements(served: Served, answers: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Collect where an SDK, left to itself or not, says something else than the server."""
    rows = {row["key"]: row for row in served.drawn.flags}
    return [
        (kind, rows[key], asker, values[key], word.get(key, False))
        for asker, word, answer in zip(served.drawn.askers, served.words, answers, strict=True)
        for kind, values in answer.items()
        for key in values
        # A browser's flag is evaluated by a backend only to hand it on.
        if rows[key]["evaluation_runtime"] != "client"
        and values[key] is not None
        and values[key] != word.get(key, False)
    ]


def share_alone(served: list[Served], answers: list[list[dict[str, Any]]]) -> float:
    """Tell how much an SDK decided alone."""
    alone = sum(
        value is not None
        for each in answers
        for answer in each
        for value in answer["local"].values()
    )
    return alone / sum(len(word) for each in served for word in each.words)


class TestAgreement:
    @pytest.mark.parametrize("client", [*PYTHON, *NODE])
    def test_says_what_the_server_says(self, served, client):
        """
        An SDK, local with fallback or local alone, says nothing that the server does not.
        """
        url, projects = served
        some = projects if client in LEAST_ALONE else projects[:PROJECTS_OF_OLD]

        answers = sdk_answers(client, url, some)

        for each, said in zip(some, answers, strict=True):
            assert [] == disagreements(each, said)
        assert LEAST_ALONE.get(client, LEAST_ALONE_OF_OLD) < share_alone(some, answers)

    def test_every_flag_is_answered(self, served):
        """
        With the fallback nothing that the server answers is missing.
        """
        url, projects = served

        (answers,) = sdk_answers(TODAYS_PYTHON, url, projects[:1])

        assert [word.keys() for word in projects[0].words] == [
            {key for key in word if answer["values"].get(key) is not None}
            for word, answer in zip(projects[0].words, answers, strict=True)
        ]


def sdk_answers(client: str, url: str, projects: list[Served]) -> list[list[dict[str, Any]]]:
    """Ask an SDK for every asker's flags, with and without the server's help."""
    asked = [
        {
            "token": each.project.token,
            "secretKey": each.project.secret_key,
            "askers": [
                {
                    "distinctId": asker.distinct_id,
                    "groups": asker.groups,
                    "personProperties": asker.person_properties,
                    "groupProperties": asker.group_properties,
                }
                for asker in each.drawn.askers
            ],
        }
        for each in projects
    ]
    answers: list[list[dict[str, Any]]] = run(client, "agreement", {"host": url, "projects": asked})
    return answers
