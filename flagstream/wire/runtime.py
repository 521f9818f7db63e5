"""From where a flag request comes: a server, or a client in the hands of a user."""

import re
from collections.abc import Mapping

from aiohttp import hdrs

_SERVERS = re.compile(
    r"posthog-(?:python|node|ruby|php|go|java|dotnet|elixir|rs|rust|server)\b"
    r"|curl/|wget/|python-requests/|python-urllib|python-httpx/|aiohttp|go-http-client|java/"
    r"|apache-httpclient|okhttp/|node-fetch|undici|axios/|ruby|guzzlehttp|postmanruntime"
    # Node itself, for old posthog-node; it says in Sec-Fetch-Mode what browsers say.
    r"|\Anode\Z",
    re.IGNORECASE,
)
_CLIENTS = re.compile(
    r"posthog-(?:js|ios|android|flutter|react-native|unity)\b|mozilla/|opera/|dalvik/",
    re.IGNORECASE,
)
_OF_BROWSERS = (hdrs.ORIGIN, hdrs.REFERER, "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-Dest")


def request_runtime(named: str | None, headers: Mapping[str, str]) -> str | None:
    """
    Tell the runtime of a request: ``server``, ``client``, or ``all`` where it says that itself;
    None where nothing tells.

    Args:
        named: As the request says itself, which goes before all else.
        headers: Of the request, in any case.
    """
    if named is not None:
        return named
    agent = headers.get(hdrs.USER_AGENT, "")
    if _CLIENTS.search(agent):
        return "client"
    if _SERVERS.search(agent):
        return "server"
    return "client" if any(name in headers for name in _OF_BROWSERS) else None
