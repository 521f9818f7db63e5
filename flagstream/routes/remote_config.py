"""What clients ask for at start: what posthog-js may do, and payloads of remote config flags."""

from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web
from msgspec import defstruct

from flagstream.errors import NotFoundError
from flagstream.openapi import Access, Answer, described
from flagstream.state.access import Scope

from . import keys
from .auth import project_of_key
from .pages import API_ROOTS
from .responses import SCRIPT, bytes_response, client_route, route, script_headers
from .shapes.common import TOKEN

# `autocapture_opt_out` has to be there: without it a new visitor's autocapture stays off.
# `hasFeatureFlags` has to be true: without it posthog-js does not ask for flags at start.
_CONFIG: dict[str, Any] = {
    "supportedCompression": ["gzip", "gzip-js"],
    "hasFeatureFlags": True,
    "autocapture_opt_out": False,
    "analytics": {"endpoint": "/i/v0/e/"},
    "elementsChainAsString": True,
    "sessionRecording": False,
    "surveys": False,
    "heatmaps": False,
    "capturePerformance": False,
    "autocaptureExceptions": False,
    "captureDeadClicks": False,
    "errorTracking": {"autocaptureExceptions": False, "suppressionRules": []},
    "defaultIdentifiedOnly": True,
    "productTours": False,
    "conversations": False,
    "logs": {"captureConsoleLogs": False},
    "siteApps": [],
    "toolbarParams": {},
    "toolbarVersion": "toolbar",
    "isAuthenticated": False,
}
_DECIDE_CONFIG = {**_CONFIG, "config": {"enable_collect_everything": True}, "editorParams": {}}
CONFIG_FIELDS = [(name, type(value)) for name, value in _DECIDE_CONFIG.items()]
_Config = defstruct(
    "RemoteConfig", [("token", str), *((name, type(value)) for name, value in _CONFIG.items())]
)
DECIDE_MEMBERS = orjson.dumps(_DECIDE_CONFIG)[1:-1]


@lru_cache(maxsize=256)
def _encoded(token: str) -> bytes:
    return orjson.dumps({"token": token, **_CONFIG})


def _config_of(request: web.Request) -> bytes:
    token = request.match_info["token"]
    if request.app[keys.PROJECTS].by_token(token) is None:
        raise NotFoundError("There is no project with this token.")
    return _encoded(token)


@described(Answer(_Config), access=Access.NOTHING, refusals=[NotFoundError])
async def config(request: web.Request) -> web.Response:
    """Answer the configuration as JSON."""
    return bytes_response(_config_of(request), request=request)


@described(Answer(str, media=SCRIPT), access=Access.NOTHING, refusals=[NotFoundError])
async def config_script(request: web.Request) -> web.Response:
    """Answer the configuration as the script that posthog-js loads first."""
    encoded = _config_of(request)
    token = orjson.dumps(request.match_info["token"])
    body = (
        b"(function(){window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
        b"window._POSTHOG_REMOTE_CONFIG[%b]={config:%b,siteApps:[]}})();" % (token, encoded)
    )
    return web.Response(body=body, headers=script_headers(request))


@described(Answer(Any), parameters=[TOKEN], access=Scope.FLAGS_READ)
async def payload(request: web.Request) -> web.Response:
    """Answer the one payload of a remote config flag."""
    project = project_of_key(request)
    row = request.app[keys.CATALOG].project(project.id).flag_rows.get(request.match_info["key"])
    if row is None or row.get("deleted"):
        raise NotFoundError("There is no flag with this key.")
    text = (row["filters"].get("payloads") or {}).get("true")
    if not row.get("is_remote_configuration") or text is None:
        raise NotFoundError("This flag is no remote configuration with a payload.")
    return bytes_response(text.encode())


routes = (
    *client_route(["GET"], "/array/{token}/config", config),
    *client_route(["GET"], "/array/{token}/config.js", config_script),
    *(
        definition
        for root in API_ROOTS
        for definition in route("GET", f"{root}/feature_flags/{{key}}/remote_config", payload)
    ),
)
