"""All passes of a network in order, over rows side by side: what whole rows give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.description.layers.cells import GruLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import RepeatVectorLayer, ReverseLayer
from cellserve.models.measuring.pass_walk import walk
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from tests.models.networks import agree, public_states, random_weights

SPEC = ModelSpec(
    inputs=(InputSpec(name="x", width=3), InputSpec(name="v", kind="vector", width=2)),
    layers=(
        GruLayer(name="f", reset_after=True, inputs=("x", "v"), units=2, return_sequences=True),
        GruLayer(name="b", reset_after=True, inputs=("x",), units=2, return_sequences=True, go_backwards=True),
        ReverseLayer(name="t", inputs=("b",)),
        MergeLayer(name="both", inputs=("f", "t"), mode="concat"),
        RepeatVectorLayer(name="again", inputs=("f:h",), count=3),
        GruLayer(name="decoder", reset_after=True, inputs=("again", "b:h"), units=2, return_sequences=True),
    ),
    outputs=("both", "decoder"),
)
LENGTHS = [5, 2, 7]


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("label", ["0", "2", "fused", "onnxruntime", "packed"])
def test_rows_of_any_lengths(label: str, chunk: int) -> None:
    def cuts(steps: int) -> Iterator[tuple[int, int]]:
        return ((start, min(start + chunk, steps)) for start in range(0, steps, chunk))

    weights, chance = random_weights(SPEC), np.random.default_rng(0)
    inputs = (chance.normal(size=(3, 7, 3)).astype(np.float32), chance.normal(size=(3, 2)).astype(np.float32))
    network = Network(SPEC, weights)
    assert network.passes is not None
    rows, state = walk(network, network.passes, inputs, LENGTHS, cuts, label)
    expected, states = reference.run(SPEC, weights.arrays, inputs, LENGTHS)
    for row, length in enumerate(LENGTHS):
        agree(rows[row][0], expected[0][row, :length], f"both of row {row}")
        agree(rows[row][1], expected[1][row], f"decoder of row {row}")
    for key, oracle in states.items():
        agree(public_states(state)[key], oracle, key)
