"""The pages of a product, served as its own web server would."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
# The bundle for pages that may not load scripts from elsewhere: all parts in one file.
BUNDLE = HERE / "node_modules" / "posthog-js" / "dist" / "array.full.no-external.js"
FILES = {
    "/": ("text/html", HERE / "page.html"),
    "/posthog.js": ("text/javascript", BUNDLE),
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
