"""The pages of a product, served as its own web server would."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.clients.versions import BROWSER, HERE, NODE_MODULES

# All parts in one file; of today's the one for pages that may not load scripts from elsewhere.
_BUNDLES = {"posthog-js": "array.full.no-external.js"}
_OLD_BUNDLE = "array.full.js"
_PAGE = ("text/html", HERE / "page.html")


def _bundle(module: str) -> tuple[str, Path]:
    file = NODE_MODULES / module / "dist" / _BUNDLES.get(module, _OLD_BUNDLE)
    return "text/javascript", file


# The same page for each version of posthog-js, below the name that it is installed under.
FILES = {f"/{module}/": _PAGE for module in BROWSER.values()} | {
    f"/{module}/posthog.js": _bundle(module) for module in BROWSER.values()
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = FILES.get(urlsplit(self.path).path)
        if found is None:
            self.send_error(404)
            return
        content_type, file = found
        body = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing: what matters is what the browser did."""


@contextlib.contextmanager
def serve_pages() -> Iterator[str]:
    """Serve the pages; yields their address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
