"""The engine's properties on real networks, in every implementation: what comes through the engine, in chunks and among others,
is what the network answers to the sequence alone and whole. Final states are compared too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import GlobalPooling1dLayer, RepeatVectorLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer, MaskingLayer
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.implementations import LABELS
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights
from cellserve.service.engine.sequence import Work
from tests.examples import examples
from tests.fakes import FakeClock
from tests.models.carried_parts import centred, every_other, norm, stepwise
from tests.service.engine.driving import KEY, HandDriven

FEATURES = InputSpec(name="x", width=3)
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}


def network(inputs: tuple[InputSpec, ...], layers: tuple[LayerSpec, ...], outputs: tuple[str, ...]) -> Network:
    spec = ModelSpec(inputs=inputs, layers=layers, outputs=outputs)
    return Network(spec, weights_of(spec))


def weights_of(spec: ModelSpec) -> Weights:
    chance = np.random.default_rng(7)
    shapes = expected_weights(spec)
    return Weights.of({name: chance.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()})


NETWORKS = {
    "stack": network(
        (FEATURES,),
        (
            LstmLayer(name="a", inputs=("x",), units=5, return_sequences=True),
            GruLayer(name="b", inputs=("a",), units=4, reset_after=True, return_sequences=True),
            DenseLayer(name="steps", inputs=("b",), units=2),
            LstmLayer(name="c", inputs=("b",), units=3),
            DenseLayer(name="class", inputs=("c",), units=2, activation="softmax"),
        ),
        ("steps", "class", "a:c"),
    ),
    "ids": network(
        (InputSpec(name="x", kind="ids"),),
        (
            EmbeddingLayer(name="e", inputs=("x",), vocabulary=11, units=4, mask_zero=True),
            SimpleRnnLayer(name="r", inputs=("e",), units=5, return_sequences=True),
        ),
        ("r",),
    ),
    "bidirectional": network(
        (FEATURES,),
        (
            LstmLayer(name="f", inputs=("x",), units=4, return_sequences=True),
            LstmLayer(name="g", inputs=("x",), units=4, return_sequences=True, go_backwards=True),
            ReverseLayer(name="turned", inputs=("g",)),
            MergeLayer(name="both", inputs=("f", "turned"), mode="concat"),
            GruLayer(name="last", inputs=("both",), units=3),
        ),
        ("both", "last"),
    ),
    "sensor": network(
        (FEATURES,),
        (
            MaskingLayer(name="m", inputs=("x",), mask_value=0.0),
            Conv1dLayer(name="c", inputs=("m",), units=4, kernel_size=3, strides=2, padding="same"),
            LstmLayer(name="f", inputs=("c",), units=3, return_sequences=True),
            LstmLayer(name="g", inputs=("c",), units=3, go_backwards=True),
            GlobalPooling1dLayer(name="p", inputs=("f",), mode="average"),
            MergeLayer(name="both", inputs=("p", "g"), mode="concat"),
            DenseLayer(name="class", inputs=("both",), units=2),
        ),
        ("class", "f"),
    ),
    "carried": network(
        (FEATURES,),
        (
            stepwise("sines", "x"),
            LstmLayer(name="f", inputs=("sines",), units=3, return_sequences=True),
            centred("less", "f"),
            every_other("half", "less"),
            GruLayer(name="g", inputs=("half",), units=3, return_sequences=True),
            norm("length", "g"),
        ),
        ("less", "g", "length"),
    ),
    "decoder": network(
        (FEATURES, InputSpec(name="h", kind="vector", width=4), InputSpec(name="c", kind="vector", width=4)),
        (
            LstmLayer(name="encoder", inputs=("x", "h", "c"), units=4),
            RepeatVectorLayer(name="again", inputs=("encoder",), count=6),
            GruLayer(name="decoder", inputs=("again",), units=3, return_sequences=True),
        ),
        ("decoder",),
    ),
    "from a vector": network(
        (InputSpec(name="x", kind="vector", width=3),),
        (
            RepeatVectorLayer(name="again", inputs=("x",), count=4),
            LstmLayer(name="r", inputs=("again",), units=3, return_sequences=True),
        ),
        ("r",),
    ),
}


class SlowClock(FakeClock):
    """Every reading takes longer than an iteration may: nothing fits into one, everything is cut."""

    def __call__(self) -> float:
        self.advance(0.012)
        return self.now_seconds


CLOCKS: dict[str, type[FakeClock]] = {"in chunks": SlowClock, "whole if short": FakeClock}


@dataclass(frozen=True)
class Case:
    length: int
    masked: bool
    with_state: bool
    implementation: str
    turns: int
    want_state: bool

    def work(self, target: Network, seed: int) -> Work:
        chance = np.random.default_rng(seed)
        first: np.ndarray = chance.normal(size=(self.length, 3)).astype(np.float32)
        if target.spec.inputs[0].kind == "ids":
            first = chance.integers(0, 11, self.length)
        elif target.spec.inputs[0].kind == "vector":
            first = first[0]
        vectors = tuple(chance.normal(size=entry.width).astype(np.float32) for entry in target.spec.inputs[1:])
        state = chance.normal(0, 0.3, target.state_layout.width).astype(np.float32)
        for columns in target.state_layout.columns:
            if not columns.public:
                state[columns.start] = 0
        return Work(
            KEY,
            (first, *vectors),
            mask=chance.random(self.length) < 0.7 if self.masked and target.spec.inputs[0].kind != "vector" else None,
            state=state if self.with_state else None,
            implementation=self.implementation,
            want_state=self.want_state,
        )


@torch.inference_mode()
def alone(target: Network, work: Work) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """What the network answers to this sequence by itself, whole."""
    inputs = tuple(
        torch.from_numpy(array).unsqueeze(0 if entry.kind == "vector" else 1)
        for entry, array in zip(target.spec.inputs, work.inputs)
    )
    outputs, state = target.run(
        inputs,
        [work.steps],
        None if work.state is None else RecurrentState(target.state_layout, torch.from_numpy(work.state)[None]),
        mask=None if work.mask is None else torch.from_numpy(work.mask)[:, None],
        implementation=work.implementation or target.default_implementation,
    )
    per_step = [target.shapes[reference].sequence for reference in target.spec.outputs]
    return tuple((o[:, 0] if steps else o[0]).numpy() for o, steps in zip(outputs, per_step)), state.data[0].numpy()


def cases(labels: list[str]) -> st.SearchStrategy[list[Case]]:
    one = st.builds(
        Case, st.integers(1, 40), st.booleans(), st.booleans(), st.sampled_from(labels), st.integers(0, 3), st.booleans()
    )
    return st.lists(one, min_size=1, max_size=10)


def check(target: Network, drawn: list[Case], clock: str, max_batch_rows: int, **settings: Any) -> None:
    driven = HandDriven(target, CLOCKS[clock](), max_batch_rows=max_batch_rows, **settings)
    asked = []
    for seed, case in enumerate(drawn):
        work = case.work(target, seed)
        asked.append((driven.engine.submit(work), work))
        for _ in range(case.turns):
            driven.iterate()
    driven.finish()
    for identity, work in asked:
        delivery = driven.box.of(identity)
        outputs, state = alone(target, work)
        assert delivery.error is None
        assert len(delivery.outputs) == len(outputs)
        for ours, expected in zip(delivery.outputs, outputs):
            assert ours.shape == expected.shape
            np.testing.assert_allclose(ours, expected, **TOLERANCE)
        assert (delivery.state is not None) == work.want_state
        if delivery.state is not None:
            np.testing.assert_allclose(delivery.state, state, **TOLERANCE)
        assert delivery.implementation == work.implementation
    assert driven.lane.rows_free == driven.settings.max_active_sequences


@pytest.mark.parametrize("name", NETWORKS)
def test_through_the_engine_as_alone(name: str) -> None:
    target = NETWORKS[name]
    labels = [label for label in LABELS if target.implementations[label] is None]

    @settings(deadline=None, max_examples=examples(10))
    @given(cases(labels), st.sampled_from(list(CLOCKS)), st.integers(1, 5), st.integers(2, 6))
    def holds(drawn: list[Case], clock: str, max_batch_rows: int, pool_rows: int) -> None:
        check(target, drawn, clock, max_batch_rows, max_active_sequences=pool_rows)

    holds()


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("name", NETWORKS)
def test_each_implementation(name: str, label: str, clock: str) -> None:
    """Every label that supports the network, whatever hypothesis drew above: ragged, masked, with states, in small batches."""
    target = NETWORKS[name]
    if target.implementations[label] is not None:
        pytest.skip(str(target.implementations[label]))
    drawn = [
        Case(length, length % 3 == 0, length % 2 == 0, label, length % 2, length > 8) for length in (1, 30, 2, 17, 9, 8, 24, 33)
    ]
    check(target, drawn, clock, max_batch_rows=3)


def test_the_networks_cover_both_ways_of_running() -> None:
    assert {name: target.causal for name, target in NETWORKS.items()} == {
        "stack": True,
        "ids": True,
        "bidirectional": False,
        "sensor": False,
        "carried": False,
        "decoder": False,
        "from a vector": False,
    }


@pytest.mark.parametrize(("clock", "at_once"), [("in chunks", False), ("whole if short", True)])
def test_the_clocks_make_it_run_in_both_ways(clock: str, at_once: bool) -> None:
    driven = HandDriven(NETWORKS["bidirectional"], CLOCKS[clock]())
    work = Case(9, False, False, "2", 0, False).work(NETWORKS["bidirectional"], 0)
    for _ in range(12):
        last = driven.engine.submit(work)
        driven.finish()
    assert (driven.box.of(last).iterations == 1) == at_once
