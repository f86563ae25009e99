"""Each operator that computes in few bits as nodes that compute the same in float32. Knows no graphs.

Quantising and dequantising are nothing, and products of whole numbers are products. A relu that the quantiser left to the range
of what it stores, which then begins at zero, comes back; other ranges were measured on examples, and are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from cellserve.models.importers.onnx.quantization.meaning import KEPT, Meaning

Array = npt.NDArray[Any]


def _quantize(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    if graph.known(node.input[0]) is not None:
        yield node
    else:
        cut = graph.begins_at_zero(node, 2) and not graph.never_negative(node.input[0])
        operator = "Relu" if cut else "Identity"
        yield helper.make_node(operator, node.input[:1], node.output[:1], name=node.name)


def _quantize_dynamically(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    """Its scale is 1, its zero point 0."""
    yield helper.make_node("Identity", node.input[:1], node.output[:1], name=node.name)
    for place, value in ((1, 1.0), (2, 0.0)):
        if place < len(node.output) and node.output[place]:
            yield helper.make_node("Identity", [graph.constant(np.array(value))], [node.output[place]])


def _dequantize(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    name = node.input[0]
    scale, zero = graph.number(node, 1), graph.number(node, 2, 0.0)
    if (array := graph.known(name)) is not None:
        yield helper.make_node(
            "Identity", [graph.constant(_meant(graph, node, array, scale, zero))], list(node.output), name=node.name
        )
        return
    maker, read = graph.source(name)
    if maker.op_type == "QuantizeLinear" and graph.known(read) is None:
        if not np.array_equal(scale, graph.number(maker, 1)):
            raise graph.refused(node, "what it reads was quantised with another scale")
    elif maker.op_type in KEPT and (table := graph.known(read)) is not None:
        maker.input[0] = _table(graph, node, read, table, scale, zero)
    elif maker.op_type not in REWRITES:
        raise graph.refused(node, f"it reads what {maker.op_type} makes of whole numbers")
    yield helper.make_node("Identity", [name], list(node.output), name=node.name)


def _rounded(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    """A bias in steps of the scale of this call, which is 1 here, and those steps would be far too long."""
    yield helper.make_node("Identity", node.input[:1], node.output[:1]) if graph.counts_steps(node) else node


def _cast(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    """To whole numbers, of such a bias."""
    made = graph.made.get(node.input[0])
    steps = made is not None and made.op_type in ROUNDING and graph.counts_steps(made)
    yield helper.make_node("Identity", node.input[:1], node.output[:1]) if steps else node


def _meant(graph: Meaning, node: NodeProto, array: Array, scale: Array, zero: Array) -> Array:
    said = {attribute.name: attribute.i for attribute in node.attribute}
    if said.get("block_size"):
        raise graph.refused(node, "its scales are those of blocks")
    axis = said.get("axis", 1)
    wide = [
        one.reshape([-1 if place == axis % array.ndim else 1 for place in range(array.ndim)])
        if one.size > 1
        else one.reshape(-1)[:1]
        for one in (scale, zero)
    ]
    return ((array.astype(np.float64) - wide[1].astype(np.float64)) * wide[0]).reshape(array.shape)


def _table(graph: Meaning, node: NodeProto, name: str, table: Array, scale: Array, zero: Array) -> str:
    """What numbers are looked up or cut out of, in float32: the constant that stands for it, by whoever reads it first."""
    if scale.size != 1 or zero.size != 1:
        raise graph.refused(node, "it has several scales for what is taken out of a table")
    numbers = (float(scale.item()), float(zero.item()))
    if graph.tables.get(name, numbers) != numbers:
        raise graph.refused(node, "what it reads is dequantised with another scale elsewhere")
    if name in graph.tables:
        return name
    made = graph.constant((table.astype(np.float32) - np.float32(numbers[1])) * np.float32(numbers[0]))
    graph.tables[made] = numbers
    return made


def _matmul_integer(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    left, right = node.input[:2]
    if graph.known(right) is not None:
        array = graph.weights(node, 1, np.array(1.0), graph.number(node, 3, 0.0))
        left = yield from _whole(graph, left)
        yield helper.make_node("MatMul", [left, graph.constant(array)], node.output, name=node.name)
    else:
        zero = graph.number(node, 2, 0.0)
        array = graph.weights(node, 0, np.array(1.0), zero[:, np.newaxis] if zero.ndim == 1 and zero.size > 1 else zero)
        right = yield from _whole(graph, right)
        yield helper.make_node("MatMul", [graph.constant(array), right], node.output, name=node.name)


def _whole(graph: Meaning, name: str) -> Any:
    """The numbers over the scale that a static quantisation had, since a product with it follows."""
    if (scale := graph.scale_of(name)) is None:
        return name
    made = f"{graph.constant(1 / scale)}::of"
    yield helper.make_node("Mul", [name, made.removesuffix("::of")], [made])
    return made


def _conv_integer(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    zero = graph.number(node, 3, 0.0)
    array = graph.weights(node, 1, np.array(1.0), _per_channel(zero, graph.number(node, 1).ndim))
    read = yield from _whole(graph, node.input[0])
    yield _like(node, "Conv", [read, graph.constant(array)])


def _qlinear_conv(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    scale, rank = graph.number(node, 4), graph.number(node, 3).ndim
    array = graph.weights(node, 3, _per_channel(scale, rank), _per_channel(graph.number(node, 5, 0.0), rank))
    inputs = [node.input[0], graph.constant(array)]
    if len(node.input) > 8 and node.input[8]:
        inputs.append(graph.constant(graph.number(node, 8).astype(np.float64) * graph.number(node, 1) * scale))
    yield from graph.stored(node, _like(node, "Conv", inputs), 7)


def _qlinear_matmul(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    array = graph.weights(node, 3, graph.number(node, 4), graph.number(node, 5, 0.0))
    made = helper.make_node("MatMul", [graph.operand(node, 0), graph.constant(array)], node.output, name=node.name)
    yield from graph.stored(node, made, 7)


def _of_two(operator: str) -> Callable[[Meaning, NodeProto], Iterator[NodeProto]]:
    """com.microsoft's QLinearAdd and QLinearMul: A and B, each with its scale and zero point."""

    def rewrite(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
        both = [graph.operand(node, place) for place in (0, 3)]
        yield from graph.stored(node, helper.make_node(operator, both, list(node.output), name=node.name), 7)

    return rewrite


def _of_one(operator: str) -> Callable[[Meaning, NodeProto], Iterator[NodeProto]]:
    """com.microsoft's QLinearSigmoid and its like: X with its scale and zero point, those of the result, attributes."""

    def rewrite(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
        yield _like(node, operator, [graph.operand(node, 0)])

    return rewrite


def _gemm(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    """com.microsoft's QGemm: A and B with their scales and zero points, and a bias in steps of both scales."""
    scale = graph.number(node, 4)
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    wide = [array[:, np.newaxis] if turned and array.ndim else array for array in (scale, graph.number(node, 5, 0.0))]
    inputs = [graph.operand(node, 0), graph.constant(graph.weights(node, 3, *wide))]
    if len(node.input) > 6 and node.input[6]:
        inputs.append(graph.constant(graph.number(node, 6).astype(np.float64) * graph.number(node, 1) * scale))
    made = _like(node, "Gemm", inputs)
    yield from graph.stored(node, made, 8) if len(node.input) > 7 and node.input[7] else [made]


def _dynamic_matmul(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    """com.microsoft's DynamicQuantizeMatMul: A, B, its scale, its zero point, bias."""
    array = graph.weights(node, 1, graph.number(node, 2), graph.number(node, 3, 0.0))
    yield from _with_bias(graph, node, array, 4)


def _matmul_to_float(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    """com.microsoft's MatMulIntegerToFloat: A, B, their scales, their zero points, bias."""
    array = graph.weights(node, 1, graph.number(node, 3), graph.number(node, 5, 0.0))
    yield from _with_bias(graph, node, array, 6)


def _with_bias(graph: Meaning, node: NodeProto, array: Array, place: int) -> Iterator[NodeProto]:
    bias = node.input[place] if place < len(node.input) else ""
    product = f"{node.output[0]}::product" if bias else node.output[0]
    yield helper.make_node("MatMul", [node.input[0], graph.constant(array)], [product], name=node.name)
    if bias:
        yield helper.make_node("Add", [product, bias], list(node.output), name=f"{node.name}_bias" if node.name else "")


def _lstm(graph: Meaning, node: NodeProto) -> Iterator[NodeProto]:
    """com.microsoft's DynamicQuantizeLSTM: as LSTM, with W and R [D, inputs, 4 units] and then their scales and zero points."""
    inputs = [*node.input, *[""] * (12 - len(node.input))]
    for place, scale_place in ((1, 8), (2, 10)):
        scale, zero = graph.number(node, scale_place), graph.number(node, scale_place + 1, 0.0)
        array = graph.weights(node, place, _per_direction(scale), _per_direction(zero))
        inputs[place] = graph.constant(array.transpose(0, 2, 1))
    yield _like(node, "LSTM", inputs[:8])


def _per_direction(array: Array) -> Array:
    """[D] or [D, 4 units], beside [D, inputs, 4 units]."""
    return array.reshape(len(array), 1, -1) if array.ndim else array


def _per_channel(array: Array, rank: int) -> Array:
    return array.reshape(-1, *(1,) * (rank - 1)) if array.ndim == 1 and array.size > 1 else array


def _like(node: NodeProto, operator: str, inputs: Sequence[str]) -> NodeProto:
    made = helper.make_node(operator, list(inputs), list(node.output), name=node.name)
    made.attribute.extend(node.attribute)
    return made


ROUNDING: Final = ("Floor", "Round")
REWRITES: Final[Mapping[str, Callable[[Meaning, NodeProto], Iterator[NodeProto]]]] = {
    "QuantizeLinear": _quantize,
    **dict.fromkeys(ROUNDING, _rounded),
    "Cast": _cast,
    "DynamicQuantizeLinear": _quantize_dynamically,
    "DequantizeLinear": _dequantize,
    "MatMulInteger": _matmul_integer,
    "ConvInteger": _conv_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulIntegerToFloat": _matmul_to_float,
    "DynamicQuantizeLSTM": _lstm,
    "QLinearAdd": _of_two("Add"),
    "QLinearMul": _of_two("Mul"),
    "QLinearSigmoid": _of_one("Sigmoid"),
    "QLinearLeakyRelu": _of_one("LeakyRelu"),
    "QGemm": _gemm,
}
