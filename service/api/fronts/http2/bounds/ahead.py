"""How far a client may send ahead on all its calls together: the window of its connection.

What has come and is not read waits where nobody sees it, deadlines pass there, and no call behind it can be refused. So it is
little, whatever the client has to send: it asks with headers, which no window holds back. What was read and no handler has taken
counts apart: one that takes its messages slowly holds up no other call. Pure: knows no session.
"""

from __future__ import annotations

from typing import Final

_UNREAD_BYTES: Final = 1 << 22  # some milliseconds of reading
_STEP_BYTES: Final = 1 << 20
_MOST_BYTES: Final = 1 << 30


class Ahead:
    """Of one connection."""

    __slots__ = ("_untaken_bytes",)

    def __init__(self) -> None:
        self._untaken_bytes = 0

    @property
    def window_bytes(self) -> int:
        """Of the connection, at present. What is not taken counts twice: half a window must be taken before it opens again."""
        return min(_UNREAD_BYTES + 2 * (self._untaken_bytes // _STEP_BYTES) * _STEP_BYTES, _MOST_BYTES)

    def received(self, received_bytes: int) -> None:
        self._untaken_bytes += received_bytes

    def taken(self, taken_bytes: int) -> None:
        """By handlers, or dropped."""
        self._untaken_bytes -= taken_bytes
