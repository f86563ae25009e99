"""What a request asks of a live sequence, and what it gets back. Plain facts; knows no protocol and no table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellserve.service.engine.batch import Delivery
from cellserve.service.registry.lease import LoadedVersion


@dataclass(frozen=True, slots=True)
class CheckedFeed:
    """A feed checked against the version that will run it.

    inputs: as in Work, or empty for a feed of no time steps. mask: [T] bool or None. initial_state: [layout.width] float32, only
    with `Feed.start`; None for zeros. implementation: None is the version's own. want_state: keep the state in the delivery.
    """

    inputs: tuple[npt.NDArray[np.generic], ...]
    mask: npt.NDArray[np.bool_] | None = None
    initial_state: npt.NDArray[np.float32] | None = None
    implementation: str | None = None
    priority: int = 0
    want_state: bool = False

    @property
    def steps(self) -> int:
        return next((len(array) for array in self.inputs if array.ndim > 1 or array.dtype.kind != "f"), len(self.inputs[:1]))


@dataclass(frozen=True, slots=True)
class Feed:
    """check: holds the request against the sequence's own version, and may raise InvalidInput or UnsupportedImplementation.

    start: begins the sequence, on `version` (as on the wire; ignored otherwise); restart: even if it is live. end: it is over
    after this feed. position: time steps that the client knows to be consumed; the feed is applied there or nowhere, and at most
    once. epoch: the server's, as the client knows it. deadline_seconds: on time.monotonic's clock. request_id: the same for every
    attempt at the request, by whoever is believed to see to it; None: nobody is.
    """

    check: Callable[[LoadedVersion], CheckedFeed]
    start: bool = False
    end: bool = False
    restart: bool = False
    version: str = ""
    position: int | None = None
    epoch: str | None = None
    deadline_seconds: float | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class FeedReply:
    """position: time steps consumed after it. delivery: None for a feed of no time steps; its state only if the feed wanted it.

    repeated: it had been applied before, and this is the same answer again.
    """

    session_id: str
    position: int
    epoch: str
    version: LoadedVersion
    delivery: Delivery | None
    repeated: bool = False
