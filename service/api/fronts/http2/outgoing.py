"""What one connection sends: gathered in a turn of the event loop, written at once, and no more of it than its client takes.

Knows streams and frames, no calls and no methods.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import ngh2

from cellserve.service.api.fronts.http2.stream_ends import PATIENCE_SECONDS, StreamEnds

_log = logging.getLogger(__name__)

_WRITTEN_AT_ONCE_BYTES: Final = 1 << 18  # to the socket, before it is asked whether it wants more
_WAITING_BYTES: Final = 1 << 16  # of replies of a stream, before the next is made
_GATHERED_SECONDS: Final = 0.004  # what may wait meanwhile leaves in one write

Act = Callable[[ngh2.Connection], None]


class Outgoing:
    """On the event loop. broken: told why HTTP/2 cannot go on. written: called after a write, for the events that it caused."""

    def __init__(
        self,
        session: Any,
        ends: StreamEnds,
        loop: asyncio.AbstractEventLoop,
        broken: Callable[[str], None],
        written: Callable[[], None],
    ) -> None:
        self._session = session
        self._ends = ends
        self._loop = loop
        self._broken = broken
        self._written = written
        self._transport: Any = None
        self._senders: dict[int, asyncio.Future[None]] = {}  # who waits for room
        self._stopping: asyncio.TimerHandle | None = None
        self._open = self._writable = self._held = self._flush_due = self._gathering = False

    @property
    def unsent_bytes(self) -> int:
        """What the client has not taken."""
        unsent_bytes: int = self._session.queued_body_size() + self._transport.get_write_buffer_size()
        return unsent_bytes

    def begin(self, transport: Any) -> None:
        self._transport = transport
        self._open = self._writable = True

    def end(self) -> None:
        """Nothing can be sent any more, and nobody waits for room."""
        self._open = False
        for sender in self._senders.values():
            _wake(sender)

    def close(self) -> None:
        """The connection is gone, and what is held for it is given back: no circles are left."""
        if self._stopping is not None:
            self._stopping.cancel()
        self._session = None
        del self._broken, self._written

    # --- the socket ---

    def pause(self) -> None:
        """It wants no more for now."""
        self._writable = False

    def resume(self) -> None:
        self._writable = True
        self.flush()

    # --- what is sent ---

    def send(self, stream_id: int, act: Act) -> None:
        """Leaves in the event loop's next turn, with whatever else is sent until then."""
        if self._open:
            self._act(stream_id, act)
            if not self._flush_due:
                self._flush_due = True
                if not self._held:
                    self._loop.call_soon(self.flush)

    def send_gathered(self, stream_id: int, act: Act) -> None:
        """Leaves within a few milliseconds, with whatever else is sent until then."""
        if not self._gathering:
            self._gathering = True
            self._loop.call_later(_GATHERED_SECONDS, self.flush)
        self._act(stream_id, act)

    def hold(self) -> None:
        """What is sent from now on waits for `release`."""
        self._held = True

    def release(self) -> None:
        self._held = False
        if self._flush_due or not self._gathering:
            self.flush()

    def flush(self) -> None:
        """Hands the socket what may be sent now; the rest waits for the client's window or the socket."""
        self._flush_due = self._gathering = False
        if not self._open:
            return
        self._write()
        if self._open and self._ends.any_turned_away and self._writable:
            self._stop(self._ends.unwanted(self._session.queued_body_size))
            self._write()
        if self._open and self._ends.any_answered and self._stopping is None:
            self._stopping = self._loop.call_later(PATIENCE_SECONDS, self._stop_senders)
        for stream_id, sender in self._senders.items():
            if not self.is_full(stream_id):
                _wake(sender)

    # --- back-pressure ---

    def is_full(self, stream_id: int) -> bool:
        """Whether so much of a stream waits for its client that no more should be made."""
        waiting_bytes: int = self._session.queued_body_size(stream_id)
        return waiting_bytes > _WAITING_BYTES

    async def room(self, stream_id: int) -> None:
        """Returns once there may be room on a stream, or it is gone."""
        sender = self._senders[stream_id] = self._loop.create_future()
        try:
            await sender
        finally:
            del self._senders[stream_id]

    def gone(self, stream_id: int) -> None:
        sender = self._senders.get(stream_id)
        if sender is not None:
            _wake(sender)

    def _act(self, stream_id: int, act: Act) -> None:
        """Of a stream that the client has left meanwhile, nothing is sent."""
        try:
            act(self._session)
        except ngh2.NGH2Error as error:  # of a stream that is gone, it does nothing
            _log.debug("stream %d: %s", stream_id, error)
            with suppress(ngh2.ConnectionStateError):  # of a session that is about to end
                self._session.reset_stream(stream_id, ngh2.ErrorCode.INTERNAL_ERROR)

    def _write(self) -> None:
        while self._open and self._writable:
            try:
                data = self._session.data_to_send(_WRITTEN_AT_ONCE_BYTES)
            except ngh2.NGH2Error as error:
                self._broken(str(error))
                return
            if not data:
                break
            self._transport.write(data)
        if self._open:
            self._written()

    def _stop_senders(self) -> None:
        self._stopping = None
        if self._open and self._writable:
            self._stop(self._ends.overdue(self._loop.time(), self._session.queued_body_size))
        self.flush()

    def _stop(self, streams: Iterable[int]) -> None:
        """Their clients need not send what they are still sending."""
        for stream_id in streams:
            self._session.reset_stream(stream_id, ngh2.ErrorCode.NO_ERROR)


def _wake(sender: asyncio.Future[None]) -> None:
    if not sender.done():
        sender.set_result(None)
