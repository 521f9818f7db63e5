"""What posthog-js asks for that flagstream does not do, and posthog-js itself."""

import pytest

from tests.fakes.views import PROJECT

PAGE = {"Origin": "https://app.example"}
LISTS = {
    "surveys": {"surveys": []},
    "early_access_features": {"earlyAccessFeatures": []},
    "web_experiments": {"experiments": []},
    "product_tours": {"product_tours": []},
}
SWALLOWED = {
    "/s/": {"status": 1},
    "/i/v1/logs": {},
    "/i/v1/metrics": {},
    "/i/v1/traces": {},
}


class TestLists:
    @pytest.mark.parametrize("end", ["", "/"])
    @pytest.mark.parametrize("name", LISTS)
    async def test_empty(self, client, name, end):
        """
        A page that asks is told that there are none.
        """
        response = await client.get(f"/api/{name}{end}?token={PROJECT.token}", headers=PAGE)

        assert (200, LISTS[name]) == (response.status, await response.json())
        assert PAGE["Origin"] == response.headers["Access-Control-Allow-Origin"]

    @pytest.mark.parametrize("query", ["", "?token=phc_nobody"])
    @pytest.mark.parametrize("name", LISTS)
    async def test_needs_a_token(self, client, name, query):
        """
        Without a project's token there is no answer.
        """
        assert 401 == (await client.get(f"/api/{name}/{query}")).status


class TestSwallowed:
    @pytest.mark.parametrize("path", SWALLOWED)
    async def test_accepted(self, client, world, path):
        """
        Recordings and telemetry are accepted, whatever they are, and not kept.
        """
        response = await client.post(
            f"{path}?token=phc_any", data=b"\x1f\x8bwhatever", headers=PAGE
        )

        assert (200, SWALLOWED[path]) == (response.status, await response.json())
        assert PAGE["Origin"] == response.headers["Access-Control-Allow-Origin"]
        assert [] == world.log.appended


class TestLibrary:
    @pytest.fixture
    def world(self, world, tmp_path):
        (tmp_path / "dist").mkdir()
        (tmp_path / "dist" / "array.js").write_text("the library")
        (tmp_path / "dist" / "web-vitals.js").write_text("a part of it")
        (tmp_path / "secret.js").write_text("nothing for pages")
        world.settings = world.settings.model_copy(update={"posthog_js_dir": str(tmp_path)})
        return world

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            (f"/array/{PROJECT.token}/array.js", "the library"),
            ("/static/array.js", "the library"),
            ("/static/web-vitals.js?v=1.449.2", "a part of it"),
            ("/static/1.449.2/web-vitals.js", "a part of it"),
        ],
    )
    async def test_scripts(self, client, path, text):
        """
        Pages load the library and its parts, and keep them for an hour.
        """
        response = await client.get(path, headers=PAGE)

        assert (200, text) == (response.status, await response.text())
        assert "application/javascript" == response.content_type
        assert "public, max-age=3600" == response.headers["Cache-Control"]

    @pytest.mark.parametrize(
        "path",
        [
            "/static/recorder.js",
            "/static/..%2Fsecret.js",
            "/static/%2E%2E/secret.js",
            "/static/..%5Csecret.js",
            "/static/array.js.map",
            "/static/array.js%00",
        ],
    )
    async def test_nothing_else(self, client, path):
        """
        What is not a script of the package is not found.
        """
        assert 404 == (await client.get(path)).status


async def test_without_the_package(client):
    """
    Where the package is not named, no script is found.
    """
    assert 404 == (await client.get("/static/array.js")).status
