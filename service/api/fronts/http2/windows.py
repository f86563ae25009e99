"""How much the client of a connection may send ahead: on each stream, and on all of them together.

Under overload a client shall wait with the messages of new calls until these are let in: their streams have no window until
then, and of the others nothing is sent. Acts on a session; what may come ahead at all is decided in ahead.py. Knows no calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import ngh2

from cellserve.service.api.fronts.http2.bounds.ahead import Ahead
from cellserve.service.api.fronts.http2.outgoing import Outgoing

STREAM_WINDOW_BYTES: Final = 1 << 20  # that a client may send ahead of whoever reads its call
_RELAXED_SECONDS: Final = 0.5  # after the last call that was turned away


class Windows:
    """On the event loop, of one connection."""

    __slots__ = ("_ahead", "_connection_bytes", "_outgoing", "_session", "_turned_away_seconds", "narrow")

    def __init__(self, session: Any, outgoing: Outgoing) -> None:
        self._session = session
        self._outgoing = outgoing
        self._ahead = Ahead()
        self._connection_bytes = 0
        self._turned_away_seconds = float("-inf")
        self.narrow = False  # whether new streams have no window

    def fit(self) -> None:
        """The connection's, to what is not taken at present. It is told with what is sent next."""
        if self._connection_bytes != (window_bytes := self._ahead.window_bytes):
            self._connection_bytes = window_bytes
            self._session.set_local_window_size(window_bytes)

    def received(self, received_bytes: int) -> None:
        self._ahead.received(received_bytes)

    def taken(self, stream_id: int, taken_bytes: int) -> None:
        """By a handler, or dropped: the client may send as much more."""
        self._ahead.taken(taken_bytes)
        self._outgoing.send(stream_id, lambda session: session.acknowledge_received_data(taken_bytes, stream_id))

    def let_in(self, stream_ids: Iterable[int]) -> None:
        """The messages of these calls are wanted, however narrow it is."""
        if self.narrow:
            for stream_id in stream_ids:
                self._widen(stream_id)

    def turned_away(self, now_seconds: float) -> None:
        """A call was: no further message shall come unasked."""
        self._turned_away_seconds = now_seconds
        if not self.narrow:
            self._set_narrow(True)

    def relax(self, now_seconds: float) -> None:
        """Once nobody was turned away for a while, messages come as before."""
        if self.narrow and now_seconds - self._turned_away_seconds > _RELAXED_SECONDS:
            self._set_narrow(False)

    def _set_narrow(self, narrow: bool) -> None:
        self.narrow = narrow
        self._session.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 0 if narrow else STREAM_WINDOW_BYTES})
        self._outgoing.flush()

    def _widen(self, stream_id: int) -> None:
        self._outgoing.send(stream_id, lambda session: session.set_local_window_size(STREAM_WINDOW_BYTES, stream_id=stream_id))
