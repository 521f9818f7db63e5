"""Health and metrics."""

import pytest

from flagstream.api import create_health_app


class TestReadiness:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/_liveness", 200),
            ("/_readiness", 503),
            ("/metrics", 200),
            ("/flags/", 503),
            ("/x", 503),
        ],
    )
    async def test_before_ready(self, client, world, path, status):
        """
        Until it has caught up, the server only tells how it is.
        """
        world.is_ready = False

        assert status == (await client.get(path)).status

    async def test_retry_after(self, client, world):
        """
        A client that comes too early is told when to come back.
        """
        world.is_ready = False
        response = await client.post("/flags/?v=2", json={})

        assert "1" == response.headers["Retry-After"]
        assert "unavailable" == (await response.json())["code"]

    @pytest.mark.parametrize("path", ["/", "/_liveness/", "/_readiness", "/_readiness/"])
    async def test_ready(self, client, path):
        """
        Once it has caught up, everything answers.
        """
        assert 200 == (await client.get(path)).status

    async def test_greeting(self, client):
        """
        Who asks what runs here is told the name, and no version.
        """
        assert {"name": "flagstream"} == await (await client.get("/")).json()


class TestLiveness:
    @pytest.mark.parametrize(("is_alive", "status"), [(True, 200), (False, 503)])
    async def test_watched(self, aiohttp_client, is_alive, status):
        """
        Whoever starts processes again is told when one hangs.
        """
        client = await aiohttp_client(create_health_app(lambda: True, lambda: is_alive))

        assert status == (await client.get("/_liveness")).status


class TestMetrics:
    async def test_text(self, client):
        """
        Metrics come in the text format, with the answers counted by status.
        """
        await client.get("/nothing")
        response = await client.get("/metrics")

        assert response.headers["Content-Type"].startswith("text/plain")
        assert 'flagstream_http_responses_total{status="404"}' in await response.text()
