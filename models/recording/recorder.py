"""The seam to a device that can record a run and repeat it without Python: one launch instead of thousands.

Knows no networks: a run is any function without arguments over memory that stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

Answer = TypeVar("Answer")


class Recorder(Protocol):
    def record(self, run: Callable[[], Answer]) -> Callable[[], Answer]:
        """What repeats `run` with whatever the memory that it read holds by then, and gives what it gave.

        The answer lies in memory of the recording, and may be overwritten from the next repetition on, of this or of any other
        run recorded here. Nothing in `run` may wait for the device, bring numbers from the host or depend on values in Python.
        Raises RuntimeError: the device cannot record it.
        """
        ...
