"""Choosing by measurement: who wins where, what is not tried again, what a budget allows, and networks of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import FlattenLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import EmbeddingLayer, MaskingLayer
from cellserve.models.measuring import calibration
from cellserve.models.measuring.calibration import Calibration, calibrate, choose
from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TrafficKind
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from tests.fakes import FakeClock, FakeNetwork
from tests.models.networks import chain, features, random_weights
from tests.models.recording.fakes import FakeRecorder

Cost = Callable[[str, int, int], float]  # of a label, rows and steps


class PricedNetwork(FakeNetwork):
    """Takes what `cost` says, on a clock of its own."""

    def __init__(self, cost: Cost, labels: tuple[str, ...] = ("0", "2", "fused"), causal: bool = True) -> None:
        super().__init__(causal=causal)
        self.ticking = FakeClock()
        self.implementations = dict.fromkeys(labels)
        self.default_implementation = labels[0]
        self._price = cost

    def advance(self, inputs: torch.Tensor, lengths: Any, state: Any, *, implementation: str, **options: Any) -> Any:
        self.ticking.advance(self._price(implementation, inputs.shape[1], len(inputs)))
        return super().advance(inputs, lengths, state, implementation=implementation, **options)

    def calibrated(self, budget_seconds: float = 1.0) -> Calibration:
        return calibrate(self, budget_seconds, self.ticking)  # type: ignore[arg-type]


def calls_and_products(label: str, rows: int, steps: int) -> float:
    """`0` is cheap to call, `2` computes many rows cheaply; both halves of an LSTM server's life."""
    return {"0": 1e-5 + 1e-5 * rows * steps, "2": 1e-4 + 1e-6 * rows * steps, "fused": 9e-4 + 9e-6 * rows * steps}[label]


def test_each_kind_of_traffic_gets_the_fastest() -> None:
    choices = PricedNetwork(calls_and_products).calibrated().choices
    assert choices == {"steps_few": "0", "steps_many": "2", "bulk_few": "2", "bulk_many": "2"}


def test_what_was_measured_is_told_per_row_and_step() -> None:
    network = PricedNetwork(lambda label, rows, steps: (1e-4 if label == "0" else 2e-4) * rows * steps)
    seconds = network.calibrated().seconds
    for kind in ("steps_few", "steps_many", "bulk_few"):
        assert seconds[kind] == pytest.approx({"0": 1e-4, "2": 2e-4, "fused": 2e-4})
    assert seconds["bulk_many"]["0"] > 1e-4  # half of its batches were padded


def test_one_that_is_everywhere_nearly_as_fast_serves_everything() -> None:
    measured = {
        "steps_few": {"0": 1.0, "2": 1.2},
        "steps_many": {"0": 1.0, "2": 1.0},
        "bulk_few": {"0": 1.04, "2": 1.0},
        "bulk_many": {"0": 2.0, "2": 1.0},
    }
    assert set(choose(measured, "fused").values()) == {"2"}
    measured["bulk_few"] = {"0": 1.0, "2": 1.06}
    assert choose(measured, "fused")["bulk_few"] == "0"


TIMES = st.dictionaries(st.sampled_from(["0", "2", "fused", "packed"]), st.floats(1e-6, 1e-2), min_size=1)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TRAFFIC_KINDS, TIMES)))
def test_nobody_is_given_what_was_measured_to_be_clearly_slower(measured: dict[TrafficKind, dict[str, float]]) -> None:
    """Chunks by a twentieth at most. Of a single step the call is a fraction of what a request takes: by a quarter."""
    choices = choose(measured, "fused")
    for kind, seconds in measured.items():
        allowed = 1.25 if kind.startswith("steps") else 1.05
        assert seconds[choices[kind]] <= allowed * min(seconds.values())


def test_what_was_not_measured_goes_by_the_default() -> None:
    assert choose({"bulk_few": {"0": 1.0}, "bulk_many": {"2": 1.0}}, "fused")["steps_few"] == "fused"
    assert choose({}, "fused") == dict.fromkeys(TRAFFIC_KINDS, "fused")


def test_one_implementation_needs_no_measurement() -> None:
    network = PricedNetwork(calls_and_products, ("2",))
    assert network.calibrated() == Calibration(dict.fromkeys(TRAFFIC_KINDS, "2"), {})
    assert network.calls == []


