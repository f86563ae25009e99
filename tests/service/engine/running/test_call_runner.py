"""CallRunner on a real network: what it answers in one call or a few, and which rows of the pool it takes."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from typing import Any

import numpy as np
import pytest
import torch

from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.implementations.onnxruntime.chunk_call import ChunkAnswer, ChunkCall
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.call_costs import CallCosts
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.running.call_runner import CallRunner
from cellserve.service.engine.running.measured_call import MeasuredCall, measured_calls
from cellserve.service.engine.sequence import Sequence, Work
from cellserve.service.engine.state_pool import StatePool
from tests.fakes import FakeClock

SPEC = ModelSpec(
    inputs=(InputSpec(name="x", width=3),),
    layers=(
        LstmLayer(name="a", inputs=("x",), units=5, return_sequences=True),
        DenseLayer(name="steps", inputs=("a",), units=2),
        GruLayer(name="b", inputs=("a",), units=4),
        DenseLayer(name="class", inputs=("b",), units=2),
    ),
    outputs=("steps", "class"),
)
ROWS = 60
COSTS = CallCosts(row_step_seconds=1e-6, step_seconds=2e-6, row_seconds=0.0, call_seconds=1e-4, pads=True)


class Counted:
    """Counts its calls."""

    def __init__(self, call: ChunkCall) -> None:
        self._call = call
        self.rows: list[int] = []
        self.masks, self.pads = call.masks, call.pads

    def refuses(self, steps: Any) -> bool:
        return self._call.refuses(steps)

    def __call__(self, steps: Any, lengths: Rows[int], state: Any, ending: Rows[int]) -> ChunkAnswer:
        self.rows.append(len(lengths))
        return self._call(steps, lengths, state, ending)


class Bench:
    """A runner over a pool, and sequences of given lengths, some with a state of their own."""

    def __init__(self, totals: list[int], label: str = "onnxruntime") -> None:
        chance = np.random.default_rng(3)
        shapes = expected_weights(SPEC)
        self.network = Network(SPEC, Weights.of({k: chance.normal(0, 0.4, s).astype(np.float32) for k, s in shapes.items()}))
        call = self.network.chunk_call(label)
        assert call is not None
        self.call, self.label = Counted(call), label
        measured = MeasuredCall(self.call, COSTS._replace(pads=call.pads), lambda rows, steps: 0.0)  # type: ignore[arg-type]
        layout = self.network.state_layout
        public = np.concatenate([np.full(columns.width, columns.public) for columns in layout.columns])
        self.pool = StatePool(layout.width, ROWS)
        self.runner = CallRunner(self.network, self.pool, {label: measured})
        self.sequences = [
            Sequence(
                i,
                Work(
                    VersionKey("m", 1),
                    (chance.normal(size=(total, 3)).astype(np.float32),),
                    state=(public * chance.normal(size=layout.width)).astype(np.float32) if i % 3 == 0 else None,
                    want_state=True,
                ),
                label,
                0.0,
            )
            for i, total in enumerate(totals)
        ]

    def run(self, lengths: list[int]) -> None:
        """Those that are not through, so many steps each."""
        rows = [sequence for sequence in self.sequences if sequence.position < sequence.total]
        assert self.runner.run(Batch(self.label, tuple(rows), tuple(lengths)))
        for sequence, length in zip(rows, lengths):
            sequence.advance(length)

    def agrees(self, sequence: Sequence) -> bool:
        state = self.network.initial_state(1)
        if sequence.work.state is not None:
            state = RecurrentState(self.network.state_layout, torch.from_numpy(sequence.work.state.reshape(1, -1)))
        inputs = (torch.from_numpy(sequence.work.inputs[0]).unsqueeze(1),)
        (steps, last), final = self.network.run(inputs, [sequence.total], state, implementation="2")
        assert sequence.state is not None
        expected = (steps[:, 0].numpy(), last[0].numpy(), final.data[0].numpy())
        return all(np.allclose(a, b, rtol=1e-5, atol=2e-6) for a, b in zip((*sequence.outputs, sequence.state), expected))


@pytest.mark.parametrize(
    ("lengths", "calls"),
    [
        ([7] * 6, [6]),
        ([3, 5, 9], [3]),  # little padding
        ([3] * 20 + [40] * 10, [20, 10]),
        ([40] * 10 + [3, 20] * 20, [20, 20, 10]),
    ],
)
def test_rows_of_very_unequal_lengths_go_in_calls_of_their_own_and_each_is_right(lengths: list[int], calls: list[int]) -> None:
    bench = Bench(lengths)
    bench.run(lengths)
    assert bench.call.rows == calls
    assert all(bench.agrees(sequence) for sequence in bench.sequences)


@pytest.mark.parametrize("label", ["packed"])
def test_a_kernel_without_padding_takes_rows_of_any_lengths_in_one_call(label: str) -> None:
    bench = Bench([3] * 20 + [40] * 10, label)
    bench.run([3] * 20 + [40] * 10)
    assert bench.call.rows == [30]
    assert all(bench.agrees(sequence) for sequence in bench.sequences)


def test_only_those_that_go_on_take_rows_and_they_go_on_from_where_they_were() -> None:
    bench = Bench([3] * 20 + [60] * 10)
    bench.run([3] * 20 + [40] * 10)
    assert bench.pool.used == 10
    assert [sequence.row is None for sequence in bench.sequences] == [True] * 20 + [False] * 10
    bench.run([20] * 10)
    assert all(bench.agrees(sequence) for sequence in bench.sequences)


def test_a_network_without_states_goes_on_as_well() -> None:
    spec = ModelSpec(
        inputs=(InputSpec(name="x", width=3),),
        layers=(DenseLayer(name="steps", inputs=("x",), units=2, activation="tanh"),),
        outputs=("steps",),
    )
    chance = np.random.default_rng(5)
    shapes = expected_weights(spec)
    network = Network(spec, Weights.of({k: chance.normal(size=s).astype(np.float32) for k, s in shapes.items()}))
    pool = StatePool(network.state_layout.width, ROWS)
    assert pool.width == 0
    runner, inputs = (
        CallRunner(network, pool, measured_calls(network, FakeClock())),
        chance.normal(size=(4, 3)).astype(np.float32),
    )
    rows = [Sequence(i, Work(VersionKey("m", 1), (inputs,)), "onnxruntime", 0.0) for i in range(2)]
    for _ in range(2):
        assert runner.run(Batch("onnxruntime", tuple(rows), (2, 2)))
        for one in rows:
            one.advance(2)
    expected, _ = network.run((torch.from_numpy(inputs).unsqueeze(1),), [4], implementation="2")
    for one in rows:
        np.testing.assert_allclose(one.outputs[0], expected[0][:, 0].numpy(), atol=2e-6)


def test_without_a_call_of_its_implementation_nothing_is_done() -> None:
    bench = Bench([3] * 2)
    assert not bench.runner.run(Batch("2", tuple(bench.sequences), (3, 3)))
    assert bench.call.rows == []
