"""What a cell is to the implementations: its equations for one time step, and the kernels that libraries have of it.

The equations are a pure function of already projected inputs (x W + b, one tensor per gate), a function `recurrent(h, gates)`
giving h U of a run of gates, the previous states and the activations. How those products are arranged is the business of
implementations/. Gates are numbered in the order of the layer's `gates`. Knows no particular cell, no time and no masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from cellserve.models.description.gate_order import GateOrder

Gates = tuple[Tensor, ...]  # each [B, units]
States = tuple[Tensor, ...]  # the layer's named states in order, h first
Recurrent = Callable[[Tensor, range], Gates]
Step = Callable[[Gates, Recurrent, States], States]
Lacks = Callable[[Any], str | None]
"""(layer) -> None, or what about it a kernel does not have, as the end of a sentence about the layer."""


@dataclass(frozen=True, slots=True)
class TorchKernel:
    """Torch's own. make: its module of (inputs, layer, options of nn.RNNBase). order: in which it keeps the gates' blocks.

    packed_cost: of a step of packed rows, to a padded one.
    """

    make: Callable[[int, Any, Mapping[str, Any]], nn.RNNBase]
    order: GateOrder
    packed_cost: float
    lacks: Lacks


@dataclass(frozen=True, slots=True)
class OnnxOperator:
    """ONNX's own. order: in which it keeps the gates' blocks. functions: the options whose activations it lists, in its order."""

    name: str
    order: GateOrder
    functions: tuple[str, ...]
    lacks: Lacks


@dataclass(frozen=True, slots=True)
class Cell:
    """step: (layer, its canonical arrays) -> its equations with its activations, and what they need of its arrays, bound.

    torch, onnx: None where there is none for it.
    """

    step: Callable[[Any, Mapping[str, Tensor]], Step]
    torch: TorchKernel | None = None
    onnx: OnnxOperator | None = None


def wrong_function(layer: Any, torch: Mapping[str, tuple[str, ...]]) -> str | None:
    """Where torch's kernel hard-wires its activations. torch: by option, the names that it has."""
    for option, names in torch.items():
        if (found := layer.functions[option].name) not in names:
            return f"its {option} is {found}; torch's {layer.kind} kernel has {' or '.join(names)}"
    return None
