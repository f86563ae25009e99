"""The HTTP pages /metrics, /healthz and /readyz, and others that are given, on threads of their own.

Knows a registry, not what is in it.
"""

from __future__ import annotations

import gzip
import selectors
import socket
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_TEXT: Final = "text/plain; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
_HEADERS: Final = {  # a page is of its moment, and takes nothing from elsewhere
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_LONGEST_SILENCE_SECONDS: Final = 30.0  # of an event loop that tells of itself fifty times a second
_GZIP_LEVEL: Final = 1  # most of what there is to gain


class Answer(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: bytes


class MetricsPage:
    """Serves from the moment it exists until `close`. `port`: the real one, where 0 was asked for.

    ready: whether requests are taken; trouble: why those of live sequences are refused all the same; repository_trouble: why it
    is not known what is published; failure: why the process should be ended. Set on any thread. silence_seconds: since the event
    loop was heard of.
    """

    def __init__(
        self, registry: CollectorRegistry, host: str, port: int, silence_seconds: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._registry = registry
        self._silence_seconds = silence_seconds
        self._pages: dict[str, Callable[[str], Answer]] = {
            "/metrics": self._metrics,
            "/healthz": lambda _: self._liveness(),
            "/readyz": lambda _: self._readiness(),
        }
        self._server = _HttpServer(self, host, port)
        self.ready = False
        self.trouble: str | None = None
        self.repository_trouble: str | None = None
        self.failure: str | None = None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve, name="cellserve-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """May be called again."""
        self._server.end()
        self._thread.join()
        self._server.server_close()

    def show(self, path: str, html: Callable[[], str]) -> None:
        """A page for people, made anew whenever it is asked for, on a thread of this server's."""
        self._pages[path] = lambda _: Answer(HTTPStatus.OK, _HTML, html().encode())

    @property
    def readiness(self) -> str:
        """Whether requests are taken, in a sentence."""
        if not self.ready:
            return "not ready"
        but = []
        if self.trouble is not None:
            but.append(f", but live sequences are refused: {self.trouble}")
        if self.repository_trouble is not None:
            but.append(f", but what is published since is not known: {self.repository_trouble}")
        return "".join(("ready", *but))

    def answer(self, path: str, accepted: str) -> Answer:
        """accepted: the content types that the header Accept names."""
        page = self._pages.get(path)
        if page is None:
            return _text(HTTPStatus.NOT_FOUND, f"only {', '.join(self._pages)} are here")
        return page(accepted)

    def _metrics(self, accepted: str) -> Answer:
        encode, content_type = choose_encoder(accepted)
        return Answer(HTTPStatus.OK, content_type, encode(self._registry))

    def _liveness(self) -> Answer:
        """Alive is whom a restart would not help: a server that loads, drains or refuses is."""
        silence = self._silence_seconds()
        failure = self.failure
        if failure is None and silence > _LONGEST_SILENCE_SECONDS:
            failure = f"the event loop has done nothing for {silence:.0f} s"
        if failure is not None:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, failure)
        return _text(HTTPStatus.OK, "alive")

    def _readiness(self) -> Answer:
        """Ready is who answers whole requests. What is refused or not known all the same the page says; nobody is turned away."""
        return _text(HTTPStatus.OK if self.ready else HTTPStatus.SERVICE_UNAVAILABLE, self.readiness)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an idle keep-alive connection must not hold up the end

    def __init__(self, page: MetricsPage, host: str, port: int) -> None:
        self.page = page
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._ended, self._end = socket.socketpair()
        super().__init__((host, port), _Handler)

    def serve(self) -> None:
        """Until `end`, which is seen at once: `serve_forever` looks twice a second, and wakes an idle process for it."""
        with selectors.DefaultSelector() as selector:
            for waited_for in (self.socket, self._ended):
                selector.register(waited_for, selectors.EVENT_READ)
            while self._ended not in [key.fileobj for key, _ in selector.select()]:
                self.handle_request()

    def end(self) -> None:
        self._end.close()

    def server_close(self) -> None:
        """After `end`, or since it cannot listen."""
        super().server_close()
        self._ended.close()
        self._end.close()

    def server_bind(self) -> None:
        """Without the name look-up of HTTPServer, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line each."""

    def _answer(self, *, with_body: bool) -> None:
        status, content_type, body = self.server.page.answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if _takes_gzip(self.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, _GZIP_LEVEL)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _takes_gzip(accepted: str) -> bool:
    return any(coding.partition(";")[0].strip().lower() == "gzip" for coding in accepted.split(","))


def _text(status: HTTPStatus, sentence: str) -> Answer:
    return Answer(status, _TEXT, f"{sentence}\n".encode())
