"""Two worlds to drive sessions in: one of sums, exact and fast, and one of a real network beside the float64 oracle."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from cellserve.models import reference
from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import ServiceError
from cellserve.service.registry.lease import LoadedVersion
from tests.service.sessions.fakes import WIDTH, FakeEngine, version


class World(Protocol):
    """engine: computes feeds. versions: numbers of those that there are of model "m"."""

    engine: Any
    versions: tuple[int, ...]

    def loaded(self) -> list[LoadedVersion]: ...

    def inputs(self, chance: random.Random, steps: int) -> np.ndarray: ...

    def compare(self, outputs: np.ndarray, number: int, feeds: Sequence[np.ndarray]) -> None:
        """`outputs` of the last feed after all of them, on version `number`. Raises AssertionError."""


class SumWorld:
    """Version n sums n times the inputs. No value is fed twice, and all sums are exact."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.versions = (1, 2, 3)
        self._values = itertools.count(1)

    def loaded(self) -> list[LoadedVersion]:
        return [version("m", number) for number in self.versions]

    def inputs(self, chance: random.Random, steps: int) -> np.ndarray:
        return np.array([[next(self._values)] * WIDTH for _ in range(steps)], np.float32)

    def compare(self, outputs: np.ndarray, number: int, feeds: Sequence[np.ndarray]) -> None:
        sums = number * np.cumsum(np.concatenate(feeds), axis=0, dtype=np.float64)
        np.testing.assert_array_equal(outputs, sums[-len(feeds[-1]) :].astype(np.float32))


_SPEC = ModelSpec(
    inputs=(InputSpec(name="x", width=WIDTH),),
    layers=(
        LstmLayer(name="lstm", inputs=("x",), units=3, return_sequences=True),
        GruLayer(name="gru", inputs=("lstm",), units=2, return_sequences=True),
    ),
    outputs=("gru",),
)


class NetworkWorld:
    """A stack of LSTM and GRU; each version has weights of its own."""

    def __init__(self) -> None:
        self.engine = self
        self.versions = (1, 2)
        self.failures: list[ServiceError] = []
        self._weights = {number: _weights(number) for number in self.versions}
        self._networks = {number: Network(_SPEC, weights) for number, weights in self._weights.items()}

    def loaded(self) -> list[LoadedVersion]:
        layout = self._networks[1].state_layout
        return [replace(version("m", number), spec=_SPEC, state_layout=layout) for number in self.versions]

    def inputs(self, chance: random.Random, steps: int) -> np.ndarray:
        return np.array([[chance.gauss(0, 1) for _ in range(WIDTH)] for _ in range(steps)], np.float32)

    def compare(self, outputs: np.ndarray, number: int, feeds: Sequence[np.ndarray]) -> None:
        whole = np.concatenate(feeds)
        expected, _ = reference.run(_SPEC, self._weights[number].arrays, (whole[None],), [len(whole)])
        np.testing.assert_allclose(outputs, expected[0][0, -len(outputs) :], rtol=1e-5, atol=2e-6)

    async def run(self, works: Sequence[Work]) -> list[Delivery]:
        if self.failures:
            raise self.failures.pop(0)
        await asyncio.sleep(0)
        return [self._ran(work) for work in works]

    def _ran(self, work: Work) -> Delivery:
        network = self._networks[VersionKey(*work.version).version]
        state = network.initial_state(1)
        if work.state is not None:
            state = RecurrentState(network.state_layout, torch.from_numpy(work.state.copy())[None])
        inputs = (torch.from_numpy(work.inputs[0])[:, None],)
        outputs, final = network.run(inputs, [len(work.inputs[0])], state, implementation="2")
        made = tuple(output[:, 0].numpy() for output in outputs)
        return Delivery(1, made, final.data[0].numpy() if work.want_state else None, None, "2", len(made[0]), 1, 0.0, 0.0)


def _weights(seed: int) -> Weights:
    chance = np.random.default_rng(seed)
    return Weights.of({name: chance.normal(scale=0.5, size=shape) for name, shape in expected_weights(_SPEC).items()})
