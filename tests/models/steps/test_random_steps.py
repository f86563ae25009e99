"""Random step graphs, imported and advanced, against onnxruntime called by hand: together, in any cuts, from any states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cellserve.models import importers
from cellserve.models.description.state_layout import from_columns
from cellserve.models.importers import ImportedStepModel
from cellserve.models.measuring.step_parity import check_steps
from cellserve.models.steps.network import StepNetwork
from tests.models.importers.onnx.onnx_graphs import saved
from tests.models.steps.step_graphs import Drawn, drawn

Array = npt.NDArray[Any]
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}
LENGTHS = ((3, 1, 2), (1, 4, 1), (2, 2, 5))  # of the feeds of each row


@pytest.mark.parametrize("seed", range(40))
def test_rows_answer_as_if_each_were_called_by_hand(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = drawn(random)
    imported = imported_as_it_is(graph, tmp_path)
    network = StepNetwork(imported.spec, imported.weights)
    assert network.spec.batched == graph.batched
    assert network.spec.whole_feeds == graph.timed
    check_steps(imported.spec, imported.weights)
    feeds = [[random.standard_normal((length, graph.width)).astype(np.float32) for length in own] for own in LENGTHS]
    gains = [1, 2, 1]
    states = network.state_layout.first_rows(len(feeds))
    told: list[list[Array]] = [[] for _ in feeds]
    for turn in range(len(LENGTHS[0])):
        rows = [[own[turn], np.float32([gain])] if graph.gain else [own[turn]] for own, gain in zip(feeds, gains)]
        answers, states = network.advance(rows, states)
        for answer, parts in zip(answers, told):
            parts.extend([answer[0]] if graph.timed else answer[0])
    for row, (own, gain) in enumerate(zip(feeds, gains)):
        expected, after = graph.by_hand(own, gain)
        assert len(told[row]) == len(expected)
        for found, wanted in zip(told[row], expected):
            np.testing.assert_allclose(found, wanted, **TOLERANCE)
        for columns, state in zip(network.state_layout.columns, graph.states):
            found = from_columns(states[row : row + 1, columns.start : columns.start + columns.width], np.dtype(state.dtype))
            np.testing.assert_allclose(
                found.ravel(), after[state.name].ravel(), rtol=1e-3 if state.dtype == "float16" else 1e-5, atol=2e-6
            )


def imported_as_it_is(graph: Drawn, folder: Path) -> ImportedStepModel:
    found = importers.load(saved(folder / "model.onnx", graph.model), description=written(folder, "step: true\n"))
    assert isinstance(found, ImportedStepModel)
    return found


def written(folder: Path, text: str) -> Path:
    path = folder / "description.yaml"
    path.write_text(text)
    return path
