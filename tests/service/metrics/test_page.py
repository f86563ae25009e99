"""The pages beside /metrics, asked over HTTP."""

from __future__ import annotations

import gc
import gzip
import http.client
import selectors
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from cellserve.service.metrics.page import MetricsPage


@pytest.fixture
def silence() -> list[float]:
    """Seconds since the event loop was heard of."""
    return [0.0]


@pytest.fixture
def page(silence: list[float]) -> Iterator[MetricsPage]:
    registry = CollectorRegistry()
    Counter("asked", "?", registry=registry).inc()
    page = MetricsPage(registry, "127.0.0.1", 0, lambda: silence[0])
    yield page
    page.close()


def ask(page: MetricsPage, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body, reply.headers


def test_alive_is_whom_a_restart_would_not_help(page: MetricsPage, silence: list[float]) -> None:
    assert ask(page, "/healthz")[:2] == (200, b"alive\n")  # though not ready
    silence[0] = 31.4
    assert ask(page, "/healthz")[:2] == (503, b"the event loop has done nothing for 31 s\n")
    page.failure = "the engine has failed"
    assert ask(page, "/healthz")[:2] == (503, b"the engine has failed\n")


def test_ready_is_who_answers_whole_requests(page: MetricsPage) -> None:
    assert ask(page, "/readyz")[:2] == (503, b"not ready\n")
    page.ready = True
    assert ask(page, "/readyz")[:2] == (200, b"ready\n")
    page.trouble = "the store is away"
    assert ask(page, "/readyz")[:2] == (200, b"ready, but live sequences are refused: the store is away\n")
    page.trouble, page.repository_trouble = None, "the bucket is away"
    assert ask(page, "/readyz")[:2] == (200, b"ready, but what is published since is not known: the bucket is away\n")


def test_a_page_is_packed_for_whoever_takes_it_packed(page: MetricsPage) -> None:
    plain = ask(page, "/metrics")
    packed = ask(page, "/metrics", Accept_Encoding="deflate, gzip;q=0.5")
    assert (plain[2]["Content-Encoding"], packed[2]["Content-Encoding"]) == (None, "gzip")
    assert gzip.decompress(packed[1]) == plain[1]
    assert b"asked_total 1.0" in plain[1]


def test_a_head_is_answered_without_a_body(page: MetricsPage) -> None:
    status, body, headers = ask(page, "/metrics", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == len(ask(page, "/metrics")[1])


def test_what_is_not_there_says_what_is(page: MetricsPage) -> None:
    assert ask(page, "/")[:2] == (404, b"only /metrics, /healthz, /readyz are here\n")


def test_a_page_for_people_is_made_anew_each_time_and_takes_nothing_from_elsewhere(page: MetricsPage) -> None:
    asked: list[int] = []
    page.show("/", lambda: f"<p>{len(asked)}{asked.append(1) or ''}</p>")
    first, second = ask(page, "/"), ask(page, "/?again")
    assert (first[0], first[1].decode()[:4], second[1].decode()[:4]) == (200, "<p>0", "<p>1")
    assert first[2]["Content-Type"] == "text/html; charset=utf-8"
    assert (first[2]["Cache-Control"], first[2]["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert first[2]["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_closed_page_has_given_back_its_port_and_may_be_closed_again(page: MetricsPage) -> None:
    idle = http.client.HTTPConnection("127.0.0.1", page.port)
    idle.request("GET", "/healthz")
    idle.getresponse().read()  # and the connection stays
    page.close()
    page.close()
    with pytest.raises(ConnectionRefusedError):
        ask(page, "/healthz")
    idle.close()


def test_nothing_wakes_a_page_that_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    class Waiting(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            waits.append(timeout)
            found: list[tuple[selectors.SelectorKey, int]] = super().select(timeout)
            return found

    monkeypatch.setattr(selectors, "DefaultSelector", Waiting)
    page = MetricsPage(CollectorRegistry(), "127.0.0.1", 0)
    assert ask(page, "/healthz")[0] == 200
    page.close()
    assert waits
    assert set(waits) == {None}


def test_a_taken_port_leaves_nothing_open(page: MetricsPage) -> None:
    """What is left open warns when it is collected, and a warning fails."""
    with pytest.raises(OSError, match="in use"):
        MetricsPage(CollectorRegistry(), "127.0.0.1", page.port)
    gc.collect()
