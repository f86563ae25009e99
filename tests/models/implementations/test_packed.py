"""Implementation "packed": its numbers on every instruction set, to the last bit alone and among others, and how it is missed."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.layers.activation import WITH_BETA, Activation, ActivationName, takes_alpha
from cellserve.models.description.layers.cells import (
    GruLayer,
    JzsLayer,
    LstmLayer,
    MinGruLayer,
    SimpleDeepRnnLayer,
    SimpleRnnLayer,
)
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.graph import Graph
from cellserve.models.implementations import IMPLEMENTATIONS
from cellserve.models.implementations.packed import library
from cellserve.models.implementations.packed.chunk import PackedChunk
from cellserve.models.implementations.packed.description import FUNCTIONS, obstacle
from cellserve.models.implementations.packed.layer import PackedLayer
from cellserve.models.implementations.refusals import by_packed
from cellserve.models.network import Network
from cellserve.models.numerics.activations import resolve
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.spec import InputSpec, ModelSpec
from tests.compiled import BFLOAT16, COMPILER, MISSING
from tests.examples import examples
from tests.models.networks import agree, chain, random_weights

Array = NDArray[np.float32]

CPU = torch.device("cpu")
NATIVE = Path(library.__file__).with_name("native")
LAYERS: dict[str, tuple[type[RecurrentLayer], dict[str, Any]]] = {
    "lstm": (LstmLayer, {}),
    "lstm without bias": (LstmLayer, {"use_bias": False}),
    "lstm with peepholes and clip": (LstmLayer, {"peepholes": True, "cell_clip": 0.3}),
    "lstm with projection": (LstmLayer, {"projection_units": 2, "projection_clip": 0.2}),
    "gru reset before": (GruLayer, {}),
    "gru reset after": (GruLayer, {"reset_after": True}),
    "min_gru": (MinGruLayer, {}),
    "simple_rnn": (SimpleRnnLayer, {}),
    "simple_rnn multiplied": (SimpleRnnLayer, {"combine": "multiply"}),
}
NAMED = [Activation(name=name) for name in FUNCTIONS]
WITH_ALPHA = [Activation(name=name, alpha=0.7) for name in FUNCTIONS if takes_alpha(name)]

needs_kernel = pytest.mark.skipif(MISSING, reason="the packed kernel needs a C++ compiler, and there is none")
PATHS = [] if library.missing() else [path.decode() for path in library.paths(library.loaded())]
IN_ANY_PRECISION = [*PATHS, "bfloat16"] if BFLOAT16 else PATHS


def test_the_kernel_is_here_wherever_a_compiler_is() -> None:
    assert not COMPILER or library.missing() is None
    assert not PATHS or PATHS[-1] == "plain"


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (
            JzsLayer(name="l", inputs=("x",), units=2, variant=1),
            "it is a jzs layer; the packed kernel knows lstm, gru, simple_rnn",
        ),
        (SimpleDeepRnnLayer(name="l", inputs=("x",), units=2, depth=1), "it is a simple_deep_rnn layer"),
        (LstmLayer(name="l", inputs=("x",), units=2, mask_rule="reset"), "a masked step resets its state"),
    ],
)
def test_what_it_does_not_know_it_refuses_and_says_why(layer: RecurrentLayer, reason: str) -> None:
    assert str(by_packed(layer)).startswith(reason)
    with pytest.raises(ValueError, match=reason):
        IMPLEMENTATIONS["packed"].prepare(layer, {})


def test_a_kernel_that_was_not_compiled_is_missed_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "missing", lambda: library_missing(tmp_path / "libpacked.so"))
    spec = chain(LstmLayer(name="l", inputs=("x",), units=2))
    assert Network(spec, random_weights(spec)).implementations["packed"] == (
        "implementation 'packed' cannot run layer 'l': the packed kernel was not compiled: install cellserve again where there "
        "is a C++ compiler (g++ or clang++) or the package ziglang"
    )


library_missing = library.missing


def test_a_file_that_is_no_library_is_told(tmp_path: Path) -> None:
    (tmp_path / "libpacked.so").write_bytes(b"not a library")
    assert str(library.missing(tmp_path / "libpacked.so")).startswith("the packed kernel cannot be loaded (")


@needs_kernel
def test_a_library_of_other_sources_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "VERSION", library.VERSION + 1)
    old = tmp_path / "libpacked.so"
    old.write_bytes(library.FILE.read_bytes())
    assert "was compiled from other sources" in str(library.missing(old))


def test_both_sides_name_the_same_version_functions_and_cells() -> None:
    header, functions = (NATIVE / "packed.h").read_text(), (NATIVE / "description.h").read_text()
    assert f"#define PACKED_VERSION {library.VERSION}\n" in header
    (listed,) = re.findall(r"enum FunctionName : int32_t \{(.*?)\}", functions, re.DOTALL)
    assert tuple(re.findall(r"\b[A-Z0-9_]+\b", listed)) == ("FUNCTIONS", *(name.upper() for name in FUNCTIONS))
    assert set(get_args(ActivationName)) - set(FUNCTIONS) == {"log_softmax", "min_gru_g", *WITH_BETA}


def test_clips_of_gates_and_functions_that_it_does_not_have_are_refused_by_name() -> None:
    layer = LstmLayer(name="l", inputs=("x",), units=2)
    clipped, other = (
        layer.model_copy(update={"gate_clip": 1.0}),
        GruLayer(name="g", inputs=("x",), units=2, activation="log_softmax"),
    )
    assert obstacle(clipped) == "it clips what goes into its gates; the packed kernel does not"
    assert obstacle(other) == "its activation is log_softmax; the packed kernel does not have it"


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("activation", [*NAMED, *WITH_ALPHA], ids=str)
def test_every_activation_is_that_of_the_loops(activation: Activation, path: str) -> None:
    """By itself: a SimpleRNN of one step that hands its input through."""
    points = np.concatenate([np.linspace(-30, 30, 301), [-4, -3, -2.5, -1, -0.7, -0.5, 0, 0.5, 0.7, 1, 2.5, 3, 1e-6, -1e-6]])
    x = points.astype(np.float32)
    found = one_step(activation, path, x)
    expected = resolve(activation)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)  # torch itself is off by 5e-7 in gelu


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_tanh_and_sigmoid_are_right_to_two_ten_millionths(name: str, path: str) -> None:
    x = np.linspace(-25, 25, 60_001).astype(np.float32)
    exact = np.tanh(x.astype(np.float64)) if name == "tanh" else 1 / (1 + np.exp(-x.astype(np.float64)))
    assert np.abs(one_step(Activation(name=name), path, x) - exact).max() < 2e-7


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
def test_what_is_infinite_saturates_and_what_is_no_number_stays_none(path: str) -> None:
    given = np.array([np.inf, -np.inf, np.nan], np.float32)
    for name, high, low in (
        ("tanh", 1, -1),
        ("sigmoid", 1, 0),
        ("hard_sigmoid", 1, 0),
        ("relu", np.inf, 0),
        ("softsign", None, None),
    ):
        found = [one_step(Activation(name=name), path, value[np.newaxis])[0] for value in given]
        assert np.isnan(found[2])
        if high is not None:
            assert found[:2] == pytest.approx([high, low], abs=1e-37)


def one_step(activation: Activation, path: str, x: Array) -> Array:
    """Of each number by itself; a softmax: of all of them."""
    rows, units = (1, len(x)) if activation.name == "softmax" else (len(x), 1)
    layer = SimpleRnnLayer(name="l", inputs=("x",), units=units, activation=activation, use_bias=False)
    arrays = {
        "kernel": x.reshape(1, -1) if rows == 1 else np.ones((1, 1), np.float32),
        "recurrent_kernel": np.zeros((units, units)),
    }
    inputs = np.ones((1, 1, 1), np.float32) if rows == 1 else x.reshape(1, -1, 1)
    kernel = PackedLayer(library.loaded(), layer, arrays, path.encode())
    return kernel.run(inputs, [1] * rows, (np.zeros((rows, units), np.float32),)).reshape(-1)


def arrays_of(layer: RecurrentLayer, width: int) -> tuple[Graph, dict[str, Array]]:
    spec = ModelSpec(inputs=(InputSpec(name="x", width=width),), layers=(layer,), outputs=(layer.name,))
    weights = random_weights(spec)
    own = {name.rpartition(".")[2]: np.asarray(array, np.float32) for name, array in weights.arrays.items()}
    return Graph.prepare(spec, weights, CPU), own


def numbers(layer: RecurrentLayer, lengths: list[int], width: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Inputs [T, B, F], NaN beyond each length, and states."""
    generator = torch.Generator().manual_seed(len(lengths))
    inputs = torch.randn(max(lengths), len(lengths), width, generator=generator)
    inputs[~RowLengths(lengths, max(lengths), CPU).inside] = torch.nan
    states = {name: 0.3 * torch.randn(len(lengths), size, generator=generator) for name, size in layer.state_widths.items()}
    return inputs, states


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "functions",
    [("tanh", "sigmoid"), ("tanh", "hard_sigmoid"), ("tanh", "hard_sigmoid_relu6"), ("softmax", "softmax"), ("gelu", "softsign")],
    ids=str,
)
@pytest.mark.parametrize("name", LAYERS)
def test_any_units_rows_and_lengths(name: str, functions: tuple[str, str], path: str) -> None:
    for asked in by_torch(name, functions):
        kernel = PackedLayer(library.loaded(), asked.layer, asked.own, path.encode())
        advanced = tuple(state.copy() for state in asked.states.values())
        outputs = kernel.run(asked.inputs, list(asked.lengths), advanced)
        agree(outputs, asked.outputs, f"outputs of {asked.layer.units} units, {asked.lengths}")
        for one, found in zip(asked.states, advanced):
            agree(found, asked.new[one], f"{one} of {asked.layer.units} units, {asked.lengths}")


