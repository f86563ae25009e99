"""The models and traffic of the benchmarks: seeded random weights, and lengths as users send them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
from cellserve.models.weights import Weights


@dataclass(frozen=True)
class Workload:
    """A stack of LSTMs and a Dense head on the last step, and how long its sequences are."""

    name: str
    features: int
    units: tuple[int, ...]
    classes: int
    mean_steps: int
    shortest_steps: int
    longest_steps: int
    recurrent_activation: str = "sigmoid"

    def spec(self) -> ModelSpec:
        layers: list[LstmLayer | DenseLayer] = []
        previous = "x"
        for index, units in enumerate(self.units):
            last = index == len(self.units) - 1
            layers.append(
                LstmLayer(
                    name=f"lstm_{index}",
                    inputs=(previous,),
                    units=units,
                    return_sequences=not last,
                    recurrent_activation=self.recurrent_activation,
                )
            )
            previous = f"lstm_{index}"
        layers.append(DenseLayer(name="head", inputs=(previous,), units=self.classes))
        return ModelSpec(inputs=(InputSpec(name="x", width=self.features),), layers=tuple(layers), outputs=("head",))

    def weights(self) -> Weights:
        return _random_weights(self.spec())

    def network(self) -> Network:
        """Warm, as a server's is: what makes a kernel is in no measurement."""
        network = Network(self.spec(), self.weights())
        for label in network.offered:
            network.warm_up(label)
        return network

    def sequences(self, count: int) -> list[np.ndarray]:
        """Each [T, features] float32; lengths lognormal around the mean, or uniform where the mean is the middle of the range."""
        random = np.random.default_rng(2)
        if self.mean_steps * 2 >= self.shortest_steps + self.longest_steps:
            lengths = random.integers(self.shortest_steps, self.longest_steps + 1, count)
        else:
            lengths = np.clip(
                random.lognormal(np.log(self.mean_steps) - 0.32, 0.8, count), self.shortest_steps, self.longest_steps
            )
        return [random.standard_normal((int(steps), self.features), dtype=np.float32) for steps in lengths]


STACK_A = Workload("stack-a", 64, (256, 256), 10, 40, 4, 200)
SEED_TF = Workload("seed-tf", 12, (64,), 2, 510, 200, 820)
TINY = Workload("tiny", 32, (32,), 4, 40, 4, 200)
ALL = (STACK_A, SEED_TF, TINY)


def bidirectional(features: int = 64, units: int = 256, classes: int = 10) -> Network:
    """Bidirectional(LSTM), with an answer for every step: not causal, two passes."""
    layers: tuple[LayerSpec, ...] = (
        LstmLayer(name="onward", inputs=("x",), units=units, return_sequences=True),
        LstmLayer(name="backward", inputs=("x",), units=units, return_sequences=True, go_backwards=True),
        ReverseLayer(name="turned", inputs=("backward",)),
        MergeLayer(name="both", inputs=("onward", "turned"), mode="concat"),
        DenseLayer(name="head", inputs=("both",), units=classes),
    )
    spec = ModelSpec(inputs=(InputSpec(name="x", width=features),), layers=layers, outputs=("head",))
    return Network(spec, _random_weights(spec))


def _random_weights(spec: ModelSpec) -> Weights:
    random = np.random.default_rng(1)
    return Weights.of(
        {
            name: random.normal(0.0, min(0.5, 1.0 / np.sqrt(shape[0])), shape).astype(np.float32)
            for name, shape in expected_weights(spec).items()
        }
    )
