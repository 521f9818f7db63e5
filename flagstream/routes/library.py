"""posthog-js itself, from its npm package: what the HTML snippet loads, and the library's parts."""

import asyncio
import re
from pathlib import Path

from aiohttp import hdrs, web

from flagstream.errors import NotFoundError
from flagstream.openapi import Access, described

from . import keys
from .responses import SCRIPT, client_route, script_headers
from .shapes.common import answers_of_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}\.js")
_MAX_AGE_S = 3600


@described(*answers_of_file(SCRIPT), access=Access.NOTHING, refusals=[NotFoundError])
async def script(request: web.Request) -> web.StreamResponse:
    """Send a script of the package; one that is not there belongs to a feature that is off."""
    name = request.match_info.get("name", "array.js")
    package = request.app[keys.SETTINGS].posthog_js_dir
    path = Path(package, "dist", name)
    is_script = bool(package) and _NAME.fullmatch(name) is not None
    if not is_script or not await asyncio.to_thread(path.is_file):
        raise NotFoundError(f"There is no script {name} here.")
    response = web.FileResponse(path, headers=script_headers(request))
    response.headers[hdrs.CACHE_CONTROL] = f"public, max-age={_MAX_AGE_S}"
    return response


routes = tuple(
    definition
    for path in ("/array/{token}/array.js", "/static/{name}", "/static/{version}/{name}")
    for definition in client_route([hdrs.METH_GET], path, script)
)
