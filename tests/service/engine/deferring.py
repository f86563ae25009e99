"""A device that works on its own, without one: what it gives is not there before it is waited for, and does not stay there.

Downloads are NaN until a mark set after them has been waited for, and are spoilt again by the next download after that. It has a
time of its own, by which a FakeNetwork counts: what is launched starts when the host has launched it and the device has done all
before; waiting moves the host's clock to the end of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np
import torch

from tests.fakes import FakeClock

Array = np.ndarray


class FakeDevice:
    """Transfers. fails: by the number of the wait, whether it raises. `events`: "launch" and "wait", in order,
    of iterations that download anything.
    """

    deferred = True

    def __init__(self, clock: FakeClock, fails: Callable[[int], bool] = lambda number: False) -> None:
        self.host_clock = clock
        self.clock = FakeClock()  # the end of what has been launched so far
        self.events: list[str] = []
        self._fails = fails
        self._promised: list[tuple[Array, Array]] = []  # with the numbers that will be in it
        self._marked = 0
        self._arrived = 0
        self._waited = 0

    def __call__(self, device: torch.device) -> FakeDevice:
        """As `transfers_of`: the same for every lane."""
        return self

    @property
    def most_under_way(self) -> int:
        steps = accumulate(1 if event == "launch" else -1 for event in self.events)
        return max(steps, default=0)

    @property
    def owes(self) -> bool:
        """Whether something was launched that nobody has waited for."""
        return self._arrived < len(self._promised)

    def upload(self, staged: torch.Tensor) -> torch.Tensor:
        return staged.clone()

    def download(self, tensor: torch.Tensor) -> Array:
        for handed_over, _ in self._promised[: self._arrived]:
            _spoil(handed_over)
        numbers = tensor.numpy().copy()
        self._promised.append((np.empty_like(numbers), numbers))
        _spoil(self._promised[-1][0])
        return self._promised[-1][0]

    def mark(self) -> FakeMark:
        self.clock.now_seconds = max(self.clock.now_seconds, self.host_clock.now_seconds)
        if self._marked < len(self._promised):
            self.events.append("launch")
            self._marked = len(self._promised)
        return FakeMark(self, self.clock.now_seconds, len(self._promised))

    def come_to(self, mark: FakeMark) -> None:
        self.events.append("wait")
        self.host_clock.now_seconds = max(self.host_clock.now_seconds, mark.seconds)
        arriving, self._arrived = self._promised[self._arrived : mark.promised], mark.promised
        self._waited += 1
        if self._fails(self._waited - 1):
            raise RuntimeError("the device failed")
        for promised, numbers in arriving:
            promised[...] = numbers


class FakeMark:
    def __init__(self, device: FakeDevice, seconds: float, promised: int) -> None:
        self.seconds = seconds
        self.promised = promised
        self._device = device

    def wait(self) -> None:
        self._device.come_to(self)

    def seconds_since(self, earlier: FakeMark) -> float:
        return self.seconds - earlier.seconds


def _spoil(array: Array) -> None:
    array[...] = np.nan if array.dtype.kind == "f" else 10**9
