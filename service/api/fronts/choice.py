"""Which front takes the calls. Knows what each needs, and nothing of how it works."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Final, Literal

from cellserve.service.api.fronts.front import Calls, Front, Watcher
from cellserve.service.api.fronts.grpc.front import GrpcFront
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.config import FrontChoice

_log = logging.getLogger(__name__)

FrontName = Literal["grpc", "http2"]

_LIBRARY: Final = "ngh2"


class NoSuchFront(Exception):
    """A front was asked for that cannot be had here. str(error) is a sentence."""


def front_of(calls: Calls, options: ServerOptions, watcher: Watcher) -> Front:
    """Raises NoSuchFront; UnusableFile: one of `options`."""
    if chosen_front(options.front) == "grpc":
        return GrpcFront(calls, options)
    from cellserve.service.api.fronts.http2.front import Http2Front

    return Http2Front(calls, options, watcher)


def chosen_front(asked: FrontChoice) -> FrontName:
    """auto: http2 where it can be had and works. Raises NoSuchFront."""
    if asked == "grpc":
        return "grpc"
    complaint = _complaint_of_http2()
    if complaint is None:
        return "http2"
    if asked == "http2":
        raise NoSuchFront(f"--front http2 cannot be had here ({complaint}); take --front grpc")
    _log.info("calls are taken by gRPC's own server, which costs more (%s)", complaint)
    return "grpc"


def _complaint_of_http2() -> str | None:
    if find_spec(_LIBRARY) is None:
        return "the package ngh2 is not installed: pip install 'cellserve[server]'"
    from cellserve.service.api.fronts.http2 import self_test

    return self_test.complaint()
