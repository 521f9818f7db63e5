"""Dead letters, and what was cut or refused, over the API."""

import pytest

from flagstream.ports import DeadLetter, WarningSummary
from flagstream.state.ingestion_warnings import WarningSample
from flagstream.warning_kinds import WarningKind
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


def summary(kind):
    sample = WarningSample(time_ms=1_000, field="event", expected="a text", got="a number")
    return WarningSummary(
        kind=kind, count_24h=2, count=3, first_ms=1_000, last_ms=2_000, samples=[sample]
    )


class TestWarnings:
    async def test_list(self, client, world):
        """
        What was cut or refused is shown with how often, when, what to do, and samples.
        """
        world.warnings.summed = [summary(WarningKind.INVALID_EVENT)]

        answer = await (await client.get(f"{ROOT}/ingestion_warnings/", headers=AUTH)).json()

        (shown,) = answer["results"]
        assert shown.pop("what_to_do").startswith("Correct what the samples name")
        assert {
            "kind": "invalid_event",
            "outcome": "refused",
            "docs": "docs/reference/limits.md#invalid_event",
            "count_24h": 2,
            "count": 3,
            "first_seen": "1970-01-01T00:00:01Z",
            "last_seen": "1970-01-01T00:00:02Z",
            "samples": [
                {
                    "time": "1970-01-01T00:00:01Z",
                    "field": "event",
                    "expected": "a text",
                    "got": "a number",
                    "event": None,
                    "distinct_id": None,
                    "uuid": None,
                }
            ],
        } == shown

    async def test_pages(self, client, world):
        """
        The list comes in pages, and of one kind where that is asked for.
        """
        world.warnings.summed = list(map(summary, WarningKind))
        path = f"{ROOT}/ingestion_warnings"

        first = await (await client.get(f"{path}?limit=3&offset=2", headers=AUTH)).json()
        one = await (await client.get(f"{path}?kind=id_cut", headers=AUTH)).json()

        assert len(WarningKind) == first["count"]
        assert list(WarningKind)[2:5] == [each["kind"] for each in first["results"]]
        assert ["id_cut"] == [each["kind"] for each in one["results"]]

    async def test_refusals(self, client):
        """
        A kind that there is not is refused with those that there are; nobody reads without a key.
        """
        path = f"{ROOT}/ingestion_warnings"
        response = await client.get(f"{path}?kind=x", headers=AUTH)

        assert 400 == response.status
        assert "kind: expected one of invalid_event, " in (await response.json())["detail"]
        token = {"Authorization": f"Bearer {PROJECT.token}"}
        assert 401 == (await client.get(path, headers=token)).status
