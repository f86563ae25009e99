"""Quantised ONNX files, as onnxruntime's tools write them: refused with the way out, served in float32 where that is asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from cellserve.models import importers, reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.isolated import load_isolated
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
FILES = Path(__file__).parent / "files"
RANDOM = np.random.default_rng(9)
WIDTH, UNITS = 6, 8
NEAR = 0.05  # of a few bits; another network lies farther


def numbers(*shape: int) -> Array:
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def whole(tmp_path: Path, *, ids: bool = False) -> Path:
    """An embedding or a convolution, an LSTM of two directions, and a product: in float32."""
    graph = OnnxGraph(opset=17)
    if ids:
        x = graph.add("Gather", [graph.constant(numbers(11, WIDTH)), "x"])
    else:
        turned = graph.add("Transpose", ["x"], perm=[0, 2, 1])
        made = graph.add("Conv", [turned, graph.constant(numbers(WIDTH, WIDTH, 3)), graph.constant(numbers(WIDTH))], pads=[1, 1])
        x = graph.add("Transpose", [graph.add("Relu", [made])], perm=[0, 2, 1])
    sizes = (2, 4 * UNITS, WIDTH), (2, 4 * UNITS, UNITS), (2, 8 * UNITS)
    arrays = [graph.constant(numbers(*size)) for size in sizes]
    y = graph.add("LSTM", [graph.add("Transpose", [x], perm=[1, 0, 2]), *arrays], hidden_size=UNITS, direction="bidirectional")
    steps = graph.reshape(graph.add("Transpose", [y], perm=[2, 0, 1, 3]), [0, 0, -1])
    made = graph.add("MatMul", [steps, graph.constant(numbers(2 * UNITS, 3))])
    made = graph.add("Add", [made, graph.constant(numbers(3))])
    given: Any = (TensorProto.INT64, ["batch", "time"]) if ids else (TensorProto.FLOAT, ["batch", "time", WIDTH])
    return saved(tmp_path / "whole.onnx", graph.model({"x": given}, [made]))


class Examples(CalibrationDataReader):
    def __init__(self) -> None:
        self.left: Iterator[dict[str, Array]] = iter([{"x": RANDOM.standard_normal((2, 5, WIDTH)).astype(np.float32)}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.left, None)


def quantised(tmp_path: Path, form: str) -> tuple[Path, Path]:
    """(the file in float32, the same in a few bits)."""
    logging.disable(logging.WARNING)
    try:
        path, made = whole(tmp_path, ids="ids" in form), tmp_path / "few_bits.onnx"
        kind = QuantType.QUInt8 if "unsigned" in form else QuantType.QInt8
        if "dynamic" in form:
            quantize_dynamic(path, made, weight_type=kind, per_channel="channel" in form)
        else:
            style = QuantFormat.QDQ if "qdq" in form else QuantFormat.QOperator
            quantize_static(path, made, Examples(), quant_format=style, weight_type=kind, per_channel="channel" in form)
    finally:
        logging.disable(logging.NOTSET)
    return path, made


FORMS = ["dynamic", "dynamic unsigned", "dynamic channel", "dynamic ids", "static qdq", "static qdq channel", "static operators"]


@pytest.mark.parametrize("form", FORMS)
def test_its_weights_are_dequantised_where_that_is_asked(tmp_path: Path, form: str) -> None:
    path, few_bits = quantised(tmp_path, form)
    with pytest.raises(ImportRefused, match="import it with --dequantize, which takes its weights in float32"):
        importers.load(few_bits)
    imported, before = importers.load(few_bits, dequantize=True), importers.load(path)
    assert imported.notes[0].startswith("Its weights are dequantised and everything is computed in float32")
    assert [layer.kind for layer in imported.spec.layers] == [layer.kind for layer in before.spec.layers]
    x = RANDOM.integers(0, 11, (2, 5)) if "ids" in form else RANDOM.standard_normal((2, 5, WIDTH)).astype(np.float32)
    found, wanted = (reference.run(one.spec, one.weights.arrays, (x,), [5, 5])[0][0] for one in (imported, before))
    np.testing.assert_allclose(found, wanted, atol=NEAR)
    assert np.abs(found - wanted).max() > 0


def test_how_far_it_lies_from_the_files_own_answers_is_measured(tmp_path: Path) -> None:
    imported = load_isolated(FILES / "onnx_quant_dynamic_lstm2.onnx", dequantize=True)
    told = imported.notes[0].partition("answers up to ")[2].partition(" otherwise")[0]
    assert 0 < float(told) < NEAR


def test_the_description_says_it_too(tmp_path: Path) -> None:
    description = tmp_path / "description.yaml"
    description.write_text("dequantize: true\n")
    imported = importers.load(FILES / "onnx_quant_dynamic_lstm2.onnx", description=description)
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "lstm", "last_step", "dense"]


def test_of_a_file_in_float32_it_says_that_there_was_nothing_to_do(tmp_path: Path) -> None:
    imported = importers.load(whole(tmp_path), dequantize=True)
    assert imported.notes == ("Nothing in the file is quantised: there was nothing to dequantise.",)


def test_weights_that_are_stored_in_few_bits_alone_need_no_option(tmp_path: Path) -> None:
    """They are constants like any others, and the activations are not touched."""
    graph = OnnxGraph(opset=17)
    whole_numbers = [
        RANDOM.integers(-127, 127, shape).astype(np.int8) for shape in ((1, 4 * UNITS, WIDTH), (1, 4 * UNITS, UNITS))
    ]
    arrays = [
        graph.add("DequantizeLinear", [graph.constant(array), graph.constant(np.array(0.01, np.float32))])
        for array in whole_numbers
    ]
    y = graph.add("LSTM", [graph.add("Transpose", ["x"], perm=[1, 0, 2]), *arrays], hidden_size=UNITS)
    made = graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2])
    model = graph.model({"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}, [made])
    imported = importers.load(saved(tmp_path / "stored.onnx", model))
    x = RANDOM.standard_normal((2, 5, WIDTH)).astype(np.float32)
    outputs, _ = reference.run(imported.spec, imported.weights.arrays, (x,), [5, 5])
    np.testing.assert_allclose(outputs[0], asked(model, {"x": x})[0], atol=2e-6, rtol=1e-5)


def test_products_with_their_scales_in_one_node(tmp_path: Path) -> None:
    """com.microsoft's, as onnxruntime's optimizer leaves them."""
    graph = OnnxGraph(opset=17)
    arrays = [graph.constant(array) for array in (numbers(1, 4 * UNITS, WIDTH), numbers(1, 4 * UNITS, UNITS))]
    y = graph.add("LSTM", [graph.add("Transpose", ["x"], perm=[1, 0, 2]), *arrays], hidden_size=UNITS)
    steps = graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2])
    matrix, scale = RANDOM.integers(0, 255, (UNITS, 3)).astype(np.uint8), np.array(0.01, np.float32)
    given = [graph.constant(matrix), graph.constant(scale), graph.constant(np.array(120, np.uint8)), graph.constant(numbers(3))]
    made = graph.add("DynamicQuantizeMatMul", [steps, *given], domain="com.microsoft")
    model = graph.model({"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}, [made])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    imported = importers.load(saved(tmp_path / "one_node.onnx", model), dequantize=True)
    x = RANDOM.standard_normal((1, 5, WIDTH)).astype(np.float32)
    outputs, _ = reference.run(imported.spec, imported.weights.arrays, (x,), [5])
    np.testing.assert_allclose(outputs[0], asked(model, {"x": x})[0], atol=NEAR)


@pytest.mark.parametrize("rounding", ["Floor", "Round"])
def test_a_bias_in_steps_of_a_scale_that_each_call_has_anew(tmp_path: Path, rounding: str) -> None:
    """As onnxruntime's older tools wrote convolutions: divided by both scales, made whole and added to whole numbers."""
    kernel, bias = RANDOM.integers(-90, 90, (WIDTH, WIDTH, 3)), numbers(WIDTH)
    weight_scale = np.float32(0.01)
    graph = OnnxGraph(opset=12)
    turned = graph.add("Transpose", ["x"], perm=[0, 2, 1])
    few_bits, scale, zero = graph.add("DynamicQuantizeLinear", [turned], 3)
    both = graph.add("Mul", [scale, graph.constant(weight_scale)])
    steps = graph.add(rounding, [graph.add("Div", [graph.constant(bias), both])])
    steps = graph.reshape(graph.add("Cast", [steps], to=TensorProto.INT32), [1, -1, 1])
    arrays = [graph.constant(kernel.astype(np.int8)), zero, graph.constant(np.int8(0))]
    product = graph.add("ConvInteger", [few_bits, *arrays], pads=[1, 1], kernel_shape=[3])
    made = graph.add("Mul", [graph.add("Cast", [graph.add("Add", [product, steps])], to=TensorProto.FLOAT), both])
    weights = [graph.constant(numbers(1, 4 * UNITS, size)) for size in (WIDTH, UNITS)]
    y = graph.squeeze(graph.add("LSTM", [graph.add("Transpose", [made], perm=[2, 0, 1]), *weights], hidden_size=UNITS), [1])
    model = graph.model({"x": (TensorProto.FLOAT, ["b", "t", WIDTH])}, [graph.add("Transpose", [y], perm=[1, 0, 2])])
    imported = importers.load(saved(tmp_path / "few_bits.onnx", model), dequantize=True)
    conv = imported.spec.layers[0]
    assert [layer.kind for layer in imported.spec.layers] == ["conv1d", "lstm"]
    np.testing.assert_allclose(imported.weights.arrays[f"{conv.name}.bias"], bias, rtol=1e-6)
    x = RANDOM.standard_normal((1, 5, WIDTH)).astype(np.float32)
    (found,), _ = reference.run(imported.spec, imported.weights.arrays, (x,), [5])
    np.testing.assert_allclose(found, asked(model, {"x": x})[0], atol=NEAR)


def test_another_quantised_operator_is_refused_by_name(tmp_path: Path) -> None:
    graph = OnnxGraph(opset=17)
    arrays = [graph.constant(array) for array in (numbers(1, 4 * UNITS, WIDTH), numbers(1, 4 * UNITS, UNITS))]
    y = graph.add("LSTM", [graph.add("Transpose", ["x"], perm=[1, 0, 2]), *arrays], hidden_size=UNITS)
    made = graph.add("QAttention", [y], domain="com.microsoft")
    model = graph.model({"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}, [made])
    with pytest.raises(ImportRefused, match="QAttention"):
        importers.load(saved(tmp_path / "other.onnx", model), dequantize=True)
