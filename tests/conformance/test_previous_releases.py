"""During a roll-out two releases stand side by side: this one answers as every earlier one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flagstream.api import create_app
from flagstream.settings import Settings
from flagstream.topics import Table
from flagstream.views import ReadSide
from tests.conformance.record_views import answer
from tests.fakes.log import FakeLog
from tests.fakes.views import PROJECT
from tests.fakes.world import World

RECORDINGS = sorted(Path(__file__).parent.glob("views/*.json"))


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recording(request):
    return json.loads(request.param.read_text())


@pytest.fixture
async def client(recording, tmp_path, aiohttp_client):
    """Ask a node whose views were filled from the changelogs of that release."""
    log = FakeLog()
    for record in recording["records"]:
        topic = Table(record["table"]).changelog
        log.append(topic, record["key"].encode(), record["state"].encode())
    side = await ReadSide.open(Settings(data_dir=tmp_path), log)
    await side.start()
    await side.ready()
    services = replace(World(view=side.state).services(), catalog=side.catalog)
    yield await aiohttp_client(create_app(services))
    await side.stop()


class TestPreviousReleases:
    def test_there_are_some(self):
        """
        At least one release is held against.
        """
        assert RECORDINGS

    async def test_same_answers(self, client, recording):
        """
        From what an earlier release has written, the answers are those that it gave: groups named
        and remembered, persons, cohorts, variants, and buckets by either hash.
        """
        differing = []
        for each in recording["answers"]:
            body = {"token": PROJECT.token, **each["request"]}
            response = await client.post("/flags/?v=2", json=body)
            given = json.loads(json.dumps(answer((await response.json())["flags"])))
            if given != each["flags"]:
                differing.append((each["request"], given, each["flags"]))

        assert [] == differing
        values = [json.dumps(each["flags"]) for each in recording["answers"]]
        assert len(set(values)) > 10
