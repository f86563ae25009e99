"""Implementation "packed-bfloat16": only products are rounded, nobody gets it who does not ask, and where it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellserve.models import reference
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, MinGruLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.devices import Device
from cellserve.models.implementations import IMPLEMENTATIONS, IN_BFLOAT16, LABELS
from cellserve.models.implementations.packed import library
from cellserve.models.implementations.packed.layer import PackedLayer
from cellserve.models.implementations.refusals import by_packed_bfloat16
from cellserve.models.measuring import parity
from cellserve.models.measuring.calibration import calibrate
from cellserve.models.measuring.parity_bounds import BASE_BOUND, bfloat16_bound
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights
from tests.compiled import BFLOAT16, MISSING
from tests.models.networks import chain, random_weights

Array = NDArray[np.float32]

needs_bfloat16 = pytest.mark.skipif(not BFLOAT16, reason="this processor does not multiply in bfloat16")
needs_kernel = pytest.mark.skipif(MISSING, reason="the packed kernel needs a C++ compiler, and there is none")

LSTM = LstmLayer(name="l", inputs=("x",), units=20)
STACK = chain(
    LstmLayer(name="a", inputs=("x",), units=20, return_sequences=True),
    GruLayer(name="b", inputs=("a",), units=7),
    DenseLayer(name="end", inputs=("b",), units=3),
    width=5,
)
LAYERS: dict[str, RecurrentLayer] = {
    "lstm": LSTM,
    "lstm with peepholes": LSTM.model_copy(update={"peepholes": True}),
    "gru reset after": GruLayer(name="l", inputs=("x",), units=20, reset_after=True),
    "min_gru": MinGruLayer(name="l", inputs=("x",), units=20),
    "simple_rnn": SimpleRnnLayer(name="l", inputs=("x",), units=33),
    "simple_rnn multiplied": SimpleRnnLayer(name="l", inputs=("x",), units=20, combine="multiply"),
    "softmax": SimpleRnnLayer(name="l", inputs=("x",), units=20, activation="softmax"),
}


def rounded(numbers: NDArray[Any]) -> Array:
    """To the nearest bfloat16: the upper half of a float32."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def own_of(layer: RecurrentLayer, width: int) -> dict[str, Array]:
    spec = ModelSpec(inputs=(InputSpec(name="x", width=width),), layers=(layer,), outputs=(layer.name,))
    return {name.rpartition(".")[2]: np.asarray(array, np.float32) for name, array in random_weights(spec).arrays.items()}


def run(layer: RecurrentLayer, own: dict[str, Array], path: bytes | None, inputs: Array, states: tuple[Array, ...]) -> Array:
    """inputs [T, B, F]; states advanced in place."""
    return PackedLayer(library.loaded(), layer, own, path).run(inputs, [len(inputs)] * inputs.shape[1], states)


@needs_bfloat16
@pytest.mark.parametrize("width", [1, 2, 5, 33, 70])
@pytest.mark.parametrize("name", LAYERS)
def test_of_numbers_that_are_bfloat16_already_a_step_loses_nothing(name: str, width: int) -> None:
    """So nothing but what goes into products is rounded: neither sums, biases and peepholes nor gates and the new state."""
    layer, random = LAYERS[name], np.random.default_rng(width)
    own = {part: rounded(array) if array.ndim == 2 else array for part, array in own_of(layer, width).items()}
    inputs = rounded(random.standard_normal((1, 9, width)))
    given = {state: random.standard_normal((9, units)).astype(np.float32) for state, units in layer.state_widths.items()}
    given["h"] = rounded(given["h"])
    exact, found = tuple(map(np.copy, given.values())), tuple(map(np.copy, given.values()))
    expected = run(layer, own, None, inputs, exact)
    np.testing.assert_allclose(
        run(layer, own, library.bfloat16_path(library.loaded()), inputs, found), expected, rtol=2e-6, atol=2e-6
    )
    for one, other in zip(found, exact):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)