def test_a_loop_that_is_hopeless_with_few_rows_is_not_tried_with_many() -> None:
    network = PricedNetwork(lambda label, rows, steps: (1e-5 if label == "fused" else 1e-3) * steps * rows)
    network.calibrated()
    assert {label for rows, steps, label in network.calls if rows == 32 and steps > 1} == {"fused"}


@pytest.mark.parametrize("seconds", [0.01, 0.3])
def test_the_budget_holds_where_calls_are_slow(seconds: float) -> None:
    """Every shape is tried at least once; who has no more time is not run."""
    network = PricedNetwork(lambda label, rows, steps: seconds)
    start = network.ticking()
    choices = network.calibrated(budget_seconds=0.2).choices
    shapes = {(rows, steps) for rows, steps, _ in network.calls}
    assert network.ticking() - start <= 0.2 + seconds * 3 * len(shapes)
    assert set(choices) == set(TRAFFIC_KINDS)


def test_the_clock_of_a_processor_is_that_of_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    network = PricedNetwork(calls_and_products)
    monkeypatch.setattr(calibration.time, "thread_time", network.ticking)
    assert calibrate(network).choices["steps_few"] == "0"  # type: ignore[arg-type]


BACKWARD = LstmLayer(name="back", inputs=("x",), units=2, go_backwards=True, return_sequences=True)
SPECS = {
    "causal": chain(LstmLayer(name="l", inputs=("x",), units=2)),
    "masked": chain(MaskingLayer(name="m", inputs=("x",)), GruLayer(name="g", inputs=("m",), units=2)),
    "ids": ModelSpec(
        inputs=(InputSpec(name="x", kind="ids"),),
        layers=(EmbeddingLayer(name="e", inputs=("x",), vocabulary=3, units=2), LstmLayer(name="l", inputs=("e",), units=2)),
        outputs=("l",),
    ),
    "backwards": chain(
        BACKWARD,
        ReverseLayer(name="r", inputs=("back",)),
        LstmLayer(name="forth", inputs=("x",), units=2, return_sequences=True),
        MergeLayer(name="both", inputs=("forth", "r"), mode="concat"),
    ),
    "fixed steps": ModelSpec(
        inputs=features(3, 5),
        layers=(LstmLayer(name="l", inputs=("x",), units=2, return_sequences=True), FlattenLayer(name="f", inputs=("l",))),
        outputs=("f",),
    ),
    "from a vector": ModelSpec(
        inputs=(InputSpec(name="x", width=3), InputSpec(name="h", kind="vector", width=2)),
        layers=(GruLayer(name="g", inputs=("x", "h"), units=2),),
        outputs=("g",),
    ),
    "vector first": ModelSpec(
        inputs=(InputSpec(name="h", kind="vector", width=2), InputSpec(name="x", width=3)),
        layers=(GruLayer(name="g", inputs=("x", "h"), units=2),),
        outputs=("g",),
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_networks_of_every_kind_are_measured(name: str) -> None:
    network = Network(SPECS[name], random_weights(SPECS[name]))
    result = calibrate(network, budget_seconds=0.02)
    assert set(result.choices) == set(TRAFFIC_KINDS)
    assert set(result.choices.values()) <= set(network.offered)
    assert "bulk_many" in result.seconds
    assert ("steps_few" in result.seconds) is (name != "fixed steps")


class RecordingNetwork(Network):
    """A launch-by-launch loop takes twenty times as long as torch's kernel, a recorded one a tenth of it."""

    def __init__(self, spec: ModelSpec) -> None:
        self.recorder = FakeRecorder()
        super().__init__(spec, random_weights(spec), recorder=self.recorder)
        for label in ("onnxruntime", "packed"):
            self.withdraw(label, "it has no part in this")
        self.ticking = FakeClock()

    def advance(self, *given: Any, implementation: str, **options: Any) -> Any:
        repeated = self.recorder.repeated
        answer = super().advance(*given, implementation=implementation, **options)
        self.ticking.advance(1e-4 if self.recorder.repeated > repeated else 1e-3 if implementation == "fused" else 2e-2)
        return answer


def test_what_is_recorded_is_measured_as_recorded() -> None:
    network = RecordingNetwork(chain(LstmLayer(name="l", inputs=("x",), units=2)))
    assert set(calibrate(network, clock=network.ticking).choices.values()) <= {"0", "1", "2"}
