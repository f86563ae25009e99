"""Every cell, by the class of its layer. Knows no equations: each family's file lists its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from torch import Tensor

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.errors import UnknownKind
from cellserve.models.numerics.cells import gru, legacy, lstm, simple_rnn
from cellserve.models.numerics.cells.cell import Cell, OnnxOperator, Step, TorchKernel

CELLS: Final[Mapping[type[Layer], Cell]] = {**lstm.CELLS, **gru.CELLS, **simple_rnn.CELLS, **legacy.CELLS}


def cell_of(layer: RecurrentLayer) -> Cell:
    """Raises UnknownKind: it has none."""
    if (cell := CELLS.get(type(layer))) is None:
        raise UnknownKind(layer.name, layer.kind, "the cells (CELLS)")
    return cell


def step_of(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> Step:
    """`weights`: the layer's canonical arrays; its products are not among what is bound. Raises InvalidSpec (activations)."""
    return cell_of(layer).step(layer, weights)


def torch_kernel(layer: RecurrentLayer) -> TorchKernel:
    """Raises ValueError: torch has none."""
    if (kernel := cell_of(layer).torch) is None:
        known = _listed(other for other, cell in CELLS.items() if cell.torch is not None)
        raise ValueError(f"it is a {layer.kind} layer; torch has kernels for {known} only")
    return kernel


def onnx_operator(layer: RecurrentLayer) -> OnnxOperator:
    """Raises ValueError: ONNX has none."""
    if (operator := cell_of(layer).onnx) is None:
        known = _listed(other for other, cell in CELLS.items() if cell.onnx is not None)
        raise ValueError(f"it is a {layer.kind} layer; ONNX has operators for {known} only")
    return operator


def _listed(layers: Iterable[type[Layer]]) -> str:
    """As a description writes them: "lstm, gru and simple_rnn"."""
    *first, last = (str(layer.model_fields["kind"].default) for layer in layers)
    return f"{', '.join(first)} and {last}"
