"""The OpenAPI document of all operations, and a page that shows it."""

import asyncio
from importlib.metadata import distribution
from operator import attrgetter
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web

from flagstream.openapi import Access, Answer, described

from . import keys
from .responses import NO_SNIFFING, SCRIPT, bytes_response, is_known, route
from .shapes.common import answers_of_file

_STYLE = "text/css"
_HTML = "text/html"
_MAX_AGE_S = 86_400
# By the name in its address, what a file of the package is called, and what it is.
_FILES = {
    "swagger-ui.css": ("swagger_style.css", _STYLE),
    "swagger-ui.js": ("swagger_bundle.js", SCRIPT),
}
_PAGE = b"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>flagstream: HTTP</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/api/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/api/docs/swagger-ui.js"></script>
<script src="/api/docs/start.js"></script>
</body>
</html>
"""
_START = b"""\
SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#page',
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
})
"""
_HEADERS = {
    # Nothing but what this server sends itself, and nothing that another page puts around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    **NO_SNIFFING,
    "Referrer-Policy": "no-referrer",
}


@described(
    Answer(dict[str, Any], headers={"ETag": "For `If-None-Match`."}),
    Answer(None, status=304),
    access=Access.NOTHING,
)
async def document(request: web.Request) -> web.Response:
    """Answer the OpenAPI document of all operations, or 304 where the client has it."""
    api = request.app[keys.API_DOCUMENT]
    # Whoever asks first waits until it is made; others are answered meanwhile.
    await asyncio.to_thread(attrgetter("etag"), api)
    is_there = is_known(request, api.etag)
    response = web.Response(status=304) if is_there else bytes_response(api.encoded)
    response.headers[hdrs.ETAG] = f'"{api.etag}"'
    response.headers[hdrs.CACHE_CONTROL] = "no-cache"
    return response


@described(Answer(str, media=_HTML), access=Access.NOTHING)
async def page(_request: web.Request) -> web.Response:
    """Answer a page that shows the document, and asks this server alone."""
    return web.Response(body=_PAGE, content_type=_HTML, charset="utf-8", headers=_HEADERS)


@described(Answer(str, media=SCRIPT), access=Access.NOTHING)
async def start(_request: web.Request) -> web.Response:
    """Answer the script that starts the page."""
    return web.Response(body=_START, content_type=SCRIPT, headers=_HEADERS)


def _file(name: str, media: str) -> Any:
    path = Path(str(distribution("offapi").locate_file(f"offapi/{name}")))

    @described(*answers_of_file(media), access=Access.NOTHING)
    async def file(_request: web.Request) -> web.StreamResponse:
        """Answer a part of the page: Swagger UI's."""
        response = web.FileResponse(path, headers=_HEADERS)
        response.content_type = media
        response.headers[hdrs.CACHE_CONTROL] = f"public, max-age={_MAX_AGE_S}"
        return response

    return file


routes = (
    *route("GET", "/api/openapi.json", document),
    *route("GET", "/api/docs", page),
    *route("GET", "/api/docs/start.js", start),
    *(
        definition
        for address, (name, media) in _FILES.items()
        for definition in route("GET", f"/api/docs/{address}", _file(name, media))
    ),
)
