"""Keras's masks in ONNX files, as Keras 3's own export and tf2onnx write them: steps that loops pass over.

The files are of Keras 3.15.1 and of tf-keras 2.21 by tf2onnx 1.17, with random weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto

from cellserve.models import importers, reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.measuring.framework_answers import FrameworkAnswers
from cellserve.models.measuring.framework_parity import against_framework
from cellserve.models.measuring.parity import check
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
FILES = Path(__file__).parent / "files"
RANDOM = np.random.default_rng(11)
COUNTING = np.array([[0, 0, 1, 1, 0, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]], bool)
"""Rows that begin with steps that do not count, end with such, have no other, and have none."""


def numbers(*shape: int) -> Array:
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("onnx_keras3_masking_gru", ["masking", "gru"]),
        ("onnx_keras3_masking_zeros", ["masking", "lstm", "dense"]),
        ("onnx_tf2onnx_embedding_bigru", ["embedding", "gru", "last_step", "gru", "last_step", "merge", "dense"]),
    ],
)
def test_what_does_not_count_is_passed_over_as_in_the_file(name: str, kinds: list[str]) -> None:
    """In every implementation, in chunks and in ragged batches, as onnxruntime answers."""
    path = FILES / f"{name}.onnx"
    imported = importers.load(path)
    assert isinstance(imported, ImportedModel)
    assert [layer.kind for layer in imported.spec.layers] == kinds
    entry = imported.spec.inputs[0]
    if entry.kind == "ids":
        x = np.where(COUNTING, RANDOM.integers(1, 11, COUNTING.shape), 0)
        fed: Array = x.astype(np.int32)
    else:
        x = numbers(*COUNTING.shape, entry.width or 1) * COUNTING[..., np.newaxis]
        fed = x
    model = onnx.load(path)
    (expected,) = asked(model, {model.graph.input[0].name: fed})
    theirs = FrameworkAnswers("by hand", (x,), (expected,), (COUNTING.shape[1],) * len(x), time_major=False)
    report = check(imported.spec, imported.weights)
    against_framework(report, imported.spec, imported.weights, (*imported.answers, theirs))


def masked_loop(change: str = "") -> Any:
    """A simple RNN over x [B, T, 4] that passes over steps whose features are all -1, told by a Where; change: what is odd."""
    graph, body = OnnxGraph(17), OnnxGraph(17, prefix="inner")
    same = graph.add("Equal", ["x", graph.constant(np.float32(-1))])
    whole = graph.add("Cast", [same], to=TensorProto.FLOAT)
    axes = graph.constant(np.array([-1], np.int64))
    kept = graph.add("ReduceMin", [whole], axes=[2], keepdims=1) if change != "count" else graph.add("ReduceSum", [whole, axes])
    x, mask = (graph.add("Transpose", [one], perm=[1, 0, 2]) for one in ("x", graph.add("Cast", [kept], to=TensorProto.BOOL)))
    shape = graph.add("Shape", ["x"])
    rows, steps = (graph.add("Gather", [shape, graph.constant(np.array(at, np.int64))]) for at in (0, 1))
    zeros = graph.add(
        "ConstantOfShape", [graph.add("Concat", [graph.unsqueeze(rows, [0]), graph.constant(np.array([5], np.int64))], axis=0)]
    )
    step, left_out = (body.add("Gather", [one, "counter"], axis=0) for one in (x, mask))
    product = body.add(
        "Add", [*(body.add("MatMul", [one, body.constant(numbers(size, 5))]) for one, size in ((step, 4), ("h", 5)))]
    )
    after = body.add("Tanh", [product])
    new = body.add("Where", [left_out, body.constant(np.zeros((1, 1), np.float32)) if change == "forgets" else "h", after])
    shown = body.add("Add", [new, new]) if change == "doubles" else body.add("Identity", [new])
    more = body.add("Identity", ["go"])
    inner = body.model(
        {"counter": (TensorProto.INT64, []), "go": (TensorProto.BOOL, []), "h": (TensorProto.FLOAT, [None, 5])},
        [more, new, shown],
    ).graph
    inner.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    _, sequence = graph.add("Loop", [steps, graph.constant(np.array(True)), zeros], 2, body=inner)
    return graph.model({"x": (TensorProto.FLOAT, ["batch", "time", 4])}, [graph.add("Transpose", [sequence], perm=[1, 0, 2])])


def test_a_mask_that_a_where_tells(tmp_path: Path) -> None:
    """x itself is fed on, so the Masking layer is put before the loop."""
    model = masked_loop()
    spec = (imported := importers.load(saved(tmp_path / "m.onnx", model))).spec
    assert [layer.kind for layer in spec.layers] == ["masking", "simple_rnn"]
    x = np.where(COUNTING[..., np.newaxis], numbers(*COUNTING.shape, 4), np.float32(-1))
    (made,), _ = reference.run(spec, imported.weights.arrays, (x,), [COUNTING.shape[1]] * len(x))
    np.testing.assert_allclose(made, asked(model, {"x": x})[0], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("forgets", "a step that does not count changes its state"),
        ("doubles", "collects something else than its state|neither what it showed last nor zeros"),
        ("count", "it asks something else of which steps count"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, change: str, words: str) -> None:
    with pytest.raises(ImportRefused, match=words):
        importers.load(saved(tmp_path / "m.onnx", masked_loop(change)))


def test_a_recurrent_node_beside_a_mask_does_not_heed_it(tmp_path: Path) -> None:
    """A node computes at every step, those that were multiplied by 0 too."""
    graph = OnnxGraph(17)
    other = graph.add("Not", [graph.add("Equal", ["x", graph.constant(np.float32(0))])])
    counted = graph.add("ReduceSum", [graph.add("Cast", [other], to=TensorProto.FLOAT), graph.constant(np.array([2], np.int64))])
    mask = graph.add("Greater", [counted, graph.constant(np.float32(0))])
    x = graph.add("Mul", ["x", graph.add("Cast", [mask], to=TensorProto.FLOAT)])
    weights = [graph.constant(numbers(1, 20, size)) for size in (4, 5)]
    bias = graph.constant(numbers(1, 40))
    y = graph.add("LSTM", [graph.add("Transpose", [x], perm=[1, 0, 2]), *weights, bias], hidden_size=5)
    made = graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2])
    spec = importers.load(saved(tmp_path / "m.onnx", graph.model({"x": (TensorProto.FLOAT, ["b", "t", 4])}, [made]))).spec
    assert [getattr(layer, "mask_rule", None) for layer in spec.layers] == [None, "ignore"]
