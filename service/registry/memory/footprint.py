"""What one loaded version takes of the machine's memory, measured when it is loaded and whenever a way to run it is added.

Knows no budget and no other versions.
"""

from __future__ import annotations

from collections.abc import Callable


class Footprint:
    """held: all that its network holds now, weights too.

    `weights_bytes`: as they are on disk. `copies_bytes`: what implementations made of them, in main memory.
    `states_bytes`: of all rows of states, used or not. `bytes`: together.
    """

    __slots__ = ("_held", "bytes", "copies_bytes", "states_bytes", "weights_bytes")

    def __init__(self, weights_bytes: int = 0, held: Callable[[], int] = lambda: 0) -> None:
        self._held = held
        self.weights_bytes = weights_bytes
        self.copies_bytes = self.states_bytes = 0
        self.bytes = weights_bytes

    def measure(self) -> None:
        """Any thread."""
        self.copies_bytes = max(0, self._held() - self.weights_bytes)
        self._sum()

    def with_states(self, states_bytes: int) -> None:
        self.states_bytes = states_bytes
        self._sum()

    def _sum(self) -> None:
        self.bytes = self.weights_bytes + self.copies_bytes + self.states_bytes