class Asked(NamedTuple):
    """A layer, rows for it, and what implementation 2 answers to them."""

    layer: RecurrentLayer
    own: Any
    inputs: Any
    lengths: tuple[int, ...]
    states: dict[str, Any]
    outputs: Any
    new: dict[str, Any]


@lru_cache(maxsize=1)
def by_torch(name: str, functions: tuple[str, str]) -> tuple[Asked, ...]:
    """Of several units and lengths; computed once for all paths, which come one after the other."""
    kind, extras = LAYERS[name]
    gates = {} if kind is SimpleRnnLayer else {"recurrent_activation": functions[1]}
    asked = []
    for units, width in ((1, 1), (3, 2), (17, 5), (40, 33)):
        if extras.get("projection_units", 0) > units:
            continue
        layer = kind(name="l", inputs=("x",), units=units, activation=functions[0], **gates, **extras)
        graph, own = arrays_of(layer, width)
        for lengths in ((1,), (9,), (3, 5, 1), (4,) * 7, tuple(1 + row % 6 for row in range(20))):
            inputs, states = numbers(layer, list(lengths), width)
            ends = RowLengths(list(lengths), max(lengths), CPU)
            given = {**states, "seen": torch.zeros(len(lengths), 1)}
            expected, new = graph.kernels["2", "l"](torch.nan_to_num(inputs), ends, None, given)
            asked.append(
                Asked(
                    layer,
                    own,
                    inputs.numpy(),
                    lengths,
                    {one: state.numpy() for one, state in states.items()},
                    ends.clean(expected).numpy(),
                    {one: new[one].numpy() for one in states},
                )
            )
    return tuple(asked)


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["lstm", "gru reset after"])
def test_many_units(name: str, path: str) -> None:
    kind, extras = LAYERS[name]
    layer = kind(name="l", inputs=("x",), units=300, **extras)
    graph, own = arrays_of(layer, 70)
    inputs, states = numbers(layer, [4] * 9, 70)
    expected, _ = graph.kernels["2", "l"](inputs, RowLengths([4] * 9, 4, CPU), None, {**states, "seen": torch.zeros(9, 1)})
    advanced = tuple(state.numpy().copy() for state in states.values())
    agree(
        PackedLayer(library.loaded(), layer, own, path.encode()).run(inputs.numpy(), [4] * 9, advanced),
        expected.numpy(),
        "outputs",
    )


