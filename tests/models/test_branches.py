"""Beyond a chain: branches, several inputs and windows of time, against the oracle and through the gate of publishing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellserve.models import reference
from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import GlobalPooling1dLayer
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer, MaskingLayer
from cellserve.models.description.layers.windowed import Conv1dLayer, Pooling1dLayer
from cellserve.models.measuring import parity
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
from tests.models.networks import agree, chain, features, random_weights, supported

LENGTHS = (6, 2, 4)
IDS = InputSpec(name="ids", kind="ids")
VECTOR = InputSpec(name="v", kind="vector", width=2)


def several_inputs() -> ModelSpec:
    """Two sequences and a vector: words beside features, and what is known of each row beside the last output."""
    layers: list[LayerSpec] = [
        EmbeddingLayer(name="words", inputs=("ids",), vocabulary=5, units=2, mask_zero=True),
        LstmLayer(name="lstm", inputs=("x",), units=3, return_sequences=True),
        MergeLayer(name="both", inputs=("lstm", "words"), mode="concat"),
        GruLayer(name="gru", inputs=("both",), units=4),
        DenseLayer(name="known", inputs=("v",), units=2, activation="relu"),
        MergeLayer(name="ends", inputs=("gru", "known"), mode="concat"),
        DenseLayer(name="answer", inputs=("ends",), units=2),
    ]
    return ModelSpec(inputs=(*features(), IDS, VECTOR), layers=tuple(layers), outputs=("answer", "both"))


def test_several_inputs_run_whole_and_ragged() -> None:
    spec, random = several_inputs(), np.random.default_rng(0)
    weights = random_weights(spec)
    x = random.normal(size=(3, 6, 3)).astype(np.float32)
    ids, v = random.integers(0, 5, (3, 6)), random.normal(size=(3, 2)).astype(np.float32)
    (answer, both), _ = reference.run(spec, weights.arrays, (x, ids, v), LENGTHS)
    network = Network(spec, weights)
    assert not network.causal
    for row, length in enumerate(LENGTHS):
        x[row, length:], ids[row, length:] = np.nan, 10**9
    given = (torch.tensor(x).transpose(0, 1), torch.tensor(ids).transpose(0, 1), torch.tensor(v))
    for label in supported(network):
        outputs, _ = network.run(given, LENGTHS, implementation=label)
        agree(outputs[0].numpy(), answer, f"implementation {label}")
        for row, length in enumerate(LENGTHS):
            agree(outputs[1][:length, row].numpy(), both[row, :length], f"implementation {label}, row {row}")


@pytest.mark.parametrize(
    "spec",
    [
        several_inputs(),
        chain(
            Conv1dLayer(name="conv", inputs=("x",), units=4, kernel_size=5, strides=2),
            Pooling1dLayer(name="pool", inputs=("conv",), mode="average", pool_size=3, strides=1),
            LstmLayer(name="lstm", inputs=("pool",), units=3, return_sequences=True),
            outputs=("lstm", "conv"),
        ),
        chain(
            LstmLayer(name="lstm", inputs=("x",), units=3, return_sequences=True),
            MergeLayer(name="skip", inputs=("x", "lstm"), mode="maximum"),
            GruLayer(name="gru", inputs=("skip",), units=2),
        ),
    ],
    ids=["several inputs", "windows", "skip"],
)
def test_the_gate_takes_them(spec: ModelSpec) -> None:
    report = parity.check(spec, random_weights(spec))
    assert {"0", "1", "2"} <= set(report.differences)
    again = parity.GoldenPair.from_json(report.golden.to_json())
    network = Network(spec, random_weights(spec))
    assert parity.verify(network, again, report.bound, "2") <= report.differences["2"] + 1e-6


def test_the_gate_takes_the_average_of_nothing_for_what_the_frameworks_give() -> None:
    spec = chain(
        MaskingLayer(name="masking", inputs=("x",)),
        GruLayer(name="gru", inputs=("masking",), units=2, return_sequences=True),
        GlobalPooling1dLayer(name="mean", inputs=("gru",), mode="average"),
    )
    weights = random_weights(spec)
    golden = parity.check(spec, weights).golden
    network = Network(spec, weights)
    blank = np.zeros_like(golden.inputs[0])
    outputs, state = reference.run(spec, weights.arrays, (blank,), golden.lengths)
    assert np.isnan(outputs[0]).all()
    nothing = parity.GoldenPair((blank,), golden.lengths, outputs, state)
    assert parity.verify(network, nothing, parity.BASE_BOUND, "2") == 0.0
    invented = parity.GoldenPair((blank,), golden.lengths, (np.zeros_like(outputs[0]),), state)
    with pytest.raises(parity.ParityFailure, match="output 'mean'"):
        parity.verify(network, invented, parity.BASE_BOUND, "2")
