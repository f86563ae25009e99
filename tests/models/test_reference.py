"""The oracle against numbers worked out by hand, and the rules of masks, lengths and directions that define it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.shapes import expected_weights
from cellserve.models.reference.activations import apply
from cellserve.models.spec import ModelSpec


def spec_of(*layers: dict[str, Any], inputs: list[dict[str, Any]] | None = None, outputs: list[str] | None = None) -> ModelSpec:
    """A chain: each layer reads the one before it, unless it says otherwise."""
    entries = inputs or [{"name": "x", "width": 1}]
    chained, previous = [], entries[0]["name"]
    for number, layer in enumerate(layers):
        named = {"name": f"layer_{number}", "inputs": [previous], **layer}
        previous = named["name"]
        chained.append(named)
    return ModelSpec.model_validate({"inputs": entries, "layers": chained, "outputs": outputs or [previous]})


def constant_weights(spec: ModelSpec, **values: float) -> dict[str, np.ndarray]:
    """Arrays of one number each, by the last part of their names; zeros where nothing is said."""
    return {name: np.full(shape, values.get(name.rpartition(".")[2], 0.0)) for name, shape in expected_weights(spec).items()}


def random_weights(spec: ModelSpec, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape) for name, shape in expected_weights(spec).items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_a_simple_rnn_by_hand() -> None:
    spec = spec_of({"kind": "simple_rnn", "units": 1, "return_sequences": True})
    weights = constant_weights(spec, kernel=2.0, recurrent_kernel=0.5, bias=0.1)
    (outputs,), state = reference.run(spec, weights, (np.array([[[1.0], [-1.0]]]),), [2])
    first = math.tanh(2.0 + 0.1)
    second = math.tanh(-2.0 + 0.5 * first + 0.1)
    np.testing.assert_allclose(outputs[0, :, 0], [first, second], rtol=1e-15)
    assert state["0.h"][0, 0] == outputs[0, 1, 0]


def test_an_lstm_step_by_hand_with_different_gates() -> None:
    """Block order i, f, c, o; the activation squashes candidate and output, the recurrent one the gates."""
    spec = spec_of({"kind": "lstm", "units": 1})
    arrays = {
        "layer_0.kernel": np.array([[0.1, 0.2, 0.3, 0.4]]),
        "layer_0.recurrent_kernel": np.array([[0.5, 0.6, 0.7, 0.8]]),
        "layer_0.bias": np.array([1.0, 2.0, 3.0, 4.0]),
    }
    h0, c0, x = 0.25, -0.5, 2.0
    state = {"0.h": np.array([[h0]]), "0.c": np.array([[c0]])}
    (outputs,), final = reference.run(spec, arrays, (np.array([[[x]]]),), [1], state=state)
    i, f, g, o = (x * 0.1 * (k + 1) + h0 * (0.5 + 0.1 * k) + 1.0 + k for k in range(4))
    c = sigmoid(f) * c0 + sigmoid(i) * math.tanh(g)
    np.testing.assert_allclose(final["0.c"], [[c]], rtol=1e-14)
    np.testing.assert_allclose(outputs, [[sigmoid(o) * math.tanh(c)]], rtol=1e-14)


def test_an_lstm_projection_is_the_state_that_recurs() -> None:
    spec = spec_of({"kind": "lstm", "units": 3, "projection_units": 2})
    weights = random_weights(spec)
    x = np.random.default_rng(1).normal(size=(1, 2, 1))
    _, state = reference.run(spec, weights, (x,), [2])
    assert state["0.h"].shape == (1, 2)
    assert state["0.c"].shape == (1, 3)
    plain = spec_of({"kind": "lstm", "units": 3, "use_bias": True})
    one_step = {**weights, "layer_0.recurrent_kernel": np.zeros((3, 12))}
    del one_step["layer_0.projection"]
    (unprojected,), _ = reference.run(plain, one_step, (x[:, :1],), [1])
    (projected,), _ = reference.run(spec, weights, (x[:, :1],), [1])
    np.testing.assert_allclose(projected, unprojected @ weights["layer_0.projection"], rtol=1e-13)


def test_an_lstm_step_with_peepholes_and_clips_by_hand() -> None:
    """The output gate looks at the new c, after its clip; the projection is clipped too."""
    extras = {"peepholes": True, "cell_clip": 0.5, "projection_units": 1, "projection_clip": 0.25}
    spec = spec_of({"kind": "lstm", "units": 1, "return_sequences": False, **extras})
    peepholes = {f"layer_0.peephole_{gate}": np.array([value]) for gate, value in zip("ifo", (0.5, -1.0, 2.0))}
    arrays = {
        "layer_0.kernel": np.array([[1.0, 0.5, 2.0, -1.0]]),
        "layer_0.recurrent_kernel": np.zeros((1, 4)),
        "layer_0.bias": np.zeros(4),
        "layer_0.projection": np.array([[3.0]]),
        **peepholes,
    }
    c0 = 0.75
    (outputs,), final = reference.run(spec, arrays, (np.array([[[1.0]]]),), [1], state={"0.c": np.array([[c0]])})
    c = sigmoid(0.5 - c0) * c0 + sigmoid(1.0 + 0.5 * c0) * math.tanh(2.0)
    assert c > 0.5
    np.testing.assert_allclose(final["0.c"], [[0.5]], rtol=1e-14)
    h = 3.0 * sigmoid(-1.0 + 2.0 * 0.5) * math.tanh(0.5)
    assert h > 0.25
    np.testing.assert_allclose(outputs, [[0.25]], rtol=1e-14)
    looser = spec.model_copy(update={"layers": (spec.layers[0].model_copy(update={"projection_clip": None}),)})
    (outputs,), _ = reference.run(looser, arrays, (np.array([[[1.0]]]),), [1], state={"0.c": np.array([[c0]])})
    np.testing.assert_allclose(outputs, [[h]], rtol=1e-14)


@pytest.mark.parametrize("reset_after", [False, True])
def test_a_gru_step_by_hand(reset_after: bool) -> None:
    """z keeps the old state; the reset gate acts on the state, or on its product."""
    spec = spec_of({"kind": "gru", "units": 1, "reset_after": reset_after})
    arrays = {
        "layer_0.kernel": np.array([[0.1, 0.2, 0.3]]),
        "layer_0.recurrent_kernel": np.array([[0.4, 0.5, 0.6]]),
        "layer_0.bias": np.array([0.7, 0.8, 0.9]),
    }
    recurrent_bias = (1.0, 1.1, 1.2) if reset_after else (0.0, 0.0, 0.0)
    if reset_after:
        arrays["layer_0.recurrent_bias"] = np.array(recurrent_bias)
    h0, x = 0.5, -1.5
    (outputs,), _ = reference.run(spec, arrays, (np.array([[[x]]]),), [1], state={"0.h": np.array([[h0]])})
    z = sigmoid(x * 0.1 + 0.7 + h0 * 0.4 + recurrent_bias[0])
    r = sigmoid(x * 0.2 + 0.8 + h0 * 0.5 + recurrent_bias[1])
    carried = r * (h0 * 0.6 + recurrent_bias[2]) if reset_after else (r * h0) * 0.6
    np.testing.assert_allclose(outputs, [[z * h0 + (1 - z) * math.tanh(x * 0.3 + 0.9 + carried)]], rtol=1e-14)


def counter(**options: Any) -> ModelSpec:
    """A recurrence that adds its inputs up, so that every output tells which steps were seen."""
    layer = {"kind": "simple_rnn", "units": 1, "activation": "linear", "use_bias": False, "return_sequences": True, **options}
    return spec_of(layer)


ADDING = {"layer_0.kernel": np.ones((1, 1)), "layer_0.recurrent_kernel": np.ones((1, 1))}
TENS = np.array([[[1.0], [10.0], [100.0], [1000.0]]])


@pytest.mark.parametrize(
    ("rule", "fresh", "carried"),
    [
        ("repeat", [0, 10, 10, 1010], [0, 15, 15, 1015]),
        ("repeat_from_state", [0, 10, 10, 1010], [5, 15, 15, 1015]),
        ("zero", [0, 10, 0, 1010], [0, 15, 0, 1015]),
    ],
)
def test_what_masked_steps_emit(rule: str, fresh: list[float], carried: list[float]) -> None:
    spec, mask = counter(mask_rule=rule), np.array([[False, True, False, True]])
    (outputs,), state = reference.run(spec, ADDING, (TENS,), [4], mask=mask)
    assert outputs[0, :, 0].tolist() == fresh
    assert state["0.h"].tolist() == [[1010.0]]
    (outputs,), state = reference.run(spec, ADDING, (TENS,), [4], mask=mask, state={"0.h": np.array([[5.0]])})
    assert outputs[0, :, 0].tolist() == carried
    assert state["0.h"].tolist() == [[1015.0]]


@pytest.mark.parametrize(("rule", "last"), [("repeat", 11.0), ("zero", 0.0)])
def test_the_last_output_is_the_last_one_emitted(rule: str, last: float) -> None:
    spec, mask = counter(mask_rule=rule, return_sequences=False), np.array([[True, True, False, False]])
    (outputs,), state = reference.run(spec, ADDING, (TENS,), [4], mask=mask)
    assert outputs.tolist() == [[last]]
    assert state["0.h"].tolist() == [[11.0]]


def test_going_backwards_emits_in_processing_order_within_each_row() -> None:
    inputs = np.concatenate([TENS, TENS])
    (outputs,), _ = reference.run(counter(go_backwards=True), ADDING, (inputs,), [4, 2])
    assert outputs[:, :, 0].tolist() == [[1000, 1100, 1110, 1111], [10, 11, 0, 0]]


def test_going_backwards_turns_the_mask_too_and_a_reverse_layer_turns_only_values() -> None:
    spec = spec_of(
        {
            "kind": "simple_rnn",
            "units": 1,
            "activation": "linear",
            "use_bias": False,
            "return_sequences": True,
            "go_backwards": True,
        },
        {"kind": "reverse"},
        {"kind": "simple_rnn", "units": 1, "activation": "linear", "use_bias": False, "return_sequences": True},
        outputs=["layer_0", "layer_1", "layer_2"],
    )
    weights = {**ADDING, "layer_2.kernel": np.ones((1, 1)), "layer_2.recurrent_kernel": np.ones((1, 1))}
    mask = np.array([[True, False, True, True]])
    (backwards, turned, second), _ = reference.run(spec, weights, (TENS,), [4], mask=mask)
    assert backwards[0, :, 0].tolist() == [1000, 1100, 1100, 1101]
    assert turned[0, :, 0].tolist() == [1101, 1100, 1100, 1000]
    assert second[0, :, 0].tolist() == [1101, 1101, 2201, 3201]  # masked as the input is: at its second step


def test_rows_end_at_their_own_length_and_what_lies_beyond_never_matters() -> None:
    spec = spec_of({"kind": "lstm", "units": 3, "return_sequences": True}, {"kind": "gru", "units": 2, "return_sequences": True})
    weights = random_weights(spec)
    x = np.random.default_rng(2).normal(size=(2, 5, 1))
    (both,), states = reference.run(spec, weights, (x,), [5, 3])
    x[1, 3:] = 1e6
    (alone,), alone_states = reference.run(spec, weights, (x[1:],), [3])
    np.testing.assert_array_equal(both[1, :3], alone[0, :3])
    assert not both[1, 3:].any()
    for key in states:
        np.testing.assert_array_equal(states[key][1], alone_states[key][0])


def test_a_sequence_in_two_calls_is_the_sequence() -> None:
    spec = spec_of({"kind": "lstm", "units": 3, "return_sequences": True}, {"kind": "gru", "units": 2})
    weights = random_weights(spec)
    x = np.random.default_rng(3).normal(size=(2, 6, 1))
    (whole,), whole_state = reference.run(spec, weights, (x,), [6, 6])
    _, state = reference.run(spec, weights, (x[:, :2],), [2, 2])
    (second,), state = reference.run(spec, weights, (x[:, 2:],), [4, 4], state=state)
    np.testing.assert_allclose(second, whole, rtol=1e-14)
    for key in state:
        np.testing.assert_allclose(state[key], whole_state[key], rtol=1e-14)


def test_initial_states_that_are_inputs_of_the_graph() -> None:
    inputs = [{"name": "x", "width": 1}, {"name": "start", "kind": "vector", "width": 1}]
    layer = {"kind": "simple_rnn", "name": "sum", "inputs": ["x", "start"], "units": 1, "activation": "linear", "use_bias": False}
    spec = spec_of(layer, inputs=inputs, outputs=["sum", "sum:h"])
    weights = {"sum.kernel": np.ones((1, 1)), "sum.recurrent_kernel": np.ones((1, 1))}
    (outputs, final), state = reference.run(spec, weights, (TENS, np.array([[0.5]])), [3])
    assert outputs.tolist() == final.tolist() == state["0.h"].tolist() == [[111.5]]


def test_masking_hides_steps_of_one_value_and_zeroes_them() -> None:
    spec = spec_of(
        {"kind": "masking", "mask_value": -1.0},
        {"kind": "simple_rnn", "units": 1, "activation": "linear", "use_bias": False, "return_sequences": True},
        inputs=[{"name": "x", "width": 2}],
        outputs=["layer_0", "layer_1"],
    )
    weights = {"layer_1.kernel": np.ones((2, 1)), "layer_1.recurrent_kernel": np.ones((1, 1))}
    x = np.array([[[-1.0, -1.0], [-1.0, 2.0], [-1.0, -1.0]]])
    (masked, outputs), _ = reference.run(spec, weights, (x,), [3])
    assert masked.tolist() == [[[0, 0], [-1, 2], [0, 0]]]
    assert outputs[0, :, 0].tolist() == [0, 1, 1]


def test_a_masking_value_is_compared_in_float32_as_frameworks_do() -> None:
    spec = spec_of({"kind": "masking", "mask_value": -0.1}, {"kind": "simple_rnn", "units": 1})
    x = np.full((1, 1, 1), -0.1, dtype=np.float32)
    (outputs,), _ = reference.run(spec, constant_weights(spec, kernel=1.0, bias=5.0), (x,), [1])
    assert outputs.tolist() == [[0.0]]


def test_embedding_masks_zero_and_a_given_mask_is_anded_with_it() -> None:
    layers = (
        {"kind": "embedding", "vocabulary": 4, "units": 1, "mask_zero": True},
        {"kind": "dropout", "rate": 0.5},
        {"kind": "dense", "units": 1},
        {"kind": "simple_rnn", "units": 1, "activation": "linear", "use_bias": False},
    )
    spec = spec_of(*layers, inputs=[{"name": "ids", "kind": "ids"}])
    weights = constant_weights(spec, kernel=1.0, recurrent_kernel=1.0) | {
        "layer_0.table": np.array([[7.0], [1.0], [10.0], [100.0]])
    }
    ids = np.array([[1, 0, 2, 3]])
    (outputs,), _ = reference.run(spec, weights, (ids,), [4])
    assert outputs.tolist() == [[111.0]]
    (outputs,), _ = reference.run(spec, weights, (ids,), [4], mask=np.array([[True, True, False, True]]))
    assert outputs.tolist() == [[101.0]]


@pytest.mark.parametrize(
    ("mode", "expected"), [("sum", [5, 7]), ("multiply", [4, 10]), ("average", [2.5, 3.5]), ("concat", [1, 2, 4, 5])]
)
def test_merges(mode: str, expected: list[float]) -> None:
    inputs = [{"name": "x", "width": 2}, {"name": "y", "width": 2}]
    spec = spec_of({"kind": "merge", "inputs": ["x", "y"], "mode": mode}, inputs=inputs)
    (outputs,), _ = reference.run(spec, {}, (np.array([[[1.0, 2.0]]]), np.array([[[4.0, 5.0]]])), [1])
    assert outputs[0, 0].tolist() == expected


def test_flatten_last_step_and_repeat_vector() -> None:
    inputs = [{"name": "x", "width": 2, "time_steps": 2}]
    x = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    (flat,), _ = reference.run(spec_of({"kind": "flatten"}, inputs=inputs), {}, (x,), [2])
    assert flat.tolist() == [[1, 2, 3, 4]]
    (repeated,), _ = reference.run(
        spec_of({"kind": "last_step"}, {"kind": "repeat_vector", "count": 3}, inputs=inputs), {}, (x,), [1]
    )
    assert repeated.tolist() == [[[1, 2]] * 3]


def test_norms_by_hand() -> None:
    x = np.array([[[1.0, 3.0]]])
    batch = spec_of({"kind": "batch_normalization", "epsilon": 0.0}, inputs=[{"name": "x", "width": 2}])
    weights = {
        "layer_0.gamma": np.array([2.0, 1.0]),
        "layer_0.beta": np.array([0.5, 0.0]),
        "layer_0.moving_mean": np.array([0.0, 1.0]),
        "layer_0.moving_variance": np.array([4.0, 1.0]),
    }
    (outputs,), _ = reference.run(batch, weights, (x,), [1])
    assert outputs[0, 0].tolist() == [1.5, 2.0]
    layer = spec_of(
        {"kind": "layer_normalization", "epsilon": 0.0, "scale": False, "center": False}, inputs=[{"name": "x", "width": 2}]
    )
    (outputs,), _ = reference.run(layer, {}, (x,), [1])
    assert outputs[0, 0].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "alpha", "x", "expected"),
    [
        ("hard_sigmoid", None, [-2.5, 1.0, 2.5], [0.0, 0.7, 1.0]),
        ("hard_sigmoid_relu6", None, [-3.0, 1.5, 3.0], [0.0, 0.75, 1.0]),
        ("leaky_relu", 0.3, [-1.0, 2.0], [-0.3, 2.0]),
        ("relu6", None, [-1.0, 7.0], [0.0, 6.0]),
        ("elu", 2.0, [-math.log(2), 1.0], [-1.0, 1.0]),
        ("celu", 2.0, [-2 * math.log(2), 1.0], [-1.0, 1.0]),
        ("selu", None, [-1.0, 1.0], [-1.11133074, 1.05070099]),
        ("softmax", None, [0.0, math.log(3)], [0.25, 0.75]),
        ("log_softmax", None, [0.0, math.log(3)], [math.log(0.25), math.log(0.75)]),
        ("softplus", None, [0.0, 1000.0], [math.log(2), 1000.0]),
        ("softsign", None, [-1.0, 3.0], [-0.5, 0.75]),
        ("sigmoid", None, [-1000.0, 0.0, 1000.0], [0.0, 0.5, 1.0]),
        ("gelu", None, [1.0], [0.841344746]),
        ("gelu_tanh", None, [1.0], [0.841191990]),
        ("silu", None, [1.0], [0.731058579]),
        ("mish", None, [1.0], [0.865098388]),
        ("log_sigmoid", None, [0.0, -1000.0], [-math.log(2), -1000.0]),
        ("hard_tanh", None, [-2.0, 0.5], [-1.0, 0.5]),
        ("hard_silu", None, [3.0, -3.0], [3.0, 0.0]),
        ("tanh_shrink", None, [1.0], [0.238405844]),
        ("soft_shrink", 0.5, [-1.0, 0.25], [-0.5, 0.0]),
        ("hard_shrink", 0.5, [-1.0, 0.25], [-1.0, 0.0]),
        ("squareplus", 4.0, [0.0], [1.0]),
        ("exponential", None, [1.0], [math.e]),
    ],
)
def test_activations(name: str, alpha: float | None, x: list[float], expected: list[float]) -> None:
    found = apply(Activation.model_validate({"name": name, "alpha": alpha}), np.array(x))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-15)


def test_in_float32_every_number_is_float32() -> None:
    spec = spec_of({"kind": "lstm", "units": 3, "activation": "gelu"}, {"kind": "dense", "units": 2, "activation": "softmax"})
    weights = random_weights(spec)
    x = np.random.default_rng(4).normal(size=(1, 3, 1))
    (single,), state = reference.run(spec, weights, (x,), [3], dtype=np.float32)
    (double,), _ = reference.run(spec, weights, (x,), [3])
    assert {single.dtype, *(array.dtype for array in state.values())} == {np.dtype(np.float32)}
    assert 0 < np.abs(single - double).max() < 1e-5


def test_a_simple_deep_rnn_by_hand() -> None:
    """Steps before the first add nothing, or what the activation makes of zeros: half, for a hard_sigmoid."""
    layer = {"kind": "simple_deep_rnn", "units": 1, "depth": 2, "activation": "linear", "return_sequences": True}
    x = np.array([[[1.0], [2.0], [4.0]]])
    for missing, half in (("absent", 0.0), ("zero", 0.5)):
        spec = spec_of({**layer, "missing_steps": missing})
        arrays = {
            "layer_0.kernel": np.array([[1.0]]),
            "layer_0.recurrent_kernel": np.array([[0.5, 1.0]]),
            "layer_0.bias": np.array([0.0]),
        }
        (outputs,), state = reference.run(spec, arrays, (x,), [3])
        first = 1.0 + 2 * half
        second = 2.0 + (0.2 * 0.5 * first + 0.5) + half
        third = 4.0 + (0.2 * 0.5 * second + 0.5) + (0.2 * first + 0.5)
        np.testing.assert_allclose(outputs[0, :, 0], [first, second, third], rtol=1e-14)
        assert state["0.h_2"][0, 0] == outputs[0, 1, 0]


def test_a_jzs1_step_by_hand() -> None:
    spec = spec_of({"kind": "jzs", "variant": 1, "units": 1})
    arrays = {
        "layer_0.kernel": np.array([[0.1, 0.2, 0.3]]),
        "layer_0.recurrent_kernel": np.array([[0.5, 0.6]]),
        "layer_0.bias": np.array([1.0, 2.0]),
        "layer_0.candidate_bias": np.array([3.0]),
    }
    h0, x = 0.25, 2.0
    (outputs,), _ = reference.run(spec, arrays, (np.array([[[x]]]),), [1], state={"0.h": np.array([[h0]])})
    z, r = sigmoid(0.1 * x + 1.0), sigmoid(0.2 * x + 0.5 * h0 + 2.0)
    candidate = math.tanh(math.tanh(0.3 * x) + 3.0 + r * h0 * 0.6)
    np.testing.assert_allclose(outputs, [[z * candidate + (1 - z) * h0]], rtol=1e-14)


def test_a_min_gru_step_by_hand() -> None:
    spec = spec_of({"kind": "min_gru", "units": 1})
    arrays = {"layer_0.kernel": np.array([[0.1, 0.2]]), "layer_0.bias": np.array([1.0, 2.0])}
    h0, x = 0.25, 2.0
    (outputs,), _ = reference.run(spec, arrays, (np.array([[[x]]]),), [1], state={"0.h": np.array([[h0]])})
    z = sigmoid(0.1 * x + 1.0)
    np.testing.assert_allclose(outputs, [[(1 - z) * h0 + z * (0.2 * x + 2.0)]], rtol=1e-14)


def test_a_min_lstm_step_by_hand() -> None:
    spec = spec_of({"kind": "min_lstm", "units": 1})
    arrays = {"layer_0.kernel": np.array([[0.1, 0.2, 0.3]]), "layer_0.bias": np.array([1.0, 2.0, 3.0])}
    h0, x = 0.25, 2.0
    (outputs,), _ = reference.run(spec, arrays, (np.array([[[x]]]),), [1], state={"0.h": np.array([[h0]])})
    f, i = sigmoid(0.1 * x + 1.0), sigmoid(0.2 * x + 2.0)
    np.testing.assert_allclose(outputs, [[(f * h0 + i * (0.3 * x + 3.0)) / (f + i)]], rtol=1e-14)


def test_two_slstm_steps_by_hand() -> None:
    """Weighted means of the candidates, the weights being products of exponentials: no stabiliser is seen in the answer."""
    spec = spec_of({"kind": "slstm", "units": 1, "use_bias": False})
    W, U = (0.4, 0.3, 0.2, 0.1), (0.5, 0.6, 0.7, 0.8)
    arrays = {"layer_0.kernel": np.array([W]), "layer_0.recurrent_kernel": np.array([U])}
    (outputs,), _ = reference.run(spec, arrays, (np.array([[[1.0], [2.0]]]),), [2])
    first = sigmoid(W[3]) * math.tanh(W[2])
    i, f, z, o = (2 * w + first * u for w, u in zip(W, U))
    past = math.exp(W[0]) * sigmoid(f)
    mean = (past * math.tanh(W[2]) + math.exp(i) * math.tanh(z)) / (past + math.exp(i))
    np.testing.assert_allclose(outputs, [[sigmoid(o) * mean]], rtol=1e-14)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("reset", [1.0, 3.0, 3.0, 4.0]),  # after the masked 2 the sum begins anew with 3, and after the masked 3 with 4
        ("ignore", [1.0, 3.0, 6.0, 10.0]),
        ("zero_or_empty", [1.0, 3.0, 0.0, 7.0]),
    ],
)
def test_mask_rules_of_the_first_releases(rule: str, expected: list[float]) -> None:
    """A running sum of 1 2 3 4 whose second and third steps are masked, or only the third."""
    layer = {"kind": "simple_rnn", "units": 1, "activation": "linear", "return_sequences": True, "mask_rule": rule}
    spec = spec_of(layer)
    weights = constant_weights(spec, kernel=1.0, recurrent_kernel=1.0)
    x = np.array([[[1.0], [2.0], [3.0], [4.0]]])
    mask = np.array([[True, rule != "reset", False, True]])
    (outputs,), _ = reference.run(spec, weights, (x,), [4], mask=mask)
    np.testing.assert_array_equal(outputs[0, :, 0], expected)


def test_steps_of_zeros_under_a_mask_count_as_masked_in_one_release() -> None:
    layer = {"kind": "simple_rnn", "units": 1, "activation": "linear", "return_sequences": True, "mask_rule": "zero_or_empty"}
    spec = spec_of(layer)
    weights = constant_weights(spec, kernel=1.0, recurrent_kernel=1.0, bias=1.0)
    x = np.array([[[1.0], [0.0], [2.0]]])
    (masked,), _ = reference.run(spec, weights, (x,), [3], mask=np.ones((1, 3), bool))
    np.testing.assert_array_equal(masked[0, :, 0], [2.0, 0.0, 5.0])
    (plain,), _ = reference.run(spec, weights, (x,), [3])
    np.testing.assert_array_equal(plain[0, :, 0], [2.0, 3.0, 6.0])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"padding": "valid"}, [14.0, 20.0, 26.0]),
        ({"padding": "same"}, [8.0, 14.0, 20.0, 26.0, 14.0]),
        ({"padding": "causal"}, [3.0, 8.0, 14.0, 20.0, 26.0]),
        ({"padding": "same", "strides": 2}, [8.0, 20.0, 14.0]),
        ({"padding": "valid", "dilation": 2}, [22.0]),
    ],
)
def test_a_convolution_by_hand(options: dict[str, Any], expected: list[float]) -> None:
    """Of 1 2 3 4 5 with the kernel 1 2 3."""
    spec = spec_of({"kind": "conv1d", "units": 1, "kernel_size": 3, "use_bias": False, **options})
    arrays = {"layer_0.kernel": np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)}
    (outputs,), _ = reference.run(spec, arrays, (np.arange(1.0, 6.0).reshape(1, 5, 1),), [5])
    np.testing.assert_array_equal(outputs[0, :, 0], expected)


def test_pooling_by_hand() -> None:
    """What padding adds counts neither in a maximum nor in an average; a mask counts in the average of all steps."""
    x = np.array([1.0, 3.0, -2.0, -4.0, -1.0]).reshape(1, 5, 1)
    for options, expected in (
        ({"kind": "pooling_1d", "mode": "max"}, [3.0, -2.0]),
        ({"kind": "pooling_1d", "mode": "max", "padding": "same"}, [3.0, -2.0, -1.0]),
        ({"kind": "pooling_1d", "mode": "average", "padding": "same"}, [2.0, -3.0, -1.0]),
        ({"kind": "padding_1d", "before": 1, "after": 0}, [0.0, 1.0, 3.0, -2.0, -4.0, -1.0]),
        ({"kind": "padding_1d", "before": 1, "after": 2, "fill": "reflect"}, [3.0, 1.0, 3.0, -2.0, -4.0, -1.0, -4.0, -2.0]),
        ({"kind": "padding_1d", "before": 1, "after": 2, "fill": "edge"}, [1.0, 1.0, 3.0, -2.0, -4.0, -1.0, -1.0, -1.0]),
        ({"kind": "cropping_1d", "before": 1, "after": 2}, [3.0, -2.0]),
        ({"kind": "cropping_1d", "before": 0, "after": 0}, [1.0, 3.0, -2.0, -4.0, -1.0]),
    ):
        (outputs,), _ = reference.run(spec_of(options), {}, (x,), [5])
        np.testing.assert_array_equal(outputs[0, :, 0], expected)
    mask = np.array([[True, True, False, False, True]])
    for mode, found in (("max", 3.0), ("average", 1.0)):
        (outputs,), _ = reference.run(spec_of({"kind": "global_pooling_1d", "mode": mode}), {}, (x,), [5], mask=mask)
        assert outputs[0, 0] == found