@needs_kernel
@pytest.mark.parametrize("path", IN_ANY_PRECISION)
@pytest.mark.parametrize("units", [3, 16, 33])
@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=examples(8))
@given(data=st.data())
def test_a_row_is_the_same_to_the_last_bit_alone_among_others_and_in_any_chunks(
    name: str, units: int, path: str, data: st.DataObject
) -> None:
    kind, extras = LAYERS[name]
    layer = kind(name="l", inputs=("x",), units=units, **extras)
    _, own = arrays_of(layer, 5)
    kernel = PackedLayer(library.loaded(), layer, own, path.encode())
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=15))
    inputs, states = numbers(layer, lengths, 5)
    together = tuple(state.numpy().copy() for state in states.values())
    outputs = kernel.run(inputs.numpy(), lengths, together)
    row = data.draw(st.integers(0, len(lengths) - 1))
    alone, at = tuple(state.numpy()[row : row + 1].copy() for state in states.values()), 0
    while at < lengths[row]:
        count = data.draw(st.integers(1, lengths[row] - at))
        part = kernel.run(inputs.numpy()[at : at + count, row : row + 1], [count], alone)
        assert part[:, 0].tobytes() == outputs[at : at + count, row].tobytes()
        at += count
    for one, every in zip(alone, together):
        assert one[0].tobytes() == every[row].tobytes()


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
def test_a_chunk_in_one_call_is_what_its_layers_give(path: str) -> None:
    """On every set of instructions; test_chunk_call.py has all kinds of networks, on the best."""
    spec = chain(
        LstmLayer(name="a", inputs=("x",), units=19, return_sequences=True),
        GruLayer(name="b", inputs=("a",), units=6, recurrent_activation="hard_sigmoid"),
        DenseLayer(name="each", inputs=("a",), units=5, activation="softmax"),
        DenseLayer(name="end", inputs=("b",), units=7, activation="tanh"),
        outputs=("each", "end"),
    )
    weights = random_weights(spec)
    own: dict[str, dict[str, Array]] = {layer.name: {} for layer in spec.layers}
    for name, array in weights.arrays.items():
        own[name.partition(".")[0]][name.partition(".")[2]] = np.asarray(array, np.float32)
    loaded, code = library.loaded(), path.encode()
    layers = {layer.name: PackedLayer(loaded, layer, own[layer.name], code) for layer in spec.recurrent_layers}
    chunk = PackedChunk(spec, causal_plan(spec), infer_shapes(spec), weights.arrays, layers, code)
    network, lengths = Network(spec, weights), [1 + row % 40 for row in range(200)]
    inputs, _ = numbers(spec.recurrent_layers[0], lengths, 3)
    steps = np.ascontiguousarray(inputs.numpy().swapaxes(0, 1))
    given = {"steps": steps, "lengths": np.array(lengths, np.int32), "ending": np.array([5, 180, 0])}
    state, each, end = chunk.run((), {**given, "state": np.zeros((1, 200, network.state_layout.width), np.float32)})
    made, expected = network.advance(torch.nan_to_num(inputs), lengths, network.initial_state(200), implementation="2")
    all_steps, ends = network.finish(made, [5, 180, 0])
    agree(end, ends.numpy(), "the ends")
    agree(state[0], expected.data.numpy(), "the state")
    for place, row in enumerate((5, 180, 0)):
        agree(each[row, : lengths[row]], all_steps[: lengths[row], place].numpy(), "each step")


@needs_kernel
def test_weights_packed_for_other_instructions_are_told() -> None:
    if len(PATHS) < 2:
        pytest.skip("this processor knows one set of instructions only")
    spec = chain(LstmLayer(name="a", inputs=("x",), units=2))
    own = {name.partition(".")[2]: np.asarray(array, np.float32) for name, array in random_weights(spec).arrays.items()}
    layers = {"a": PackedLayer(library.loaded(), spec.recurrent_layers[0], own, b"plain")}
    with pytest.raises(ValueError, match="layer 'a' are packed for another set of instructions than"):
        PackedChunk(spec, causal_plan(spec), infer_shapes(spec), random_weights(spec).arrays, layers)


@needs_kernel
def test_weights_leave_with_their_layer() -> None:
    freed: list[int] = []

    class Watched:
        """The library, and what is given back to it."""

        def __getattr__(self, name: str) -> Any:
            return freed.append if name == "packed_free_layer" else getattr(library.loaded(), name)

    layer = LstmLayer(name="l", inputs=("x",), units=2)
    made = PackedLayer(Watched(), layer, arrays_of(layer, 3)[1])  # type: ignore[arg-type]
    handle = made.handle
    del made
    assert freed == [handle]
    library.loaded().packed_free_layer(handle)
