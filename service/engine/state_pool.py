"""Where the recurrent states of active sequences live: one preallocated slab of float32, one row per sequence.

A row is named by a handle that carries the row's generation, which changes at every release: a handle kept too long is
refused and can never touch the next owner's state. free + used = all rows, always. In host memory a row's bytes are there without
torch, which only tensors of them need. Knows no sequences and no layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cellserve.models.devices import Device

if TYPE_CHECKING:
    from torch import Tensor


_HOST = Device("cpu")
_DTYPE = np.dtype(np.float32)


class RowHandle(NamedTuple):
    row: int
    generation: int


class StaleRow(RuntimeError):
    """A handle was used after its row had been released: a defect of the caller, caught before it does harm."""


class StatePool:
    """`rows` rows of `width` float32 each, on `device`."""

    def __init__(self, width: int, rows: int, device: Device = _HOST) -> None:
        self._width = width
        self._device = device
        # NumPy keeps the interpreter while it copies these few rows, torch hands it over at each operation.
        self._host: npt.NDArray[np.float32] | None = np.zeros((rows, width), _DTYPE) if device.type == "cpu" else None
        if self._host is None:
            self._slab = _on_device(rows, width, device)
        self._bytes = memoryview(bytearray()) if self._host is None or width == 0 else self._host.data.cast("B")
        self._row_bytes = _DTYPE.itemsize * width
        self._generations = [0] * rows
        self._free = list(range(rows - 1, -1, -1))  # the lowest free row is next, so that the used ones stay close together
        self._rows = rows

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def width(self) -> int:
        return self._width

    @property
    def bytes(self) -> int:
        """Of all rows, free or used."""
        return self._rows * self._row_bytes

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def used(self) -> int:
        return self._rows - len(self._free)

    def acquire(self) -> RowHandle:
        """A free row, holding what its last owner left. IndexError if there is none."""
        row = self._free.pop()
        return RowHandle(row, self._generations[row])

    def release(self, handle: RowHandle) -> None:
        """Gives a row back. StaleRow if it has been given back before."""
        row, generation = handle
        if self._generations[row] != generation:
            raise self._stale(row, generation)
        self._generations[row] += 1
        self._free.append(row)

    def take(self, handles: Sequence[RowHandle]) -> Tensor:
        """Copies of these rows, in order: [len(handles), width]. StaleRow as in release."""
        import torch

        if self._host is not None:
            return torch.from_numpy(self._host[self._rows_of(handles)])
        return self._slab.index_select(0, self._index(self._rows_of(handles)))

    def put(self, handles: Sequence[RowHandle], values: Tensor) -> None:  # values [len(handles), width]
        """Overwrites these rows, in order. StaleRow as in release."""
        if self._host is not None:
            self._host[self._rows_of(handles)] = values.numpy()
        else:
            self._slab.index_copy_(0, self._index(self._rows_of(handles)), values)

    def memory_of(self, handle: RowHandle) -> memoryview:
        """The bytes of a row themselves, of a pool in host memory; ValueError elsewhere. StaleRow as in release."""
        row, generation = handle
        if self._generations[row] != generation:
            raise self._stale(row, generation)
        if self._host is None:
            raise ValueError(f"the rows lie on {self._device}, not in host memory")
        return self._bytes[row * self._row_bytes : (row + 1) * self._row_bytes]

    def _rows_of(self, handles: Sequence[RowHandle]) -> list[int]:
        generations = self._generations
        for row, generation in handles:
            if generations[row] != generation:
                raise self._stale(row, generation)
        return [row for row, _ in handles]

    def _index(self, rows: list[int]) -> Tensor:
        import torch

        from cellserve.models.numerics.uploads import indices

        return indices(rows, torch.device(self._device))

    def _stale(self, row: int, generation: int) -> StaleRow:
        return StaleRow(f"row {row} was released: it is at generation {self._generations[row]}, not {generation}")


def _on_device(rows: int, width: int, device: Device) -> Tensor:
    import torch

    return torch.zeros(rows, width, dtype=torch.float32, device=device)
