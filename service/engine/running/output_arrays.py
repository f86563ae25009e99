"""The arrays that a sequence's outputs are put together in, as many steps as it has. Knows no batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def unfilled(steps: int, outputs: Sequence[Array], per_step: Sequence[bool]) -> list[Array]:
    """[steps, …] for each output per step, […] for each other, of a sequence in a batch that gave `outputs`.

    outputs: [T, B, …] or [B, T, …] per step, [B, …] otherwise.
    """
    return [
        np.empty((steps, *output.shape[2:]) if each else output.shape[1:], output.dtype)
        for output, each in zip(outputs, per_step)
    ]
