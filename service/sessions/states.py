"""Where a sequence's state is, in memory or on disk, and how it comes back. Runs on the event loop; reads disks in threads."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt

from cellserve.service.errors import InternalFailure
from cellserve.service.sessions.capacity import Capacity
from cellserve.service.sessions.observer import SessionObserver
from cellserve.service.sessions.session import Session


class States:
    """Every method is called in the turn of its sequence, which is live."""

    def __init__(self, capacity: Capacity, observer: SessionObserver) -> None:
        self._capacity = capacity
        self._observer = observer

    async def bring_back(self, session: Session) -> npt.NDArray[np.float32]:
        """A copy of the state, [width], which is in memory afterwards. Raises Overloaded, InternalFailure (the disk)."""
        if session.pin is None:
            raise RuntimeError(f"{session.key} is not live")
        if session.row is None:
            async with self._capacity.memory(session.pin):
                state = await self.look(session)
                parked, session.parked = session.parked, None
                session.row = session.pin.slab.put(state)
            if parked is not None:
                parked.free()
            self._observer.on_session_event(session.pin.key, "unparked")
        return session.pin.slab.read(session.row)

    async def look(self, session: Session) -> npt.NDArray[np.float32]:
        """A copy of the state, [width], wherever it is. Raises InternalFailure (the disk)."""
        if session.pin is not None and session.row is not None:
            return session.pin.slab.read(session.row)
        if session.parked is None:
            raise RuntimeError(f"{session.key} is not live")
        try:
            return await asyncio.to_thread(session.parked.read)
        except OSError as error:
            raise InternalFailure(f"the parked state of {session.key} cannot be read") from error
