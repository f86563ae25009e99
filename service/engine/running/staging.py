"""Puts rows of different lengths side by side, time-major, in host memory that is used again for the next batch.

The memory starts as zeros and afterwards only ever holds earlier inputs of the same kind, so what stands beyond a row's length
is finite, and is a valid id where the input is ids. Knows no sequences and no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cellserve.models.devices import Device


class TimeMajorBuffer:
    """One input's staging memory. What `stage` returns is valid until the next call."""

    def __init__(self, dtype: npt.DTypeLike, device: Device | torch.device) -> None:
        self._memory = np.zeros(0, dtype)
        self._device = torch.device(device)

    def stage(self, rows: Sequence[npt.NDArray[np.generic]], steps: int) -> Tensor:
        """rows: each [length ≤ steps, *features]. Returns [steps, len(rows), *features] on the device."""
        shape = (steps, len(rows), *rows[0].shape[1:])
        size = prod(shape)
        if size > len(self._memory):
            self._memory = np.zeros(max(size, 2 * len(self._memory)), self._memory.dtype)
        area = self._memory[:size].reshape(shape)
        for column, row in enumerate(rows):
            area[: len(row), column] = row
        staged = torch.from_numpy(area)
        return staged if self._device.type == "cpu" else staged.to(self._device)
