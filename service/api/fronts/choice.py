"""Which front takes the calls. Knows what each needs, and nothing of how it works."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from cellserve.service.api.fronts.front import Calls, Front, Watcher
from cellserve.service.api.fronts.grpc.front import GrpcFront
from cellserve.service.api.fronts.options import ServerOptions

_log = logging.getLogger(__name__)

_LIBRARY = "ngh2"


class NoSuchFront(Exception):
    """A front was asked for that cannot be had here. str(error) is a sentence."""


def front_of(calls: Calls, options: ServerOptions, watcher: Watcher) -> Front:
    """Raises NoSuchFront; UnusableFile: one of `options`."""
    if options.front == "grpc":
        return GrpcFront(calls, options)
    if options.front == "http2":
        if find_spec(_LIBRARY) is None:
            raise NoSuchFront("--front http2 needs the package ngh2; pip install 'cellserve[server]', or take --front grpc")
        return _http2(calls, options, watcher)
    return GrpcFront(calls, options)


def _http2(calls: Calls, options: ServerOptions, watcher: Watcher) -> Front:
    from cellserve.service.api.fronts.http2.front import Http2Front

    return Http2Front(calls, options, watcher)
