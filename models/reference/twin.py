"""What the oracle says of one kind of layer: its values for one row, and what becomes of the masks. Knows no particular layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Masks = list[Mask | None]  # of each input, [T]


@dataclass(frozen=True, slots=True)
class Twin:
    """value: (layer, its arrays, its inputs each [T, F], [T] ids or [F], their masks) -> [T, *features] or [*features].

    mask: (layer, its inputs, their masks) -> the mask [T] that the output carries, None for none. Each kind says both.
    """

    value: Callable[[Any, Mapping[str, Array], list[Array], Masks], Array]
    mask: Callable[[Any, list[Array], Masks], Mask | None]


def travels(layer: Any, inputs: list[Array], masks: Masks) -> Mask | None:
    """A step counts where it does in all inputs that have masks."""
    present = [mask for mask in masks if mask is not None]
    return np.logical_and.reduce(present) if present else None


def ends(layer: Any, inputs: list[Array], masks: Masks) -> Mask | None:
    return None
