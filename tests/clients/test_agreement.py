"""
2,000 random definitions: what an SDK answers, by itself or from the server, is the server's word.

The server is the application over real HTTP, with definitions and state in memory; it has stored
properties that the SDKs do not know, and remembers groups that they do not name.
"""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest
from aiohttp import web
from posthog import Posthog

from flagstream.api import create_app
from flagstream.ports import Person, Project
from tests.fakes.random_projects import GROUP_TYPES, Asker, RandomProject, random_project
from tests.fakes.views import FakeCatalog, FakeProjects
from tests.fakes.world import World

HERE = Path(__file__).parent
PROJECTS, FLAGS, ASKERS = 20, 100, 10
# Of all answers, so many at least an SDK has to give alone; else this proves nothing.
LEAST_ALONE = {"python": 0.15, "node": 0.1}


class Served(NamedTuple):
    """
    A project of the server.

    Attributes:
        words: What the server says of every asker, by flag key.
    """

    project: Project
    drawn: RandomProject
    words: list[dict[str, Any]]


@pytest.fixture(scope="module", params=[True, False], ids=["remembering", "forgetting"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[Served]]]:
    """A server of random projects that remembers active groups, or does not; and its words."""
    drawn = [random_project(Random(seed), flags=FLAGS, askers=ASKERS) for seed in range(PROJECTS)]
    world = World(catalog=FakeCatalog(*GROUP_TYPES))
    projects = [
        fill(world, number, each, remembers=request.param) for number, each in enumerate(drawn, 1)
    ]
    app = create_app(replace(world.services(), projects=FakeProjects(*projects)))
    with serving(app) as url:
        yield (
            url,
            [
                Served(project, each, [word(url, project, asker) for asker in each.askers])
                for project, each in zip(projects, drawn, strict=True)
            ],
        )


def fill(world: World, number: int, drawn: RandomProject, *, remembers: bool) -> Project:
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
    return Project(id=number, token=f"phc_{number}", secret_key=f"phs_{number}")


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """Serve from a thread of its own, as the clients block."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None)

    async def start() -> str:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def word(url: str, project: Project, asker: Asker) -> dict[str, Any]:
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning:posthog")
class TestAgreement:
    def test_python(self, served):
        """
        posthog-python, local with fallback or local alone, says nothing that the server does not.
        """
        url, projects = served

        answers = [python_answers(url, each) for each in projects]

        for each, said in zip(projects, answers, strict=True):
            assert [] == disagreements(each, said)
        assert LEAST_ALONE["python"] < share_alone(projects, answers)

    def test_node(self, served):
        """
        Neither does posthog-node.
        """
        url, projects = served

        answers = node_answers(url, projects)

        for each, said in zip(projects, answers, strict=True):
            assert [] == disagreements(each, said)
        assert LEAST_ALONE["node"] < share_alone(projects, answers)

    def test_every_flag_is_answered(self, served):
        """
        With the fallback nothing that the server answers is missing.
        """
        url, projects = served

        (answers,) = [python_answers(url, each) for each in projects[:1]]

        assert [word.keys() for word in projects[0].words] == [
            {key for key in word if answer["values"].get(key) is not None}
            for word, answer in zip(projects[0].words, answers, strict=True)
        ]


def python_answers(url: str, served: Served) -> list[dict[str, Any]]:
    """Ask posthog-python for every asker's flags, with and without the server's help."""
    client = Posthog(
        served.project.token,
        host=url,
        secret_key=served.project.secret_key,
        enable_exception_autocapture=False,
        send=False,
    )
    try:
        client.load_feature_flags()
        return [
            {
                kind: python_values(client, asker, only_evaluate_locally=is_alone)
                for kind, is_alone in (("values", False), ("local", True))
            }
            for asker in served.drawn.askers
        ]
    finally:
        client.shutdown()


def python_values(client: Posthog, asker: Asker, **options: Any) -> dict[str, Any]:
    flags = client.evaluate_flags(
        asker.distinct_id,
        groups=asker.groups,
        person_properties=asker.person_properties,
        group_properties=asker.group_properties,
        device_id=asker.person_properties.get("$device_id"),
        **options,
    )
    return {key: flags.get_flag(key) for key in flags.keys}


def node_answers(url: str, projects: list[Served]) -> list[list[dict[str, Any]]]:
    """Ask posthog-node, all in one process."""
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
    ran = subprocess.run(
        ["node", "agreement.mjs"],
        cwd=HERE,
        input=json.dumps({"host": url, "projects": asked}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 0 == ran.returncode, ran.stderr
    answers: list[list[dict[str, Any]]] = json.loads(ran.stdout)
    return answers
