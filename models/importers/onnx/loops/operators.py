"""The operators of which exporters write a cell, on the expressions of one step. What is not listed here is no cell's.

Knows no loops and no cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.importers.onnx.loops.expressions import Affine, Expressions
from cellserve.models.importers.onnx.values import NotTranslated

Array = npt.NDArray[Any]
Term = Affine | Array
"""What a step computes, or a constant."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A node within a loop: its inputs, of which one is an Affine, None where it leaves one out."""

    operator: str
    attributes: Mapping[str, Any]
    given: Sequence[Term | None]
    outputs: int
    expressions: Expressions

    def value(self, place: int = 0) -> Affine:
        value = self.given[place]
        if not isinstance(value, Affine):
            raise NotTranslated(f"its input {place} is no vector that the step computes")
        return value

    def constant(self, place: int) -> Array | None:
        """None: left out."""
        value = self.given[place] if place < len(self.given) else None
        if isinstance(value, Affine):
            raise NotTranslated(f"its input {place} is computed from what the step reads")
        return value

    def numbers(self, name: str, place: int) -> list[int] | None:
        """An attribute of older operator sets, an input since."""
        found = self.attributes[name] if name in self.attributes else self.constant(place)
        return None if found is None else [int(one) for one in np.ravel(found)]


def same(node: Operation) -> list[Term]:
    return [node.value()]


def add(node: Operation) -> list[Term]:
    """Also Sub."""
    sign = -1.0 if node.operator == "Sub" else 1.0
    left, right = node.given
    if isinstance(left, Affine) and isinstance(right, Affine):
        return [_like(left, right) + right.scaled(sign)]
    if isinstance(left, Affine):
        return [left.shifted(sign * _row(right, left))]
    return [node.value(1).scaled(sign).shifted(_row(left, node.value(1)))]


def multiply(node: Operation) -> list[Term]:
    """Also Div, by a constant."""
    left, right = node.given
    if isinstance(left, Affine) and isinstance(right, Affine):
        if node.operator == "Div":
            raise NotTranslated("it divides by what the step computes")
        return [node.expressions.product(_like(left, right), right)]
    value, constant = (left, right) if isinstance(left, Affine) else (right, left)
    if not isinstance(value, Affine) or (node.operator == "Div" and value is right):
        raise NotTranslated("it divides by what the step computes")
    scale = _row(constant, value)
    return [_scaled(node.expressions, value, 1 / scale if node.operator == "Div" else scale)]


def negate(node: Operation) -> list[Term]:
    return [node.value().scaled(-1.0)]


def matmul(node: Operation) -> list[Term]:
    matrix = node.constant(1)
    if matrix is None or matrix.ndim != 2 or len(matrix) != node.value().width:
        raise NotTranslated("it multiplies otherwise than with a matrix")
    return [node.value().times(matrix.astype(np.float64))]


def gemm(node: Operation) -> list[Term]:
    options, matrix, bias = node.attributes, node.constant(1), node.given[2] if len(node.given) > 2 else None
    if options.get("transA") or matrix is None or matrix.ndim != 2:
        raise NotTranslated("it turns its input round, or has no matrix")
    matrix = (matrix.T if options.get("transB") else matrix).astype(np.float64)
    if len(matrix) != node.value().width:
        raise NotTranslated("its matrix does not fit")
    made = node.value().times(matrix * float(options.get("alpha", 1.0)))
    beta = float(options.get("beta", 1.0))
    if isinstance(bias, Affine):
        return [made + _like(bias, made).scaled(beta)]
    return [made if bias is None else made.shifted(beta * _row(bias, made))]


