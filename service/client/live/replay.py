"""The recent inputs of one live sequence, kept so that a server which has fallen back can be fed them again. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cellserve.service.pb import cellserve_pb2 as pb


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """Most that a client keeps of one live sequence; what a server lost beyond it cannot be fed again. 0 steps: nothing."""

    steps: int = 1024
    input_bytes: int = 1024 * 1024


class Fed(NamedTuple):
    """One feed: the time steps consumed before it, its own, and its message without position and epoch."""

    position: int
    steps: int
    message: pb.FeedRequest

    @property
    def end(self) -> int:
        return self.position + self.steps


class Replay:
    """Feeds that the server has answered, one after the other without a gap, the newest last."""

    def __init__(self, limits: ReplayLimits) -> None:
        self._limits = limits
        self._kept: deque[Fed] = deque()
        self._steps = 0
        self._bytes = 0

    def keep(self, fed: Fed) -> None:
        """Forgets the oldest where the limits ask for it, and everything where `fed` does not follow the newest."""
        if self._kept and self._kept[-1].end != fed.position:
            self.clear()
        self._kept.append(fed)
        self._steps += fed.steps
        self._bytes += len(fed.message.inputs.data)
        while self._steps > self._limits.steps or self._bytes > self._limits.input_bytes:
            oldest = self._kept.popleft()
            self._steps -= oldest.steps
            self._bytes -= len(oldest.message.inputs.data)

    def since(self, position: int, end: int) -> list[Fed] | None:
        """The feeds that lead from `position` to `end`, none where the two are equal; None if they are not kept.

        A feed is never cut: under masks a framework tells one call of two steps from two calls.
        """
        if position > end:
            return None
        wanted = [fed for fed in self._kept if position <= fed.position and fed.end <= end]
        covered = (wanted[0].position, wanted[-1].end) if wanted else (end, end)
        return wanted if covered == (position, end) else None

    def clear(self) -> None:
        self._kept.clear()
        self._steps = self._bytes = 0

    def __iter__(self) -> Iterator[Fed]:
        return iter(self._kept)
