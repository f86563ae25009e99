"""What a cell is to the implementations: its equations for one time step.

They are a pure function of already projected inputs (x W + b, one tensor per gate), a function `recurrent(h, gates)`
giving h U of a run of gates, the previous states and the activations. How those products are arranged is the business of
implementations/. Gates are numbered in the order of the layer's `gates`. Knows no particular cell, no time and no masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Gates = tuple[Tensor, ...]  # each [B, units]
States = tuple[Tensor, ...]  # the layer's named states in order, h first
Recurrent = Callable[[Tensor, range], Gates]
Step = Callable[[Gates, Recurrent, States], States]

Cell = Callable[[Any, Mapping[str, Tensor]], Step]
"""(layer, its canonical arrays) -> its equations with its activations, and what they need of its arrays, bound."""