def split(node: Operation) -> list[Term]:
    value, sizes = node.value(), node.numbers("split", 1)
    _require_features(node, int(node.attributes.get("axis", 0)))
    if sizes is None:
        each = -(-value.width // node.outputs)
        sizes = [min(each, value.width - number * each) for number in range(node.outputs)]
    starts = np.cumsum([0, *sizes])
    return [node.expressions.columns(value, range(start, start + size)) for start, size in zip(starts, sizes)]


def slice_(node: Operation) -> list[Term]:
    value = node.value()
    starts, ends = node.numbers("starts", 1), node.numbers("ends", 2)
    if starts is None or ends is None:
        raise NotTranslated("it does not say from where to where")
    axes = node.numbers("axes", 3) or list(range(len(starts)))
    leaps = node.numbers("steps", 4) or [1] * len(axes)
    places = list(range(value.width))
    for axis, start, end, leap in zip(axes, starts, ends, leaps):
        if axis in (1, -1):
            places = places[start:end:leap]
        elif (start, leap) != (0, 1) or end < 1 << 30:
            raise NotTranslated("it takes some of the rows")
    return [node.expressions.columns(value, places)]


def concat(node: Operation) -> list[Term]:
    _require_features(node, int(node.attributes["axis"]))
    values = [node.value(place) for place in range(len(node.given))]
    widths = [value.width for value in values]
    whole = Affine({}, np.zeros(sum(widths)))
    for number, value in enumerate(values):
        start = sum(widths[:number])
        place = np.zeros((value.width, sum(widths)))
        place[:, start : start + value.width] = np.eye(value.width)
        whole += value.times(place)
    return [whole]


def reshape(node: Operation) -> list[Term]:
    """To the shape that it has: rows, features."""
    shape = node.numbers("shape", 1)
    if shape is None or len(shape) != 2 or shape[1] not in (-1, 0, node.value().width) or shape[0] == 1:
        raise NotTranslated("it gives it another shape")
    return [node.value()]


def clip(node: Operation) -> list[Term]:
    """As the hard sigmoids of Keras and torch are written."""
    low, high = (_bound(node, name, place) for place, name in enumerate(("min", "max"), start=1))
    value, make = node.value(), node.expressions.applied
    if (low, high) == (0.0, 1.0):
        return [make(Activation(name="hard_sigmoid"), value.shifted(np.array(-0.5)).scaled(5.0))]
    named = {(0.0, 6.0): "relu6", (-1.0, 1.0): "hard_tanh", (0.0, np.inf): "relu"}.get((low, high))
    if named is None:
        raise NotTranslated(f"a clip to [{low:g}, {high:g}] is no cell's")
    return [make(Activation.model_validate({"name": named}), value)]


def bounded(node: Operation) -> list[Term]:
    """Min and Max with one number: half of a clip."""
    numbers = [np.ravel(one) for one in node.given if one is not None and not isinstance(one, Affine)]
    place = next(place for place, one in enumerate(node.given) if isinstance(one, Affine))
    if len(node.given) != 2 or len(numbers) != 1 or len(np.unique(numbers[0])) != 1:
        raise NotTranslated("it compares two things that the step computes")
    value, bound, atom = node.value(place), float(numbers[0][0]), node.value(place).pure
    if node.operator == "Max" and bound == 0:
        if atom is not None and atom.function is not None and atom.function.name == "clipped_affine":
            return [_hard(node.expressions, atom.arguments[0])]
        return [node.expressions.applied(Activation(name="relu"), value)]
    if node.operator == "Min" and atom is not None and atom.function == Activation(name="relu") and bound in (1.0, 6.0):
        if bound == 1.0:
            return [_hard(node.expressions, atom.arguments[0])]
        return [node.expressions.applied(Activation(name="relu6"), atom.arguments[0])]
    raise NotTranslated(f"its bound {bound:g} is no cell's")


def function(node: Operation) -> list[Term]:
    if node.operator == "HardSigmoid":
        alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
        return [_hard(node.expressions, node.value().scaled(alpha).shifted(np.array(beta)))]
    name, default = FUNCTIONS[node.operator]
    alphas = {} if default is None else {"alpha": float(node.attributes.get("alpha", default))}
    return [node.expressions.applied(Activation.model_validate({"name": name, **alphas}), node.value())]


def _hard(expressions: Expressions, argument: Affine) -> Affine:
    """The argument within [0, 1]."""
    return expressions.applied(Activation(name="hard_sigmoid"), argument.shifted(np.array(-0.5)).scaled(5.0))


def _scaled(expressions: Expressions, value: Affine, scale: Array) -> Affine:
    """A sixth of relu6 is a hard sigmoid."""
    atom = value.pure
    if atom is not None and atom.function == Activation(name="relu6") and np.allclose(scale, 1 / 6, rtol=1e-5):
        shifted = atom.arguments[0].shifted(np.array(-3.0))
        return expressions.applied(Activation(name="hard_sigmoid_relu6"), shifted)
    return value.scaled(scale)


def _row(constant: Term | None, value: Affine) -> Array:
    """A constant beside a vector: one number, or one for each of its features."""
    if constant is None or isinstance(constant, Affine) or constant.size not in (1, value.width):
        raise NotTranslated("its constant does not fit what it is joined with")
    if constant.size != 1 and constant.shape[-1] != value.width:
        raise NotTranslated("its constant has numbers of their own for rows")
    return constant.astype(np.float64).ravel() if constant.size != 1 else np.float64(constant.ravel()[0]) * np.ones(1)


def _like(value: Affine, other: Affine) -> Affine:
    if value.width != other.width:
        raise NotTranslated("it joins vectors of different widths")
    return value


def _require_features(node: Operation, axis: int) -> None:
    if axis not in (1, -1):
        raise NotTranslated("it acts on the rows")


def _bound(node: Operation, name: str, place: int) -> float:
    array = node.constant(place)
    if array is not None and array.size:
        return float(np.ravel(array)[0])
    value = float(node.attributes.get(name, -np.inf if name == "min" else np.inf))
    return float(np.sign(value)) * np.inf if abs(value) > 1e38 else value


FUNCTIONS: Final[Mapping[str, tuple[str, float | None]]] = {
    "Sigmoid": ("sigmoid", None), "Tanh": ("tanh", None), "Relu": ("relu", None), "Softsign": ("softsign", None),
    "Softplus": ("softplus", None), "Selu": ("selu", None), "Exp": ("exponential", None), "Elu": ("elu", 1.0),
    "LeakyRelu": ("leaky_relu", 0.01), "Celu": ("celu", 1.0), "Mish": ("mish", None), "HardSigmoid": ("", None),
}  # fmt: skip
OPERATORS: Final[Mapping[str, Callable[[Operation], list[Term]]]] = {
    **dict.fromkeys(("Identity", "Cast", "Dropout"), same),
    **dict.fromkeys(("Add", "Sub"), add),
    **dict.fromkeys(("Mul", "Div"), multiply),
    **dict.fromkeys(("Min", "Max"), bounded),
    **dict.fromkeys(FUNCTIONS, function),
    "Neg": negate,
    "MatMul": matmul,
    "Gemm": gemm,
    "Split": split,
    "Slice": slice_,
    "Concat": concat,
    "Reshape": reshape,
    "Clip": clip,
}
