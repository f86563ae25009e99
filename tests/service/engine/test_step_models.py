"""Step models in the engine: rows of any lengths beside each other, cut anywhere, and a feed that the graph does not take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto

from cellserve.models import importers
from cellserve.models.importers import ImportedStepModel
from cellserve.models.steps.network import StepNetwork
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import InternalFailure
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, saved
from tests.models.importers.onnx.test_step_models import filter_model, named, written
from tests.models.steps.step_graphs import Drawn, drawn
from tests.models.steps.test_random_steps import imported_as_it_is
from tests.service.engine.driving import KEY, HandDriven

Array = npt.NDArray[Any]


def network_of(imported: ImportedStepModel) -> StepNetwork:
    return StepNetwork(imported.spec, imported.weights)


def work_of(graph: Drawn, feed: Array, gain: int, state: Array | None = None) -> Work:
    inputs = (feed, np.float32([gain])) if graph.gain else (feed,)
    return Work(KEY, inputs, None, state, None, True)


@pytest.mark.parametrize("seed", range(8))
def test_sequences_answer_as_if_each_were_called_by_hand(tmp_path: Path, seed: int) -> None:
    """Two feeds each, of several lengths, more of them than there are rows."""
    random = np.random.default_rng(100 + seed)
    graph = drawn(random)
    driven = HandDriven(network_of(imported_as_it_is(graph, tmp_path)), max_batch_rows=3, max_active_sequences=2)
    feeds = [
        [random.standard_normal((int(random.integers(1, 9)), graph.width)).astype(np.float32) for _ in range(2)] for _ in range(5)
    ]
    gains = [int(gain) for gain in random.integers(1, 3, 5)]
    states: list[Array | None] = [None] * 5
    answers: list[list[Array]] = [[] for _ in range(5)]
    for turn in range(2):
        ids = [driven.engine.submit(work_of(graph, own[turn], gain, state)) for own, gain, state in zip(feeds, gains, states)]
        driven.finish()
        for place, identity in enumerate(ids):
            delivery = driven.box.of(identity)
            assert delivery.error is None
            states[place] = delivery.state
            answers[place].extend([delivery.outputs[0]] if graph.timed else delivery.outputs[0])
    for own, gain, found in zip(feeds, gains, answers):
        expected, _ = graph.by_hand(own, gain)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)


def test_a_feed_that_the_graph_does_not_take_hurts_no_other(tmp_path: Path) -> None:
    """A table of three is looked up by what is fed, and nothing says that there are three."""
    graph = OnnxGraph()
    index = graph.add("Cast", [graph.add("Squeeze", ["x", graph.constant(np.array([1], np.int64))])], to=TensorProto.INT64)
    looked_up = graph.unsqueeze(graph.add("Gather", [graph.constant(np.float32([1, 2, 4])), index]), [1])
    moved = graph.add("Add", ["state", looked_up])
    outputs = [named(graph, graph.add("Identity", [moved]), "y"), named(graph, moved, "stateN")]
    float_ = TensorProto.FLOAT
    model = graph.model({"x": (float_, ["batch", 1]), "state": (float_, ["batch", 1])}, outputs)
    imported = importers.load(saved(tmp_path / "m.onnx", model), description=written(tmp_path, "step: true"))
    assert isinstance(imported, ImportedStepModel)
    driven = HandDriven(network_of(imported))
    ids = [driven.engine.submit(Work(KEY, (np.full((2, 1), index, np.float32),))) for index in (0, 7, 2)]
    driven.finish()
    good, bad, other = (driven.box.of(identity) for identity in ids)
    assert isinstance(bad.error, InternalFailure)
    np.testing.assert_array_equal(good.outputs[0], [[1], [2]])
    np.testing.assert_array_equal(other.outputs[0], [[4], [8]])
    assert driven.lane.rows_used == 0


def test_short_feeds_run_at_once_and_begin_where_they_are_said_to(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", filter_model())
    imported = importers.load(path, description=written(tmp_path, "initial: {state: 2.0}"))
    assert isinstance(imported, ImportedStepModel)
    driven = HandDriven(network_of(imported), at_once_seconds=1.0)
    works = [Work(KEY, (np.zeros((steps, 4), np.float32),), None, None, None, True) for steps in (1, 2)]
    label = driven.engine.short(works, alone=True)
    assert label == "onnxruntime"
    one, two = driven.engine.run_at_once(works, label, [0.0, 0.0])
    np.testing.assert_array_equal(one.outputs[0], np.ones((1, 4)))
    np.testing.assert_array_equal(two.outputs[0], [np.ones(4), np.full(4, 0.5)])
    assert one.state is not None
    np.testing.assert_array_equal(one.state, [1.0])
