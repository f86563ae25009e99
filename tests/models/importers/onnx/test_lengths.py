"""What ONNX files do with the lengths of their rows beside telling a recurrent node: sorting, the last step, masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto

from cellserve.models import importers, reference
from cellserve.models.importers import ImportedModel
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
WIDTH, UNITS = 4, 5
LENGTHS = np.array([3, 8, 5], np.int64)
INPUTS = {"x": (TensorProto.FLOAT, ["batch", "time", WIDTH]), "lengths": (TensorProto.INT64, ["batch"])}


def whole(graph: OnnxGraph, *values: int) -> str:
    return graph.constant(np.array(values, np.int64))


def scalar(graph: OnnxGraph, value: int) -> str:
    return graph.constant(np.array(value, np.int64))


def recurrent(graph: OnnxGraph, x: str, lengths: str = "", direction: str = "forward") -> str:
    """[B, T, F] to [B, T, D * H]."""
    random, sides = np.random.default_rng(1), 2 if direction == "bidirectional" else 1
    shapes = ((sides, 4 * UNITS, WIDTH), (sides, 4 * UNITS, UNITS), (sides, 8 * UNITS))
    arrays = [graph.constant((random.standard_normal(shape) * 0.4).astype(np.float32)) for shape in shapes]
    turned = graph.add("Transpose", [x], perm=[1, 0, 2])
    made = graph.add("LSTM", [turned, *arrays, lengths], hidden_size=UNITS, direction=direction)
    return graph.reshape(graph.add("Transpose", [made], perm=[2, 0, 1, 3]), [0, 0, -1])


def sizes(graph: OnnxGraph, x: str, axis: int) -> str:
    return str(graph.add("Gather", [graph.add("Shape", [x]), scalar(graph, axis)], axis=0))


def counting(graph: OnnxGraph, x: str, axis: int) -> str:
    return str(graph.add("Range", [scalar(graph, 0), sizes(graph, x, axis), scalar(graph, 1)]))


def packed(graph: OnnxGraph) -> str:
    """As torch packs rows that are in no order: sorted by their lengths, and put back."""
    count = graph.add("Shape", ["lengths"])
    sorted_lengths, order = graph.add("TopK", ["lengths", count], 2, axis=-1)
    in_order = graph.add("Gather", ["x", order], axis=0)
    y = recurrent(graph, in_order, graph.add("Cast", [sorted_lengths], to=TensorProto.INT32))
    zeros = graph.add("Sub", [order, order])
    back = graph.add("ScatterElements", [zeros, order, counting(graph, "lengths", 0)], axis=0)
    return str(graph.add("Gather", [y, back], axis=0))


def own_last(graph: OnnxGraph, y: str) -> str:
    return str(graph.add("Sub", ["lengths", scalar(graph, 1)]))


def by_elements(graph: OnnxGraph) -> str:
    y = recurrent(graph, "x")
    numbers = graph.reshape(own_last(graph, y), [-1, 1, 1])
    shape = graph.add("Concat", [whole(graph, -1, 1), graph.unsqueeze(sizes(graph, y, 2), [0])], axis=0)
    one = graph.add("Max", [shape, whole(graph, 1, 1, 1)])
    return graph.squeeze(graph.add("GatherElements", [y, graph.add("Expand", [numbers, one])], axis=1), [1])


def by_pairs(graph: OnnxGraph) -> str:
    y = recurrent(graph, "x")
    columns = [graph.unsqueeze(one, [1]) for one in (counting(graph, y, 0), own_last(graph, y))]
    return str(graph.add("GatherND", [y, graph.add("Concat", columns, axis=1)]))


def by_folded_rows(graph: OnnxGraph) -> str:
    y = recurrent(graph, "x")
    firsts = graph.add("Mul", [counting(graph, y, 0), sizes(graph, y, 1)])
    return str(graph.add("Gather", [graph.add("Flatten", [y], axis=2), graph.add("Add", [own_last(graph, y), firsts])], axis=0))


def mask(graph: OnnxGraph, y: str) -> str:
    """[B, T, 1]."""
    steps = graph.unsqueeze(counting(graph, y, 1), [0])
    return graph.unsqueeze(str(graph.add("Less", [steps, graph.unsqueeze("lengths", [1])])), [2])


def masked_mean(graph: OnnxGraph) -> str:
    y = recurrent(graph, "x")
    kept = graph.add("Mul", [y, graph.add("Cast", [mask(graph, y)], to=TensorProto.FLOAT)])
    total = graph.add("ReduceSum", [kept, whole(graph, 1)], keepdims=0)
    return str(graph.add("Div", [total, graph.unsqueeze(graph.add("Cast", ["lengths"], to=TensorProto.FLOAT), [1])]))


def masked_maximum(graph: OnnxGraph) -> str:
    y = recurrent(graph, "x")
    low = graph.constant(np.array(-1e9, np.float32))
    return str(graph.add("ReduceMax", [graph.add("Where", [mask(graph, y), y, low])], axes=[1], keepdims=0))


FORMS = (packed, by_elements, by_pairs, by_folded_rows, masked_mean, masked_maximum)


def imported_and_answered(tmp_path: Path, form: Callable[[OnnxGraph], str]) -> tuple[ImportedModel, list[Array], Array]:
    """(the import, our rows, onnxruntime's answer to all rows in one padded call)."""
    graph = OnnxGraph(17)
    content = graph.model(INPUTS, [form(graph)])
    imported = importers.load(saved(tmp_path / "model.onnx", content))
    assert isinstance(imported, ImportedModel)
    x = np.random.default_rng(2).standard_normal((len(LENGTHS), max(LENGTHS), WIDTH)).astype(np.float32)
    (theirs,) = asked(content, {"x": x, "lengths": LENGTHS})
    outputs, _ = reference.run(imported.spec, imported.weights.arrays, (x,), list(LENGTHS))
    return imported, list(outputs[0]), theirs


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_row_is_answered_as_the_file_answers_it_among_padded_ones(tmp_path: Path, form: Callable[[OnnxGraph], str]) -> None:
    imported, ours, theirs = imported_and_answered(tmp_path, form)
    assert not any("carried" in layer.kind for layer in imported.spec.layers)
    assert "The graph's input lengths is the rows' own lengths, which every request tells." in imported.notes
    for row, length in enumerate(LENGTHS):
        steps = slice(length if form is packed else None)
        np.testing.assert_allclose(ours[row][steps], theirs[row][steps], atol=1e-5)


def test_padding_that_changes_a_row_is_told(tmp_path: Path) -> None:
    """A layer that reads rows from their end, and is not told where that is."""

    def leaking(graph: OnnxGraph) -> str:
        y = recurrent(graph, "x", direction="bidirectional")
        columns = [graph.unsqueeze(one, [1]) for one in (counting(graph, y, 0), own_last(graph, y))]
        return str(graph.add("GatherND", [y, graph.add("Concat", columns, axis=1)]))

    imported, ours, theirs = imported_and_answered(tmp_path, leaking)
    assert np.abs(ours[0] - theirs[0]).max() > 1e-3
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-5)  # the longest, which has none
    assert any("as the file answers it alone, without padding" in note for note in imported.notes)


def test_ids_of_one_axis_are_no_lengths(tmp_path: Path) -> None:
    graph = OnnxGraph(17)
    table = graph.constant(np.random.default_rng(3).standard_normal((9, WIDTH)).astype(np.float32))
    embedded = graph.add("Gather", [table, graph.add("Cast", ["ids"], to=TensorProto.INT64)], axis=0)
    made = recurrent(graph, graph.add("Add", [graph.unsqueeze(embedded, [0]), "x"]))
    inputs = {"x": (TensorProto.FLOAT, [1, "time", WIDTH]), "ids": (TensorProto.INT32, ["time"])}
    imported = importers.load(saved(tmp_path / "model.onnx", graph.model(inputs, [made])))
    assert [entry.kind for entry in imported.spec.inputs] == ["features", "ids"]
