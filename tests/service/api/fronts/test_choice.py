"""Which front takes the calls."""

from __future__ import annotations

from typing import Any

import ngh2
import pytest

from cellserve.service.api.fronts import choice
from cellserve.service.api.fronts.choice import NoSuchFront, front_of
from cellserve.service.api.fronts.http2 import self_test
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.config import FrontChoice
from tests.service.api.fronts.fronts import Watching


def options(front: FrontChoice) -> ServerOptions:
    return ServerOptions("127.0.0.1", 0, 1000, front=front)


async def test_each_is_had_by_its_name_and_auto_takes_the_cheaper_one() -> None:
    calls: Any = object()
    assert front_of(calls, options("grpc"), Watching()).name == "grpc"
    assert front_of(calls, options("http2"), Watching()).name == "http2"
    assert front_of(calls, options("auto"), Watching()).name == "http2"


async def test_where_the_library_is_missing_auto_takes_grpc_and_http2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    calls: Any = object()
    assert front_of(calls, options("auto"), Watching()).name == "grpc"
    with pytest.raises(NoSuchFront, match="the package ngh2 is not installed"):
        front_of(calls, options("http2"), Watching())


async def test_a_library_that_does_otherwise_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute(ngh2.Connection):
        def data_to_send(self, amount: int | None = None) -> bytes:
            return b""

    assert self_test.complaint() is None
    monkeypatch.setattr(ngh2, "Connection", Mute)
    assert self_test.complaint() is not None
    calls: Any = object()
    assert front_of(calls, options("auto"), Watching()).name == "grpc"
