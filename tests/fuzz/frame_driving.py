"""Sends connections of damaged frames, many at a time, and sees that each of them ends. Knows no mutation."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from tests.fuzz.frame_cases import FrameCase
from tests.http2_frames import DATA, GOAWAY, HEADERS, RST_STREAM, cut
from tests.patience import Waited, nobody, within

HANGING_SECONDS: Final = 60.0
SIDE_BY_SIDE: Final = 32
_NOTHING: Final = "nothing"
_KINDS: Final = {DATA: "data", HEADERS: "headers", RST_STREAM: "reset", GOAWAY: "goodbye"}


class FrameFuzz:
    """What has been sent so far. answers: connections by the most telling frame that came back. faults: told for a person."""

    def __init__(self, host: str, port: int, patience_seconds: float = 0.02, waited: Waited = nobody) -> None:
        """patience_seconds: of connections that wait for an answer. waited: see tests/patience.py."""
        self._host, self._port = host, port
        self._patience_seconds = patience_seconds
        self._waited = waited
        self.answers: Counter[str] = Counter()
        self.faults: list[str] = []

    async def send(self, cases: Iterable[FrameCase]) -> None:
        """Returns when the server has let go of each connection, or is known to hang on to it."""
        waiting = iter(cases)
        await asyncio.gather(*(self._send_each(waiting) for _ in range(SIDE_BY_SIDE)))

    async def _send_each(self, cases: Iterable[FrameCase]) -> None:
        for case in cases:
            try:
                answer = await within(HANGING_SECONDS, self._sent(case), self._waited)
            except TimeoutError:
                self.faults.append(f"the server did not let go of: {case.data.hex()}")
            else:
                self.answers[_told(answer)] += 1

    async def _sent(self, case: FrameCase) -> bytes:
        loop = asyncio.get_running_loop()
        answer = bytearray()
        with socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, (self._host, self._port))
            with suppress(ConnectionError):  # the server has had enough of it
                for piece in case.pieces:
                    await loop.sock_sendall(connection, piece)
                    await asyncio.sleep(0)
                if case.waits:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._patience_seconds):
                            while _told(answer) == _NOTHING and (data := await loop.sock_recv(connection, 1 << 16)):
                                answer += data
                if case.says_goodbye:
                    with suppress(OSError):  # it has ended already
                        connection.shutdown(socket.SHUT_WR)
                    while data := await loop.sock_recv(connection, 1 << 16):
                        answer += data
        return bytes(answer)


def _told(answer: bytes | bytearray) -> str:
    kinds = {frame.kind for frame in cut(bytes(answer))}
    return next((word for kind, word in _KINDS.items() if kind in kinds), _NOTHING)
