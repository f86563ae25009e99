"""A store that speaks as Google's does, as far as one client's calls go: each object has a generation, which a condition names.

In memory, one call at a time. There is no server of Google's own to be had: this holds our calls against what its documents say.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "models"
_DATE = "2026-01-02T03:04:05.000Z"


class _Objects:
    def __init__(self) -> None:
        self.held: dict[str, tuple[bytes, int]] = {}  # content and generation, by path
        self.last = 0
        self.lock = threading.Lock()


def _handler(objects: _Objects) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if (path := unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")) == "":
                self._list(parse_qs(parts.query).get("prefix", [""])[0])
            elif path in objects.held:
                content, generation = objects.held[path]
                if (asked := self.headers.get("range")) is None:
                    self._answer(200, content, generation)
                else:
                    first, last = map(int, asked.removeprefix("bytes=").split("-"))
                    part = content[first : last + 1]
                    self._answer(206, part, generation, f"bytes {first}-{first + len(part) - 1}/{len(content)}")
            else:
                self._answer(404)

        def do_PUT(self) -> None:
            path = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
            content = self.rfile.read(int(self.headers["content-length"]))
            condition = self.headers.get("x-goog-if-generation-match")
            with objects.lock:
                _, generation = objects.held.get(path, (b"", 0))
                if condition is not None and int(condition) != generation:
                    self._answer(412)
                    return
                objects.last += 1
                objects.held[path] = (content, objects.last)
                self._answer(200, b"", objects.last)

        def do_DELETE(self) -> None:
            path = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
            self._answer(404 if objects.held.pop(path, None) is None else 204)

        def _list(self, prefix: str) -> None:
            entries = "".join(
                f"<Contents><Key>{escape(path)}</Key><LastModified>{_DATE}</LastModified>"
                f"<ETag>&quot;{generation:x}&quot;</ETag><Size>{len(content)}</Size></Contents>"
                for path, (content, generation) in sorted(objects.held.items())
                if path.startswith(prefix)
            )
            self._answer(200, f"<ListBucketResult><Name>{BUCKET}</Name>{entries}</ListBucketResult>".encode())

        def _answer(self, status: int, content: bytes = b"", generation: int = 0, part: str = "") -> None:
            self.send_response(status)
            if part:
                self.send_header("content-range", part)
            if generation:
                self.send_header("etag", f'"{generation:x}"')
                self.send_header("x-goog-generation", str(generation))
                self.send_header("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


@contextmanager
def google() -> Iterator[str]:
    """What GOOGLE_SERVICE_ACCOUNT_KEY must be, for `gs://models` to be it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(_Objects()))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        told = {"gcs_base_url": f"http://127.0.0.1:{server.server_port}", "disable_oauth": True}
        yield json.dumps(told | {"client_email": "", "private_key": "", "private_key_id": ""})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
