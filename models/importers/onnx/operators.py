"""Which function follows which operator of ONNX. What is not listed here ends the reading with the operator's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cellserve.models.importers.onnx.layers import (
    arithmetic,
    choosing,
    lookup,
    movement,
    products,
    recurrent,
    repeating,
    taking,
    windows,
)
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Value

Follow = Callable[[Node], list[Value]]

MOVING: Final[Mapping[str, Follow]] = {
    "Identity": movement.identity,
    "Cast": movement.cast,
    "Transpose": movement.transpose,
    "Squeeze": movement.squeeze,
    "Unsqueeze": movement.unsqueeze,
    "Flatten": movement.flatten,
    "Reshape": movement.reshape,
    "Expand": repeating.expand,
    "Tile": repeating.tile,
    "Slice": taking.slice_,
    "Gather": choosing.gather,
    "Split": taking.split,
    "Concat": movement.concat,
}
"""Those that compute nothing: states and lengths may go through them as well."""

OPERATORS: Final[Mapping[str, Follow]] = {
    **MOVING,
    "Dropout": movement.identity,
    "OneHot": lookup.one_hot,
    "GatherElements": choosing.gather_elements,
    "GatherND": choosing.gather_nd,
    "Where": choosing.where,
    "Pad": movement.pad,
    "ReverseSequence": movement.reverse_sequence,
    **dict.fromkeys(recurrent.OPERATORS, recurrent.recurrent),
    "Conv": windows.over_one_axis(windows.conv),
    "MaxPool": windows.over_one_axis(windows.pool),
    "AveragePool": windows.over_one_axis(windows.pool),
    "GlobalMaxPool": windows.global_pool,
    "GlobalAveragePool": windows.global_pool,
    "ReduceMean": windows.reduce,
    "ReduceMax": windows.reduce,
    "ReduceSum": windows.reduce,
    "MatMul": products.matmul,
    "Gemm": products.gemm,
    "Einsum": products.einsum,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum"), arithmetic.combine),
    "Pow": arithmetic.power,
    "Neg": arithmetic.negative,
    "Softmax": arithmetic.softmax,
    "LogSoftmax": arithmetic.softmax,
    "BatchNormalization": arithmetic.batch_normalization,
    "LayerNormalization": arithmetic.layer_normalization,
    "PRelu": arithmetic.prelu,
    "Clip": arithmetic.clip,
    "Selu": arithmetic.selu,
    **dict.fromkeys(arithmetic.FUNCTIONS, arithmetic.function),
}

OF_IDS: Final = frozenset(
    {"Add", "Sub", "Mul", "Cast", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "And", "Or", "Where", "Abs"}
    | {"Min", "Max", "Clip", "Mod"}
)
"""What exporters do with ids before they look them up: those below zero count from the end, others are bounded."""

LOOPS: Final = frozenset({"Loop", "Scan"})
LOOP_HELP: Final = (
    "it runs a graph step by step, as exporters write a recurrent layer that ONNX's own LSTM, GRU and RNN do not fit; import the "
    "model's own file instead (.keras, .h5 or its state dict)"
)
