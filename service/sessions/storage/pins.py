"""Versions that live sequences stay on: one lease for all sequences of a version, and the slab of their states.

The lease is given back with the last sequence. Runs on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cellserve.models.description.state_layout import SEEN
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.lease import Lease, LoadedVersion
from cellserve.service.sessions.storage.slab import StateSlab


class Pin:
    """users: sequences, and requests that are about to make one. ends_seconds: when its sequences must be over, None: never.

    idle, parked: of its sequences; the others are active.
    """

    __slots__ = ("ends_seconds", "idle", "lease", "parked", "seen", "sessions", "slab", "users", "version")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.version: LoadedVersion = lease.version
        layout = lease.version.state_layout
        self.slab = StateSlab(layout.width)
        self.seen = [columns.start for columns in layout.columns if columns.state == SEEN]
        self.users = 0
        self.sessions = 0
        self.idle = 0
        self.parked = 0
        self.ends_seconds: float | None = None

    @property
    def key(self) -> VersionKey:
        return self.version.key

    @property
    def state_bytes(self) -> int:
        """Of one sequence."""
        return self.slab.width * 4

    def resting(self, state: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """`state` [width] as the next feed begins with it: each feed is a call of its own to the rules of masks."""
        if self.seen:
            state = state.copy()
            state[self.seen] = 0.0
        return state


class Pins:
    def __init__(self) -> None:
        self._pins: dict[VersionKey, Pin] = {}

    def __iter__(self) -> Iterator[Pin]:
        return iter(list(self._pins.values()))

    def find(self, key: VersionKey) -> Pin | None:
        return self._pins.get(key)

    def hold(self, lease: Lease) -> Pin:
        """The pin of the lease's version, for one user more. It keeps one lease; a further one is released."""
        pin = self._pins.get(lease.version.key)
        if pin is None:
            pin = self._pins[lease.version.key] = Pin(lease)
        elif pin.lease is not lease:
            lease.release()
        pin.users += 1
        return pin

    def share(self, pin: Pin) -> Pin:
        """For one user more."""
        pin.users += 1
        return pin

    def drop(self, pin: Pin) -> None:
        """One user less."""
        pin.users -= 1
        if pin.users == 0:
            del self._pins[pin.key]
            pin.lease.release()

    @property
    def bytes(self) -> int:
        """Of all states in memory."""
        return sum(pin.slab.bytes for pin in self._pins.values())
