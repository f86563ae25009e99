"""Graphs that begin their states anew in every call, fed piece by piece all the same: what is opened, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import ModelProto, TensorProto

from cellserve.models import importers
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedStepModel
from cellserve.models.measuring.gate import check
from cellserve.models.steps.network import StepNetwork
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
WIDTH, UNITS = 3, 4
BOUND = {"rtol": 1e-5, "atol": 2e-6}
Between = Callable[[OnnxGraph, str], str]
"""(graph, a tensor [B, UNITS, T]) -> one of the same shape."""


def numbers(*shape: int) -> Array:
    return (np.random.default_rng(sum(shape)).standard_normal(shape) * 0.4).astype(np.float32)


def padded(graph: OnnxGraph, x: str, before: int, behind: int = 0, mode: str = "constant", value: float = 0.0) -> str:
    """x: [B, F, T]."""
    pads = [0, 0, before, 0, 0, behind]
    if graph.opset < 11:
        return str(graph.add("Pad", [x], pads=pads, mode=mode, value=value))
    return str(graph.add("Pad", [x, graph.constant(np.array(pads, np.int64)), graph.constant(np.float32(value))], mode=mode))


def denoiser(between: Between, *, opset: int = 17, rows: str | int = "batch", first: str = "zeros") -> ModelProto:
    """Causal windows, a GRU and an LSTM, causal windows again; x [rows, WIDTH, time], y [rows, UNITS, time]."""
    graph = OnnxGraph(opset)
    x = graph.add("Conv", [padded(graph, "x", 2, value=0.5), graph.constant(numbers(UNITS, WIDTH, 3))])
    x = graph.add("Transpose", [between(graph, x)], perm=[2, 0, 1])
    gru = [graph.constant(numbers(1, 3 * UNITS, UNITS)) for _ in range(2)]
    start = {"zeros": "", "fed": "first"}[first]
    if start:
        graph.nodes.append(graph_first(graph))
    x = graph.squeeze(graph.add("GRU", [x, *gru, "", "", start], hidden_size=UNITS), [1])
    lstm = [graph.constant(numbers(1, 4 * UNITS, UNITS)) for _ in range(2)]
    made, hn, _ = graph.add("LSTM", [x, *lstm], 3, hidden_size=UNITS)
    x = graph.add("Transpose", [graph.squeeze(made, [1])], perm=[1, 2, 0])
    y = graph.add("Conv", [x, graph.constant(numbers(UNITS, UNITS, 2))], pads=[1, 0])
    return graph.model({"x": (TensorProto.FLOAT, [rows, WIDTH, "time"])}, [y, hn])


def graph_first(graph: OnnxGraph) -> Any:
    """A first state that is made of what is fed."""
    mean = graph.add("Concat", [graph.add("ReduceMean", ["x"], axes=[2], keepdims=0), graph.constant(numbers(1, 1))], axis=1)
    graph.add("Unsqueeze", [mean, graph.constant(np.array([0], np.int64))])
    made = graph.nodes.pop()
    made.output[0] = "first"
    return made


def same(graph: OnnxGraph, x: str) -> str:
    return str(graph.add("Relu", [x]))


def loaded(folder: Path, model: ModelProto) -> ImportedStepModel:
    said = folder / "description.yaml"
    said.write_text("step: true")
    found = importers.load(saved(folder / "model.onnx", model), description=said)
    assert isinstance(found, ImportedStepModel)
    return found


@pytest.mark.parametrize("opset", [9, 17])
@pytest.mark.parametrize("rows", ["batch", 1])
def test_fed_in_pieces_it_answers_as_the_file_on_the_whole(tmp_path: Path, opset: int, rows: str | int) -> None:
    model = denoiser(same, opset=opset, rows=rows)
    imported = loaded(tmp_path, model)
    check(imported.spec, imported.weights)
    assert [state.name for state in imported.spec.states] == ["past0", "h0", "h1", "c0", "past1"]
    assert "they are opened (past0, h0, h1, c0, past1)" in imported.notes[0]
    heard = numbers(2, 9, WIDTH)
    network = StepNetwork(imported.spec, imported.weights)
    states, pieces, ends = network.state_layout.first_rows(2), [], []
    for start, stop in ((0, 1), (1, 5), (5, 7), (7, 9)):
        answers, states = network.advance([[row[start:stop]] for row in heard], states)
        pieces.append([answer[0] for answer in answers])
        ends = [answer[1] for answer in answers]
    for row, fed in enumerate(heard):
        y, hn = asked(model, {"x": fed.T[np.newaxis]})
        np.testing.assert_allclose(np.concatenate([piece[row] for piece in pieces]), y[0].T, **BOUND)
        np.testing.assert_allclose(np.ravel(ends[row]), hn.ravel(), **BOUND)


def test_without_the_word_it_is_layers(tmp_path: Path) -> None:
    assert not isinstance(importers.load(saved(tmp_path / "model.onnx", denoiser(same))), ImportedStepModel)


def ahead(graph: OnnxGraph, x: str) -> str:
    return str(graph.add("Conv", [x, graph.constant(numbers(UNITS, UNITS, 3))], pads=[1, 1]))


def behind(graph: OnnxGraph, x: str) -> str:
    return str(graph.add("Conv", [padded(graph, x, 0, 1), graph.constant(numbers(UNITS, UNITS, 2))]))


def mirrored(graph: OnnxGraph, x: str) -> str:
    return str(graph.add("Conv", [padded(graph, x, 2, mode="reflect"), graph.constant(numbers(UNITS, UNITS, 3))]))


def summed(graph: OnnxGraph, x: str) -> str:
    return str(graph.add("CumSum", [x, graph.constant(np.array(2, np.int64))]))


def backwards(graph: OnnxGraph, x: str) -> str:
    arrays = [graph.constant(numbers(1, 3 * UNITS, UNITS)) for _ in range(2)]
    turned = graph.add("GRU", [graph.add("Transpose", [x], perm=[2, 0, 1]), *arrays], hidden_size=UNITS, direction="reverse")
    return str(graph.add("Transpose", [graph.squeeze(turned, [1])], perm=[1, 2, 0]))


@pytest.mark.parametrize(
    ("between", "words"),
    [
        (ahead, "it looks ahead"),
        (behind, "it looks ahead"),
        (mirrored, "made of the steps themselves"),
        (summed, "otherwise than on whole rows"),
        (backwards, "needs the row's end"),
    ],
)
def test_what_needs_more_than_has_been_fed_is_refused(tmp_path: Path, between: Between, words: str) -> None:
    with pytest.raises(ImportRefused, match=words):
        loaded(tmp_path, denoiser(between))


def test_a_first_state_that_is_made_of_what_is_fed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="state h begins with depends on what is fed"):
        loaded(tmp_path, denoiser(same, first="fed"))
