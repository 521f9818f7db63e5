"""The application as a whole: paths, errors, cross-origin headers."""

import pytest

from flagstream.api import create_app
from flagstream.routes.errors import guarded
from tests.fakes.views import PROJECT
from tests.fakes.world import World

ORIGIN = "https://app.example"


@pytest.fixture
def world():
    return World()


@pytest.fixture
def app(world):
    return create_app(world.services())


@pytest.fixture
async def client(app, aiohttp_client):
    return await aiohttp_client(app)


class TestPaths:
    def test_every_path_with_and_without_slash(self, app):
        """
        Each address answers with a trailing slash as well as without.
        """
        paths = {resource.canonical for resource in app.router.resources()} - {"/{path}"}

        assert {f"{path}/" for path in paths if not path.endswith("/")} <= paths


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nothing", 404, "not_found"),
            ("GET", "/api/nothing/", 404, "not_found"),
            ("GET", "/%ff%00", 404, "not_found"),
            ("DELETE", "/flags/", 405, "method_not_allowed"),
            ("PROPFIND", "/metrics", 405, "method_not_allowed"),
        ],
    )
    async def test_shape(self, client, method, path, status, code):
        """
        An address or method that does not exist is an error of the one shape.
        """
        response = await client.request(method, path)
        answer = await response.json()

        assert (status, code) == (response.status, answer["code"])
        assert ["type", "code", "detail", "attr"] == list(answer)
        assert "quota_limited" not in answer

    async def test_method_not_allowed_names_the_others(self, client):
        """
        A wrong method is told the right ones.
        """
        response = await client.delete("/metrics")

        assert "GET, HEAD" == response.headers["Allow"]

    async def test_defect(self, world, aiohttp_client, caplog):
        """
        A defect of ours is a 500 without a word about its cause, which is in the log.
        """

        async def break_(_request):
            raise RuntimeError("secret cause")

        app = create_app(world.services())
        app.router.add_get("/break/down", guarded(break_, lambda: True))
        response = await (await aiohttp_client(app)).get("/break/down")
        text = await response.text()

        assert (500, "internal_error") == (response.status, (await response.json())["code"])
        assert "secret" not in text
        assert "Traceback" not in text
        assert "secret cause" in caplog.text


class TestCrossOrigin:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/flags/?v=2"),
            ("GET", "/flags/"),
            ("POST", "/decide/?v=3"),
            ("GET", f"/array/{PROJECT.token}/config"),
            ("GET", f"/array/{PROJECT.token}/config.js"),
            ("POST", "/nothing"),
        ],
    )
    async def test_origin_is_reflected(self, client, method, path):
        """
        A page of any origin can read answers, refusals among them.
        """
        response = await client.request(method, path, headers={"Origin": ORIGIN})

        assert ORIGIN == response.headers["Access-Control-Allow-Origin"]
        assert "true" == response.headers["Access-Control-Allow-Credentials"]
        assert "Retry-After" == response.headers["Access-Control-Expose-Headers"]

    async def test_without_origin(self, client):
        """
        Servers get no cross-origin headers.
        """
        response = await client.get("/flags/")

        assert "Access-Control-Allow-Origin" not in response.headers

    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/flags/?v=2", "GET, HEAD, OPTIONS, POST"),
            ("/api/surveys", "GET, HEAD, OPTIONS"),
            ("/i/v1/analytics/events", "OPTIONS, POST"),
        ],
    )
    async def test_preflight(self, client, path, methods):
        """
        A preflight is granted what it asks for, and the methods that the path is served for.
        """
        asked = {"Origin": ORIGIN, "Access-Control-Request-Headers": "content-type,x-any"}
        response = await client.options(path, headers=asked)

        assert 204 == response.status
        assert "content-type,x-any" == response.headers["Access-Control-Allow-Headers"]
        assert methods == response.headers["Access-Control-Allow-Methods"]
        assert methods == response.headers["Allow"]
        assert ORIGIN == response.headers["Access-Control-Allow-Origin"]
