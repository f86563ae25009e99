"""Measuring a network: the grid, the turns, the recommendation, and real networks of every kind."""

from __future__ import annotations

import pytest
import torch

from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.rows import FlattenLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer
from cellserve.models.measuring import benchmark
from cellserve.models.measuring.benchmark import FEWEST_CALLS, Benchmark, Measurement, Shape, contest, grid, measure, recommend
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from tests.fakes import FakeClock
from tests.models.networks import chain, features, random_weights

LSTM = chain(LstmLayer(name="lstm", inputs=("x",), units=4), DenseLayer(name="head", inputs=("lstm",), units=2))
BACKWARDS = chain(ReverseLayer(name="turned", inputs=("x",)), GruLayer(name="gru", inputs=("turned",), units=3))
IDS = ModelSpec(
    inputs=(InputSpec(name="words", kind="ids"),),
    layers=(
        EmbeddingLayer(name="table", inputs=("words",), vocabulary=7, units=3),
        LstmLayer(name="lstm", inputs=("table",), units=4),
    ),
    outputs=("lstm",),
)
FIXED = ModelSpec(
    inputs=features(time_steps=5),
    layers=(
        LstmLayer(name="lstm", inputs=("x",), units=4, return_sequences=True),
        FlattenLayer(name="flat", inputs=("lstm",)),
    ),
    outputs=("flat",),
)


def found(*cells: tuple[str, int, int, float, int | None]) -> Benchmark:
    """Of (implementation, rows, steps, seconds, peak bytes)."""
    measured = tuple(Measurement(label, Shape(rows, steps), 5, took, 2 * took, peak) for label, rows, steps, took, peak in cells)
    return Benchmark(measured, {one.implementation: 0.0 for one in measured}, 7, {})


def test_the_grid_is_every_pair_once() -> None:
    assert [str(shape) for shape in grid(LSTM, (8, 1, 8), (16, 1))] == ["1 x 1", "1 x 16", "8 x 1", "8 x 16"]


def test_the_grid_has_only_steps_that_the_model_takes() -> None:
    assert grid(FIXED, (1, 2), (1, 16)) == (Shape(1, 5), Shape(2, 5))


def test_contenders_take_turns_and_the_first_turn_does_not_count() -> None:
    wall, own, turns = FakeClock(), FakeClock(), list[str]()

    def call(label: str, seconds: float) -> None:
        wall.advance(3 * seconds)
        own.advance(seconds)
        turns.append(label)

    taken = contest({"0": lambda: call("0", 0.25), "2": lambda: call("2", 0.5)}, 0.001, wall, own)
    assert turns == ["0", "2"] * (FEWEST_CALLS + 1)
    assert taken == {"0": [(0.75, 0.25)] * FEWEST_CALLS, "2": [(1.5, 0.5)] * FEWEST_CALLS}


def test_a_contest_goes_on_until_the_time_is_up() -> None:
    clock = FakeClock()
    assert len(contest({"0": lambda: clock.advance(0.25)}, 10.0, clock, clock)["0"]) == 40


def test_each_kind_of_traffic_gets_its_fastest() -> None:
    recommended = recommend(
        found(
            ("0", 1, 1, 1.0, 0),
            ("2", 1, 1, 2.0, 0),
            ("0", 32, 1, 3.0, 0),
            ("2", 32, 1, 2.0, 0),
            ("0", 1, 9, 9, 0),
            ("2", 1, 9, 9, 0),
        )
    )
    assert {one.traffic: one.implementation for one in recommended} == {"steps_few": "0", "steps_many": "2", "bulk_few": "0"}


def test_cells_of_a_kind_count_alike_however_long_they_take() -> None:
    slow_once = found(("0", 8, 16, 1.0, 0), ("2", 8, 16, 4.0, 0), ("0", 32, 99, 20.0, 0), ("2", 32, 99, 10.0, 0))
    (one,) = recommend(slow_once)
    assert one.implementation == "0"
    assert one.times == pytest.approx({"0": 2**0.5, "2": 2.0})


@pytest.mark.parametrize(("peaks", "least"), [((9, 2**21), "0"), ((2**21, 9), "2"), ((9, 8), None), ((None, None), None)])
def test_memory_is_compared_where_one_notices_it(peaks: tuple[int | None, int | None], least: str | None) -> None:
    (one,) = recommend(found(("0", 1, 9, 1.0, peaks[0]), ("2", 1, 9, 1.0, peaks[1])))
    assert one.least_memory == least


def test_a_busy_machine_shows() -> None:
    assert found(("0", 1, 1, 1.0, None)).busy == 2.0


@pytest.mark.parametrize("spec", [LSTM, BACKWARDS, IDS, FIXED], ids=["causal", "backwards", "ids", "fixed"])
def test_every_kind_of_network_is_measured(spec: ModelSpec) -> None:
    weights, begun = random_weights(spec), list[str]()
    shapes, labels = grid(spec, (1, 8), (1, 12)), Network(spec, weights).offered
    threads = torch.get_num_threads()
    measured = measure(spec, weights, shapes, labels, 0.001, begun.append)
    assert begun == ["oracle", *map(str, shapes)]
    assert [(one.shape, one.implementation) for one in measured.measurements] == [
        (shape, label) for shape in shapes for label in labels
    ]
    assert all(one.calls >= FEWEST_CALLS and one.median_seconds > 0 for one in measured.measurements)
    assert measured.implementations == tuple(labels)
    assert 0 < max(measured.differences.values()) < 1e-5
    assert measured.oracle_steps == max(shape.steps for shape in shapes)
    assert torch.get_num_threads() == threads


def test_the_oracle_sees_no_more_steps_than_it_can_afford(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_weights(LSTM)
    monkeypatch.setattr(benchmark, "_ORACLE_PRODUCTS", 2000)
    assert 1 <= measure(LSTM, weights, grid(LSTM, (1,), (50,)), ["2"], 0.001, lambda step: None).oracle_steps < 10


def test_the_memory_of_a_call_grows_with_its_rows_and_steps() -> None:
    small, wide, long = (benchmark.bytes_needed(LSTM, Shape(*shape)) for shape in ((1, 100), (10, 100), (1, 1000)))
    assert wide == 10 * small
    assert 9 * small < long < 10 * small
