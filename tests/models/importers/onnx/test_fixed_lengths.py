"""ONNX graphs that run at the one length of their example: parts that know no other, and cells written out step after step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import ModelProto, TensorProto

from cellserve.models import importers
from cellserve.models.description.shapes import required_time_steps
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel
from cellserve.models.measuring.parity import check
from cellserve.models.network import Network
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved
from tests.service.engine.driving import HandDriven, work

Array = npt.NDArray[np.float32]
WIDTH, UNITS, STEPS = 4, 5, 6


def numbers(random: np.random.Generator, *shape: int) -> Array:
    return (random.standard_normal(shape) * 0.4).astype(np.float32)


def attentive() -> ModelProto:
    """Attention between the steps of an LSTM, whose steps are folded by a number that the exporter wrote down."""
    graph, random = OnnxGraph(), np.random.default_rng(1)
    arrays = [graph.constant(numbers(random, 1, 4 * UNITS, n)) for n in (WIDTH, UNITS)]
    y = graph.add("LSTM", [graph.add("Transpose", ["x"], perm=[1, 0, 2]), *arrays], hidden_size=UNITS)
    steps = graph.reshape(graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2]), [-1, STEPS, UNITS])
    scores = graph.add("Softmax", [graph.add("MatMul", [steps, graph.add("Transpose", [steps], perm=[0, 2, 1])])], axis=-1)
    made = graph.add("MatMul", [scores, steps])
    return graph.model({"x": (TensorProto.FLOAT, ["batch", STEPS, WIDTH])}, [made])


def unrolled() -> ModelProto:
    """tanh(x W + h R), once for each step, and the last h behind a matrix."""
    graph, random = OnnxGraph(), np.random.default_rng(2)
    kernel, recurrent, head = (graph.constant(numbers(random, n, m)) for n, m in ((WIDTH, UNITS), (UNITS, UNITS), (UNITS, 2)))
    h = ""
    for step in range(STEPS):
        x = graph.add("Gather", ["x", graph.constant(np.array(step, np.int64))], axis=1)
        total = graph.add("MatMul", [x, kernel])
        h = graph.add("Tanh", [graph.add("Add", [total, graph.add("MatMul", [h, recurrent])]) if h else total])
    return graph.model({"x": (TensorProto.FLOAT, ["batch", STEPS, WIDTH])}, [graph.add("MatMul", [h, head])])


def repeating(steps_read: int | str) -> ModelProto:
    """An autoencoder of Keras: the last state of one LSTM, to every step of another by a Tile of counts written down."""
    graph, random = OnnxGraph(), np.random.default_rng(5)
    first, second = ([graph.constant(numbers(random, 1, 4 * UNITS, n)) for n in (width, UNITS)] for width in (WIDTH, UNITS))
    last = graph.add("LSTM", [graph.add("Transpose", ["x"], perm=[1, 0, 2]), *first], 3, hidden_size=UNITS)[1]
    one = graph.unsqueeze(graph.squeeze(last, [0]), [1])
    steps = graph.add("Tile", [one, graph.constant(np.array([1, STEPS, 1], np.int64))])
    y = graph.add("LSTM", [graph.add("Transpose", [steps], perm=[1, 0, 2]), *second], hidden_size=UNITS)
    made = graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2])
    return graph.model({"x": (TensorProto.FLOAT, ["batch", steps_read, WIDTH])}, [made])


@pytest.mark.parametrize("steps_read", [STEPS, "time"])
def test_what_is_tiled_over_steps_is_repeated(tmp_path: Path, steps_read: int | str) -> None:
    """As often as its input has steps, or as the file says, whatever the input has; the import compares with onnxruntime."""
    imported = importers.load(saved(tmp_path / "model.onnx", repeating(steps_read)))
    assert isinstance(imported, ImportedModel)
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "repeat_vector", "lstm"]
    assert imported.spec.inputs[0].time_steps == (STEPS if steps_read == STEPS else None)


@pytest.mark.parametrize("content", [attentive(), unrolled()], ids=["attentive", "unrolled"])
def test_it_is_served_at_that_length(tmp_path: Path, content: ModelProto) -> None:
    imported = importers.load(saved(tmp_path / "model.onnx", content))
    assert isinstance(imported, ImportedModel)
    assert required_time_steps(imported.spec) == STEPS
    assert any(f"over whole rows of {STEPS} steps" in note for note in imported.notes)
    check(imported.spec, imported.weights)
    x = np.random.default_rng(3).standard_normal((3, STEPS, WIDTH)).astype(np.float32)
    driven = HandDriven(Network(imported.spec, imported.weights))
    ids = [driven.engine.submit(work(row)) for row in x]
    driven.finish()
    (right,) = asked(content, {"x": x})
    for identity, wanted in zip(ids, right, strict=True):
        delivery = driven.box.of(identity)
        assert delivery.error is None
        np.testing.assert_allclose(delivery.outputs[0], wanted, atol=1e-5)


def test_what_is_no_recurrence_is_none_at_one_length_either(tmp_path: Path) -> None:
    """The same matrix twice, but not one behind the other."""
    graph, random = OnnxGraph(), np.random.default_rng(4)
    kernel = graph.constant(numbers(random, WIDTH, 3))
    made = graph.add("Add", [graph.add("MatMul", ["x", kernel]), graph.add("MatMul", [graph.add("Sin", ["x"]), kernel])])
    with pytest.raises(ImportRefused, match="it has no LSTM, GRU or RNN node"):
        importers.load(saved(tmp_path / "m.onnx", graph.model({"x": (TensorProto.FLOAT, ["batch", STEPS, WIDTH])}, [made])))
