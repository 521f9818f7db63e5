import json

import pytest


class TestDocument:
    async def test_is_answered_once(self, client):
        """
        The document is answered with a tag, by which it is not sent again; the tag is of its bytes.
        """
        first = await client.get("/api/openapi.json")
        again = await client.get(
            "/api/openapi.json", headers={"If-None-Match": first.headers["ETag"]}
        )
        other = await client.get("/api/openapi.json", headers={"If-None-Match": '"other"'})

        assert "3.1.0" == json.loads(await first.read())["openapi"]
        assert (304, b"") == (again.status, await again.read())
        assert first.headers["ETag"] == again.headers["ETag"]
        assert (200, await first.read()) == (other.status, await other.read())


class TestPage:
    async def test_asks_this_server_alone(self, client):
        """
        The page may load nothing but what it names, which is all here.
        """
        page = await client.get("/api/docs/")
        policy = page.headers["Content-Security-Policy"]

        assert "default-src 'none'; script-src 'self';" in policy
        assert "http" not in policy
        assert "text/html" == page.content_type

    @pytest.mark.parametrize(
        ("name", "media", "beginning"),
        [
            ("start.js", "application/javascript", "SwaggerUIBundle("),
            ("swagger-ui.js", "application/javascript", "/*! For license"),
            ("swagger-ui.css", "text/css", ".swagger-ui"),
        ],
    )
    async def test_has_its_parts(self, client, name, media, beginning):
        """
        What the page names is served, as what it is.
        """
        response = await client.get(f"/api/docs/{name}")
        text = await response.text()

        assert (200, media) == (response.status, response.content_type)
        assert f"/api/docs/{name}" in await (await client.get("/api/docs")).text()
        assert beginning in text[:200]
