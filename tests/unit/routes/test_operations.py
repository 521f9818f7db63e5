"""Dead letters and refused events over the API."""

import pytest

from flagstream.ports import DeadLetter, IngestionWarning
from tests.fakes.views import PROJECT

AUTH = {"Authorization": f"Bearer {PROJECT.secret_key}"}
ROOT = "/api/projects/@current"
LETTERS = [
    DeadLetter(id=f"0-{n}", time_ms=n, topic="t", reason="RecordError: no", value=b"{\xff")
    for n in range(3)
]


class TestDeadLetters:
    async def test_list(self, client, world):
        """
        Dead letters are listed with their reason, page by page.
        """
        world.dead_letters.letters = LETTERS

        first = await (await client.get(f"{ROOT}/dead_letters?limit=2", headers=AUTH)).json()
        path = f"{ROOT}/dead_letters?limit=2&after={first['next_after']}"
        second = await (await client.get(path, headers=AUTH)).json()

        assert {
            "id": "0-0",
            "time_ms": 0,
            "topic": "t",
            "reason": "RecordError: no",
            "value": "{\ufffd",
        } == first["results"][0]
        assert ["0-2"] == [letter["id"] for letter in second["results"]]
        assert second["next_after"] is None

    async def test_replay(self, client, world):
        """
        Named dead letters are folded once more, and counted.
        """
        world.dead_letters.letters = LETTERS
        path = f"{ROOT}/dead_letters/replay/"

        response = await client.post(path, json={"ids": ["0-1", "9-9"]}, headers=AUTH)

        assert {"replayed": 1} == await response.json()
        assert ["0-1"] == world.dead_letters.replayed

    @pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": [1]}, {"ids": ["a"] * 1001}, []])
    async def test_refusals(self, client, body):
        """
        A replay names what is to be replayed.
        """
        path = f"{ROOT}/dead_letters/replay/"

        assert 400 == (await client.post(path, json=body, headers=AUTH)).status


class TestWarnings:
    async def test_list(self, client, world):
        """
        Samples of refused events are shown with the field that was wrong.
        """
        sample = IngestionWarning(time_ms=1, field="event", detail="expected a text", event="{}")
        world.warnings.samples = [sample]

        answer = await (await client.get(f"{ROOT}/ingestion_warnings/", headers=AUTH)).json()

        assert [
            {"time_ms": 1, "field": "event", "detail": "expected a text", "event": "{}"}
        ] == answer["results"]
