"""A way to run a recurrent layer: which layers it refuses, known at once, and its kernels, made when they are first asked for.

Kernels go layer by layer over tensors, so they need torch. A server whose networks run in one call over host memory
(onnxruntime/chunk_call.py) never asks for one, and never imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor

    from cellserve.models.description.layers.recurrent import RecurrentLayer
    from cellserve.models.implementations.kernel import RecurrentKernel


Precision = Literal["float32", "bfloat16"]
FLOAT32: Final = "float32"
BFLOAT16: Final = "bfloat16"


class _Kernels(Protocol):
    """A module."""

    def prepare(self, layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel: ...


@dataclass(frozen=True, slots=True)
class Implementation:
    """unsupported: None, or what about a layer it cannot run, as the end of a sentence about it. module: of its kernels.

    precision: of what it multiplies. Sums, states and all else are float32 in any. hands_on_nan: it makes no numbers of NaN.
    """

    unsupported: Callable[[RecurrentLayer], str | None]
    module: str
    precision: Precision = FLOAT32
    hands_on_nan: bool = True

    def prepare(self, layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
        """`weights`: the layer's canonical arrays on the device, without the layer's name ("kernel" …)."""
        kernels = cast(_Kernels, import_module(f"{__package__}.{self.module}"))
        return kernels.prepare(layer, weights)