@needs_bfloat16
def test_over_many_steps_it_stays_within_the_rounding_of_bfloat16() -> None:
    own, random = own_of(LSTM, 5), np.random.default_rng(0)
    inputs = random.standard_normal((60, 9, 5)).astype(np.float32)
    exact, found = (tuple(np.zeros((9, 20), np.float32) for _ in "hc") for _ in range(2))
    expected = run(LSTM, own, None, inputs, exact)
    outputs = run(LSTM, own, library.bfloat16_path(library.loaded()), inputs, found)
    assert 1e-5 < np.abs(outputs - expected).max() < 2e-2


def test_nobody_gets_it_who_does_not_ask() -> None:
    network = Network(STACK, random_weights(STACK))
    assert IN_BFLOAT16 not in LABELS
    assert IN_BFLOAT16 not in network.offered
    assert IN_BFLOAT16 not in network.in_one_call
    assert set(calibrate(network, budget_seconds=0.01).choices.values()) <= set(LABELS)


@needs_bfloat16
def test_whole_in_chunks_and_layer_by_layer_it_keeps_the_bound_that_the_gate_records() -> None:
    report = parity.check(STACK, random_weights(STACK))
    bound = report.golden.bfloat16_bound
    assert bound is not None
    assert BASE_BOUND < report.differences[IN_BFLOAT16] < bound * 6
    assert report.differences[IN_BFLOAT16] > 10 * max(report.differences[label] for label in ("2", "packed"))
    assert report.bound < bound


def test_the_bound_is_told_where_no_processor_can_compute_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "bfloat16_path", lambda library: None)
    report = parity.check(STACK, random_weights(STACK))
    assert report.golden.bfloat16_bound is not None
    assert IN_BFLOAT16 in report.refused


def test_the_bound_grows_with_what_rounding_does_to_a_network() -> None:
    weights = random_weights(STACK)
    larger = Weights.of({name: 3 * array for name, array in weights.arrays.items()})
    bounds = []
    for one in (weights, larger):
        golden = parity.check(STACK, one).golden
        outputs, state = reference.run(STACK, one.arrays, golden.inputs, golden.lengths)
        bounds.append(bfloat16_bound(STACK, one, replace(golden, outputs=outputs, state=state), BASE_BOUND))
    assert bounds[0] is not None
    assert bounds[1] is not None
    assert bounds[1] > bounds[0] > BASE_BOUND


@needs_kernel
def test_a_processor_without_it_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "bfloat16_path", lambda library: None)
    reason = "this processor does not multiply in bfloat16 (avx512_bf16)"
    assert by_packed_bfloat16(LSTM) == reason
    assert Network(STACK, random_weights(STACK)).implementations[IN_BFLOAT16] == (
        f"implementation 'packed-bfloat16' cannot run layer 'a': {reason}"
    )
    with pytest.raises(ValueError, match="this processor does not multiply in bfloat16"):
        IMPLEMENTATIONS[IN_BFLOAT16].prepare(LSTM, {})


def test_a_network_without_recurrent_layers_has_nothing_to_round() -> None:
    spec = chain(DenseLayer(name="d", inputs=("x",), units=2))
    assert Network(spec, random_weights(spec)).implementations[IN_BFLOAT16] == (
        "implementation 'packed-bfloat16' has nothing to compute: the network has no recurrent layer"
    )
    assert parity.check(spec, random_weights(spec)).golden.bfloat16_bound is None


def test_on_another_device_than_a_processor_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellserve.models.network.Device", lambda name: Device("cuda"))
    assert Network(STACK, random_weights(STACK)).implementations[IN_BFLOAT16] == (
        "implementation 'packed-bfloat16' computes on a processor, and this network is on cuda"
    )


@needs_bfloat16
def test_its_weights_take_half() -> None:
    own, loaded = own_of(LSTM, 5), library.loaded()
    whole, half = (PackedLayer(loaded, LSTM, own, path).unseen_bytes for path in (None, library.bfloat16_path(loaded)))
    products = own["kernel"].nbytes + own["recurrent_kernel"].nbytes
    assert whole - half == products // 2
