"""The HTTP pages /metrics and /readyz, on threads of their own. Knows a registry, not what is in it."""

from __future__ import annotations

import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_TEXT: Final = "text/plain; charset=utf-8"


class MetricsPage:
    """Serves from the moment it exists until `close`. `port`: the real one, where 0 was asked for.

    ready: whether requests are taken; trouble: why those of live sequences are refused all the same. Set on any thread.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._server = _HttpServer(registry, host, port)
        self._server.page = self
        self.ready = False
        self.trouble: str | None = None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="cellserve-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _HttpServer(ThreadingHTTPServer):
    page: MetricsPage
    daemon_threads = True
    block_on_close = False  # an idle keep-alive connection must not hold up the end

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self.registry = registry
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without the name look-up of HTTPServer, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/readyz":
            self._answer(*_readiness(self.server.page))
            return
        if path != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"only /metrics and /readyz are here\n")
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, content_type, encode(self.server.registry))

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line each."""

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _readiness(page: MetricsPage) -> tuple[HTTPStatus, str, bytes]:
    """Ready is who answers whole requests: where only live sequences are refused, the page says so, and nobody is turned away."""
    if not page.ready:
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n"
    if page.trouble is None:
        return HTTPStatus.OK, _TEXT, b"ready\n"
    return HTTPStatus.OK, _TEXT, f"ready, but live sequences are refused: {page.trouble}\n".encode()
