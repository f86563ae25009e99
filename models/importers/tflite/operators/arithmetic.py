"""Arithmetic, number by number and over axes. Source: tensorflow/lite/kernels. Knows no layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from cellserve.models.importers.tflite.call import Call

PLAIN: Final = {
    "NEG": "Neg",
    "ABS": "Abs",
    "EXP": "Exp",
    "LOG": "Log",
    "SQRT": "Sqrt",
    "SIN": "Sin",
    "COS": "Cos",
    "FLOOR": "Floor",
    "CEIL": "Ceil",
    "LOGISTIC": "Sigmoid",
    "TANH": "Tanh",
    "RELU": "Relu",
    "PRELU": "PRelu",
    "LOG_SOFTMAX": "LogSoftmax",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
    "POW": "Pow",
    "EQUAL": "Equal",
    "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterOrEqual",
    "LOGICAL_AND": "And",
    "LOGICAL_OR": "Or",
    "LOGICAL_NOT": "Not",
    "SELECT": "Where",
    "SELECT_V2": "Where",
}
"""The same in ONNX, input for input."""
TWO: Final = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}
REDUCING: Final = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}


def plain(call: Call) -> list[str]:
    return [call.emit(PLAIN[call.operator.kind], *(call.value(place) for place in range(len(call.operator.inputs))))]


def combine(call: Call) -> list[str]:
    return [call.activated(call.emit(TWO[call.operator.kind], call.value(0), call.value(1)))]


def add_n(call: Call) -> list[str]:
    return [call.emit("Sum", *(call.value(place) for place in range(len(call.operator.inputs))))]


def bounded(low: float, high: float) -> Callable[[Call], list[str]]:
    return lambda call: [call.clipped(call.value(0), low, high)]


def elu(call: Call) -> list[str]:
    return [call.emit("Elu", call.value(0), alpha=1.0)]


def leaky_relu(call: Call) -> list[str]:
    return [call.emit("LeakyRelu", call.value(0), alpha=float(call.option("Alpha")))]


def gelu(call: Call) -> list[str]:
    return [call.emit("Gelu", call.value(0), approximate="tanh" if call.option("Approximate") else "none")]


def hard_swish(call: Call) -> list[str]:
    return [call.emit("HardSwish", call.value(0))]


def rsqrt(call: Call) -> list[str]:
    return [call.emit("Reciprocal", call.emit("Sqrt", call.value(0)))]


def square(call: Call) -> list[str]:
    return [call.emit("Mul", call.value(0), call.value(0))]


def squared_difference(call: Call) -> list[str]:
    difference = call.emit("Sub", call.value(0), call.value(1))
    return [call.emit("Mul", difference, difference)]


def not_equal(call: Call) -> list[str]:
    return [call.emit("Not", call.emit("Equal", call.value(0), call.value(1)))]


def softmax(call: Call) -> list[str]:
    """Of beta times its input."""
    value, beta = call.value(0), float(call.option("Beta", 1))
    if beta != 1.0:
        value = call.emit("Mul", value, call.constant("beta", np.array(beta, np.float32)))
    return [call.emit("Softmax", value, axis=-1)]


def reduce(call: Call) -> list[str]:
    return [
        call.emit(
            REDUCING[call.operator.kind], call.value(0), call.whole("axes", call.numbers(1, "axes")),
            keepdims=int(bool(call.option("KeepDims"))),
        )
    ]  # fmt: skip


def l2_normalization(call: Call) -> list[str]:
    return [call.activated(call.emit("LpNormalization", call.value(0), axis=-1, p=2))]
