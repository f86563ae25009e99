"""States of cold sequences on disk, while the server runs: rows in a file without a name, which vanishes with the process.

Rows are given and freed on the event loop; bytes are written and read in threads. Knows no sequences.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt


class ParkedRow:
    """One state on disk. Freed once."""

    __slots__ = ("_file", "_slot")

    def __init__(self, file: ParkingFile, slot: int) -> None:
        self._file = file
        self._slot = slot

    def read(self) -> npt.NDArray[np.float32]:
        """[width]. In a thread, and before `free`, or while the file is held. Raises OSError."""
        return self._file.read(self._slot)

    def free(self) -> None:
        self._file.give_back(self._slot)


class ParkingFile:
    """folder: where the file is; made if it is missing. width: of a state, in floats. Raises OSError."""

    def __init__(self, folder: Path, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".parked-")  # noqa: SIM115 - it lives as long as this object
        self._row_bytes = width * 4
        self._slots = 0
        self._free: list[int] = []
        self._held: list[int] | None = None  # freed, but somebody may still read them

    def take(self, rows: int) -> list[int]:
        """Slots for so many states; `write` or `give_back` each."""
        taken = [self._free.pop() for _ in range(min(rows, len(self._free)))]
        taken += range(self._slots, self._slots + rows - len(taken))
        self._slots = max(self._slots, max(taken, default=-1) + 1)
        return taken

    def write(self, slots: Sequence[int], states: npt.NDArray[np.float32]) -> None:
        """states: [len(slots), width]. In a thread. Raises OSError."""
        for slot, state in zip(slots, states):
            whole = memoryview(state.tobytes())
            at = slot * self._row_bytes
            while whole:
                written = os.pwrite(self._file.fileno(), whole, at)
                whole, at = whole[written:], at + written

    def read(self, slot: int) -> npt.NDArray[np.float32]:
        raw = os.pread(self._file.fileno(), self._row_bytes, slot * self._row_bytes)
        if len(raw) != self._row_bytes:
            raise OSError(f"a parked state is {len(raw)} bytes long, expected {self._row_bytes}")
        return np.frombuffer(raw, np.float32)

    def give_back(self, slot: int) -> None:
        (self._free if self._held is None else self._held).append(slot)

    def hold(self) -> None:
        """From here on, what is freed is not written over: somebody reads it."""
        self._held = []

    def release(self) -> None:
        self._free += self._held or []
        self._held = None

    def close(self) -> None:
        self._file.close()
