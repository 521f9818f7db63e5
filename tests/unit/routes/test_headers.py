"""Headers of answers, over the whole table of routes."""

import re

import pytest
from aiohttp import hdrs

from flagstream.routes.table import SECTIONS, is_private
from tests.fakes.views import PROJECT

ORIGIN = "https://app.example"
AUTH = {"Authorization": f"Bearer {PROJECT.secret_key}"}
ROUTES = [route for section in SECTIONS for route in section.routes]
FOR_PAGES = {route.path for route in ROUTES if route.method == hdrs.METH_OPTIONS}
TABLE = pytest.mark.parametrize(
    ("method", "path", "is_private"),
    [(each.method, each.path, is_private(each.handler)) for each in ROUTES],
)
FILLED = {"project": "@current", "token": PROJECT.token, "name": "array.js"}


def filled(path):
    return re.sub(r"\{(\w+)\}", lambda found: FILLED.get(found[1], "1"), path)


class TestHeaders:
    @TABLE
    async def test_cross_origin(self, client, method, path, is_private):
        """
        Pages of other origins read what browsers ask for, refusals included, and nothing else:
        never what the secret key is for, with or without the key.
        """
        for more in ({}, AUTH):
            response = await client.request(
                method, filled(path), headers={"Origin": ORIGIN, **more}
            )
            allowed = {name for name in response.headers if name.startswith("Access-Control-")}

            assert (path in FOR_PAGES) == (hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in allowed)
            assert not is_private or not allowed

    @pytest.mark.parametrize("path", sorted({each.path for each in ROUTES}))
    async def test_refused_method(self, client, path):
        """
        Nor do they read that a method is refused, or that a preflight is, elsewhere.
        """
        for method in ("DELETE", "OPTIONS"):
            response = await client.request(method, filled(path), headers={"Origin": ORIGIN})

            assert (path in FOR_PAGES) == (hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in response.headers)

    @TABLE
    async def test_secure(self, client, method, path, is_private):
        """
        No answer lets a browser guess its type or says by which versions it was made; what the
        secret key is for is not kept by caches, nor shown within other pages.
        """
        for more in ({}, AUTH):
            response = await client.request(method, filled(path), headers=more)

            assert "flagstream" == response.headers["Server"]
            assert "nosniff" == response.headers["X-Content-Type-Options"]
            if is_private:
                assert response.headers["Cache-Control"].startswith(("no-store", "private"))
                assert "no-referrer" == response.headers["Referrer-Policy"]
                assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]

    async def test_pages_are_not_framed(self, client):
        """
        The page for people asks nobody but this server, and is shown in no other page.
        """
        response = await client.get("/api/docs")
        policy = response.headers["Content-Security-Policy"]

        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "no-referrer" == response.headers["Referrer-Policy"]

    @pytest.mark.parametrize("origin", ["https://é.example", "\udcff", "a" * 4_000])
    async def test_odd_origin(self, client, origin):
        """
        An origin that no browser sends does no harm.
        """
        response = await client.options("/flags/", headers={"Origin": origin})

        assert 204 == response.status
