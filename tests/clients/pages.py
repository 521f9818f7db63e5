"""The pages of a product, served as its own web server would."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.clients.versions import BROWSER, HERE, NODE_MODULES

# All parts in one file; of today's the one for pages that may not load scripts from elsewhere.
_BUNDLES = {"posthog-js": "array.full.no-external.js"}
_OLD_BUNDLE = "array.full.js"
_WEB_PROVIDER = NODE_MODULES / "@openfeature" / "ofrep-web-provider"
_OPENFEATURE = {
    "core": NODE_MODULES / "@openfeature" / "core" / "dist" / "esm" / "index.js",
    "ofrep-core": _WEB_PROVIDER / "node_modules" / "@openfeature" / "ofrep-core" / "index.esm.js",
    "ofrep-web-provider": _WEB_PROVIDER / "index.esm.js",
    "web-sdk": NODE_MODULES / "@openfeature" / "web-sdk" / "dist" / "esm" / "index.js",
}
"""The files that OpenFeature's packages for pages are, by their names."""


class File(NamedTuple):
    """What is at a path; *headers* are sent with it."""

    content_type: str
    body: bytes
    headers: Mapping[str, str] = {}


def _script(module: str, name: str) -> File:
    return File("text/javascript", (NODE_MODULES / module / "dist" / name).read_bytes())


def _pages() -> Iterator[tuple[str, File]]:
    """Yield the same page for each version of posthog-js, below the name that it has installed."""
    page = File("text/html", (HERE / "page.html").read_bytes())
    for module in BROWSER.values():
        yield f"/{module}/", page
        yield f"/{module}/posthog.js", _script(module, _BUNDLES.get(module, _OLD_BUNDLE))
    yield "/openfeature/", File("text/html", (HERE / "openfeature.html").read_bytes())
    for name, file in _OPENFEATURE.items():
        yield f"/openfeature/{name}.mjs", File("text/javascript", file.read_bytes())
    # What bundlers take for `import posthog from "posthog-js"`.
    yield "/posthog.mjs", _script("posthog-js", "module.mjs")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Mapping[str, File]

    def do_GET(self) -> None:
        found = self.files.get(urlsplit(self.path).path)
        if found is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", found.content_type)
        self.send_header("Content-Length", str(len(found.body)))
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(found.body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing: what matters is what the browser did."""


@contextlib.contextmanager
def serve_pages(files: dict[str, File] | None = None) -> Iterator[str]:
    """Serve the pages, and *files* by their paths, also those added later; yields the address."""
    files = {} if files is None else files
    files.update(_pages())
    handler = type("Handler", (_Handler,), {"files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
