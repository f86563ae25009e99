"""Lists of arrays: read without trust, taken layer by layer as described, refused with the layer, the array and the shapes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellserve.models import importers, reference
from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.carried import Carried
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel
from cellserve.models.importers.arrays.npz import read_npz
from cellserve.models.importers.arrays.orders import roles, to_canonical
from tests.examples import examples
from tests.models.carried_parts import norm, stepwise

Array = np.ndarray
X = np.random.default_rng(9).normal(size=(2, 5, 3)).astype(np.float32)
INPUTS = [{"name": "x", "width": 3}]


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(scale=0.5, size=shape).astype(np.float32)


def keras_lstm(units: int = 4) -> list[Array]:
    return [random(3, 4 * units), random(units, 4 * units), random(4 * units)]


def imported(folder: Path, arrays: list[Array] | dict[str, Array], **description: Any) -> ImportedModel:
    path = folder / "weights.npz"
    np.savez(path, **arrays) if isinstance(arrays, dict) else np.savez(path, *arrays)
    (folder / "description.yaml").write_text(yaml.safe_dump(description))
    return importers.load(path, description=folder / "description.yaml")


def refusal(folder: Path, arrays: list[Array] | dict[str, Array], **description: Any) -> str:
    with pytest.raises(ImportRefused) as caught:
        imported(folder, arrays, **description)
    return str(caught.value)


def answer(model: ImportedModel) -> Array:
    return reference.run(model.spec, model.weights.arrays, (X,), (5, 5))[0][0]


def layers(*described: dict[str, Any], layout: str = "keras") -> dict[str, Any]:
    return {"inputs": INPUTS, "layers": list(described), "layout": layout}


LSTM = {"kind": "lstm", "units": 4}
GRU = {"kind": "gru", "units": 4}


@pytest.mark.parametrize("part", [stepwise("part", "x"), norm("part", "x")])
def test_a_part_of_a_graph_is_never_taken_from_a_description(tmp_path: Path, part: Carried) -> None:
    """It would be run as it is, without any proof of what it does."""
    described = part.model_dump(mode="json", exclude={"name", "inputs"})
    said = refusal(tmp_path, keras_lstm(), **layers(LSTM | {"return_sequences": True}, described))
    assert "only the import of an .onnx file cuts out and proves" in said


def test_a_list_is_taken_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    """Twelve arrays and two: arr_10 comes after arr_9, and the layers' names, inputs and outputs follow from their order."""
    kernel, recurrent_kernel, bias = keras_lstm()
    i, f, c, o = ([array[..., 4 * gate : 4 * gate + 4] for array in (kernel, recurrent_kernel, bias)] for gate in range(4))
    head = [random(4, 2), random(2)]
    old = imported(tmp_path, [*i, *c, *f, *o, *head], **layers(LSTM, {"kind": "dense", "units": 2}))
    new = imported(tmp_path, [kernel, recurrent_kernel, bias, *head], **layers(LSTM, {"kind": "dense", "units": 2}))
    assert [layer.name for layer in old.spec.layers] == ["lstm_0", "dense_1"]
    assert old.spec.outputs == ("dense_1",)
    assert old.weights.digest == new.weights.digest
    np.testing.assert_array_equal(old.weights.arrays["lstm_0.kernel"], kernel)
    assert old.source.framework == "arrays"
    assert "lstm_0: activation tanh and recurrent_activation sigmoid, as the description says nothing else." in old.notes


def test_keras_1_gru_is_nine_arrays(tmp_path: Path) -> None:
    stored = [random(*shape, seed=place) for place, shape in enumerate([(3, 4), (4, 4), (4,)] * 3)]
    names = {f"layer_0_param_{place}": array for place, array in enumerate(stored)}
    model = imported(tmp_path, names, **layers(GRU))
    np.testing.assert_array_equal(model.weights.arrays["gru_0.kernel"], np.concatenate(stored[0::3], axis=1))
    np.testing.assert_array_equal(model.weights.arrays["gru_0.recurrent_kernel"], np.concatenate(stored[1::3], axis=1))
    np.testing.assert_array_equal(model.weights.arrays["gru_0.bias"], np.concatenate(stored[2::3]))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("module", "described"),
    [
        (torch.nn.LSTM(3, 4), LSTM),
        (torch.nn.LSTM(3, 4, proj_size=2), {**LSTM, "projection_units": 2}),
        (torch.nn.GRU(3, 4), {**GRU, "reset_after": True}),
        (torch.nn.RNN(3, 4, bias=False), {"kind": "simple_rnn", "units": 4, "use_bias": False}),
    ],
)
def test_torch_lists_are_in_torchs_order(tmp_path: Path, module: torch.nn.Module, described: dict[str, Any]) -> None:
    arrays = [parameter.detach().numpy() for parameter in module.parameters()]
    model = imported(tmp_path, arrays, **layers({**described, "return_sequences": True}, layout="torch"))
    with torch.no_grad():
        expected = module(torch.from_numpy(X).transpose(0, 1))[0].transpose(0, 1).numpy()
    np.testing.assert_allclose(answer(model), expected, atol=1e-6)


def test_torch_matrices_are_turned(tmp_path: Path) -> None:
    weight, bias = random(2, 4), random(2)
    dense = {"kind": "dense", "units": 2, "layout": "torch"}
    model = imported(tmp_path, [*keras_lstm(), weight, bias], **layers(LSTM, dense))
    np.testing.assert_array_equal(model.weights.arrays["dense_1.kernel"], weight.T)


def test_tensorflow_lists_have_peepholes_in_the_order_of_their_making(tmp_path: Path) -> None:
    kernel, bias, f, i, o, projection = random(5, 16), random(16), *random(3, 4), random(4, 2)
    lstm = {**LSTM, "projection_units": 2, "peepholes": True, "cell_clip": 1.0, "forget_bias": 0.5}
    model = imported(tmp_path, [kernel, bias, f, i, o, projection], **layers(lstm, layout="tensorflow1"))
    arrays = model.weights.arrays
    np.testing.assert_array_equal(arrays["lstm_0.peephole_f"], f)
    np.testing.assert_array_equal(arrays["lstm_0.peephole_i"], i)
    np.testing.assert_array_equal(arrays["lstm_0.bias"][4:8], bias[8:12] + np.float32(0.5))
    np.testing.assert_array_equal(arrays["lstm_0.recurrent_kernel"][:, :4], kernel[3:, :4])


JZS_SHAPES = {
    1: [(3, 4), (4,), (3, 4), (4, 4), (4,), (4, 4), (4,)],
    2: [(3, 4), (4, 4), (4,), (4, 4), (4,), (3, 4), (4, 4), (4,)],
    3: [(3, 4), (4, 4), (4,)] * 3,
}


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_jzs_layers_of_2015(tmp_path: Path, variant: int) -> None:
    """With the random projection of inputs of another width as the last array of variants 1 and 2."""
    stored = [random(*shape, seed=place) for place, shape in enumerate(JZS_SHAPES[variant])]
    projection = random(3, 4, seed=99)
    jzs = {"kind": "jzs", "variant": variant, "units": 4}
    if variant == 3:
        model = imported(tmp_path, stored, **layers(jzs))
    else:
        assert "Pmat, which is not among the arrays" in refusal(tmp_path, stored, **layers(jzs))
        model = imported(tmp_path, [*stored, projection], **layers(jzs))
    found = model.weights.arrays
    w = {1: (0, 2, None), 2: (0, None, 5), 3: (0, 3, 6)}[variant]
    u = {1: (3, 5), 2: (1, 3, 6), 3: (1, 4, 7)}[variant]
    kernels = [projection if place is None else stored[place] for place in w]
    np.testing.assert_array_equal(found["jzs_0.kernel"], np.concatenate(kernels, axis=1))
    np.testing.assert_array_equal(found["jzs_0.recurrent_kernel"], np.concatenate([stored[place] for place in u], axis=1))
    biases = [array for array in stored if array.ndim == 1]
    both = [found["jzs_0.bias"], *([found["jzs_0.candidate_bias"]] if variant == 1 else [])]
    np.testing.assert_array_equal(np.concatenate(both), np.concatenate(biases))


@pytest.mark.parametrize("saved", [False, True])
def test_a_jzs_projection_between_equal_widths_is_the_identity(tmp_path: Path, saved: bool) -> None:
    """Keras 0.2.0 saved it, 0.1 did not; the matrix after it is the next layer's all the same."""
    shapes = [(3, 3) if len(shape) == 2 else (3,) for shape in JZS_SHAPES[1]]
    stored = [random(*shape, seed=place) for place, shape in enumerate(shapes)]
    projection = [np.eye(3, dtype=np.float32)] if saved else []
    head = [random(3, 3, seed=50), random(3, seed=51)]
    described = layers({"kind": "jzs", "variant": 1, "units": 3}, {"kind": "dense", "units": 3})
    arrays = imported(tmp_path, [*stored, *projection, *head], **described).weights.arrays
    np.testing.assert_array_equal(arrays["jzs_0.kernel"][:, 6:], np.eye(3))
    np.testing.assert_array_equal(arrays["dense_1.kernel"], head[0])


def test_simple_deep_rnn(tmp_path: Path) -> None:
    stored = [random(3, 4), random(4, 4, seed=1), random(4, 4, seed=2), random(4)]
    arrays = imported(tmp_path, stored, **layers({"kind": "simple_deep_rnn", "units": 4, "depth": 2})).weights.arrays
    np.testing.assert_array_equal(arrays["simple_deep_rnn_0.recurrent_kernel"], np.concatenate(stored[1:3], axis=1))
    assert "only Keras had" in refusal(
        tmp_path, stored, **layers({"kind": "simple_deep_rnn", "units": 4, "depth": 2}, layout="torch")
    )


def test_named_arrays_are_taken_by_name(tmp_path: Path) -> None:
    kernel, recurrent_kernel, bias = keras_lstm()
    arrays = {"W": kernel, "U": recurrent_kernel, "b": bias, "unused": random(2)}
    model = imported(tmp_path, arrays, **layers({**LSTM, "arrays": ["W", "U", "b"], "name": "memory"}))
    np.testing.assert_array_equal(model.weights.arrays["memory.kernel"], kernel)
    assert "Ignored, as no described layer takes them: unused." in model.notes


def test_what_is_named_is_taken_out_of_the_numbered_list(tmp_path: Path) -> None:
    kernel, recurrent_kernel, bias = keras_lstm()
    arrays = {
        "arr_0": kernel,
        "arr_1": recurrent_kernel,
        "arr_2": bias,
        "head": random(4, 2),
        "arr_3": random(2, 2),
        "arr_4": random(2),
    }
    named = {"kind": "dense", "units": 2, "use_bias": False, "arrays": ["head"]}
    model = imported(tmp_path, arrays, **layers(LSTM, named, {"kind": "dense", "units": 2}))
    np.testing.assert_array_equal(model.weights.arrays["dense_2.kernel"], arrays["arr_3"])


def test_branches_and_several_outputs_are_described_as_in_a_model_spec(tmp_path: Path) -> None:
    backward = {**LSTM, "name": "back", "inputs": ["x"], "go_backwards": True}
    merge = {"kind": "merge", "mode": "concat", "inputs": ["lstm_0", "back"]}
    described = layers(LSTM, backward, merge) | {"outputs": ["merge_2", "back:c"]}
    model = imported(tmp_path, [*keras_lstm(), *keras_lstm()], **described)
    assert model.spec.outputs == ("merge_2", "back:c")
    assert answer(model).shape == (2, 8)


def test_a_state_dict_described_layer_by_layer(tmp_path: Path) -> None:
    """nn.LSTMCell, whose loop is the program's own."""
    cell = torch.nn.LSTMCell(3, 4)
    torch.save(cell.state_dict(), tmp_path / "cell.pt")
    lstm = {**LSTM, "arrays": ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]}
    (tmp_path / "description.yaml").write_text(yaml.safe_dump(layers(lstm, layout="torch")))
    model = importers.load(tmp_path / "cell.pt", description=tmp_path / "description.yaml")
    with torch.no_grad():
        state = (torch.zeros(2, 4), torch.zeros(2, 4))
        for t in range(5):
            state = cell(torch.from_numpy(X[:, t]), state)
    np.testing.assert_allclose(answer(model), state[0].numpy(), atol=1e-6)


def test_arrays_alone_are_not_enough(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", *keras_lstm())
    with pytest.raises(ImportRefused, match=r"describe them in a --description.*Missing: inputs, layout, layers"):
        importers.load(tmp_path / "weights.npz")


BAD = {
    "too few": (
        keras_lstm()[:2],
        layers(LSTM),
        "layer 'lstm_0': it has 3 arrays (kernel, recurrent_kernel, bias), but arr_0 [3, 16]",
    ),
    "too many": ([*keras_lstm(), random(2)], layers(LSTM), "no described layer takes arr_3 [2]"),
    "another width": (keras_lstm(5), layers(LSTM), "its kernel is [3, 20] where [*, 16] is expected (arr_0 [3, 20]"),
    "another input": (
        [random(7, 16), *keras_lstm()[1:]],
        layers(LSTM),
        "layer 'lstm_0': arr_0 [7, 16], arr_1 [4, 16], arr_2 [16] give it a kernel of [7, 16] where [3, 16] is expected",
    ),
    "a scalar": ([np.float32(1.0), *keras_lstm()[1:]], layers(LSTM), "layer 'lstm_0'"),
    "no such array": (
        keras_lstm(),
        layers({**LSTM, "arrays": ["a", "b", "c"]}),
        "the file holds no array 'a'; it holds arr_0, arr_1",
    ),
    "arrays of none": (
        keras_lstm(),
        layers({"kind": "dropout", "rate": 0.5, "arrays": ["arr_0"]}, LSTM),
        "this layer has no arrays",
    ),
    "not numbered": (
        dict(zip("WUb", keras_lstm())),
        layers(LSTM),
        "option 'arrays': it has 3 arrays (kernel, recurrent_kernel, bias); the file's arrays are not one numbered list",
    ),
    "names of two kinds": ({"W1": random(2), "b1": random(2)}, layers(LSTM), "not one numbered list"),
    "unknown kind": (keras_lstm(), layers({"kind": "lstmm", "units": 4}), "layer 'lstmm_0'"),
    "no units": (keras_lstm(), layers({"kind": "lstm"}), "layer 'lstm_0': option 'units'"),
    "unknown option": (keras_lstm(), layers({**LSTM, "unitz": 4}), "option 'unitz'"),
    "unknown input": (keras_lstm(), layers({**LSTM, "inputs": ["y"]}), "reads 'y', which no earlier layer or input makes"),
    "no layers": (keras_lstm(), layers(), "option 'layers'"),
    "unfit layers": (
        keras_lstm(),
        layers({"kind": "dense", "units": 1}, {"kind": "repeat_vector", "count": 2}),
        "do not fit together",
    ),
    "torch resets after": (keras_lstm(), layers(GRU, layout="torch"), "reset_after: true"),
    "torch has no peepholes": (keras_lstm(), layers({**LSTM, "peepholes": True}, layout="torch"), "the layout tensorflow1 has"),
    "keras has no projection": (keras_lstm(), layers({**LSTM, "projection_units": 2}), "the layout tensorflow1 has"),
    "tensorflow has biases": (keras_lstm(), layers({**LSTM, "use_bias": False}, layout="tensorflow1"), "always have biases"),
    "tensorflow resets before": (keras_lstm(), layers({**GRU, "reset_after": True}, layout="tensorflow1"), "resets before"),
    "no such layout": (keras_lstm(), layers(LSTM, layout="caffe"), "option 'layout'"),
    "another file's key": (
        keras_lstm(),
        layers(LSTM) | {"merge": "sum"},
        "option 'merge': this has no meaning for a network described",
    ),
    "NaN": ([np.full((3, 16), np.nan), *keras_lstm()[1:]], layers(LSTM), "its kernel holds 48 values that are NaN"),
}


@pytest.mark.parametrize(("arrays", "description", "said"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_said_with_layer_array_and_shapes(
    tmp_path: Path, arrays: list[Array] | dict[str, Array], description: dict[str, Any], said: str
) -> None:
    assert said in refusal(tmp_path, arrays, **description)


@pytest.mark.parametrize("array", [random(2, 3), np.asfortranarray(random(4, 5)), np.arange(3), np.zeros((0, 2)), np.float64(2)])
def test_what_numpy_saves_is_read(tmp_path: Path, array: Array) -> None:
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", a=array)
        found = read_npz(tmp_path / "a.npz")["a"]
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.asarray(array).dtype


@pytest.mark.parametrize(
    ("array", "said"),
    [(np.array([{}], dtype=object), "Python objects are never read"), (np.array(["a"]), "not plain numbers")],
)
def test_what_is_no_number_is_never_read(tmp_path: Path, array: Array, said: str) -> None:
    np.savez(tmp_path / "a.npz", a=array)
    with pytest.raises(ImportRefused, match=said):
        read_npz(tmp_path / "a.npz")


def npy(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy((2**40, 2**40)), "the limit is"),
        (npy((2**20,)), "claims the shape"),
        (npy((-1, 4), bytes(16)), "claims the shape"),
        (npy((2**21,), bytes(2**23)), "not believable"),
        (b"no array at all", "damaged"),
        (b"\x93NUMPY\x09\x00" + bytes(20), "damaged|format"),
        (b"", "damaged"),
    ],
)
def test_claims_that_nothing_backs(tmp_path: Path, content: bytes, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA if len(content) > 2**20 else zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ImportRefused, match=said):
        read_npz(tmp_path / "a.npz")


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    save=st.sampled_from((np.savez, np.savez_compressed)),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5),
    cut=st.none() | st.integers(0, 600),
)
def test_a_damaged_file_is_refused_or_read(tmp_path: Path, save: Any, edits: list[tuple[int, int]], cut: int | None) -> None:
    file = io.BytesIO()
    save(file, a=random(2, 3), b=random(4))
    content = bytearray(file.getvalue())
    for place, byte in edits:
        content[place] = byte
    (tmp_path / "a.npz").write_bytes(content[:cut])
    try:
        arrays = read_npz(tmp_path / "a.npz")
    except ImportRefused as refused:
        assert "a.npz" in str(refused)  # noqa: PT017 - whether it is raised depends on the edits
    else:
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


def test_a_cell_that_no_framework_has_is_a_linear_for_each_gate(tmp_path: Path) -> None:
    """Without biases too; the golden case has them."""
    z, h = random(4, 3), random(4, 3, seed=1)
    described = {"kind": "min_gru", "units": 4, "use_bias": False, "arrays": ["z.weight", "h.weight"]}
    arrays = imported(tmp_path, {"z.weight": z, "h.weight": h}, **layers(described, layout="torch")).weights.arrays
    assert list(arrays) == ["min_gru_0.kernel"]
    np.testing.assert_array_equal(arrays["min_gru_0.kernel"], np.concatenate([z.T, h.T], axis=1))
    named = {"kind": "min_gru", "units": 4, "use_bias": False, "arrays": ["z.weight"]}
    assert "it has 2 arrays (weight_x_z, weight_x_h)" in refusal(
        tmp_path, {"z.weight": z, "h.weight": h}, **layers(named, layout="torch")
    )
    for layout, said in (("keras", "Keras has no min_gru layers"), ("tensorflow1", "TensorFlow 1 has no min_gru layers")):
        assert said in refusal(tmp_path, {"z.weight": z, "h.weight": h}, **layers(described, layout=layout))


def test_gates_in_one_array_are_in_the_order_that_the_description_says(tmp_path: Path) -> None:
    z, h = random(4, 3), random(4, 3, seed=1)
    described = {"kind": "min_gru", "units": 4, "use_bias": False, "arrays": ["both.weight"], "gate_order": ["h", "z"]}
    both = {"both.weight": np.concatenate([h, z])}
    arrays = imported(tmp_path, both, **layers(described, layout="torch")).weights.arrays
    np.testing.assert_array_equal(arrays["min_gru_0.kernel"], np.concatenate([z.T, h.T], axis=1))
    for options, said in (
        ({"gate_order": ["h", "r"]}, "its gates are z, h, and gate_order is h, r"),
        ({"layout": "keras"}, "gate_order is of cells that no framework has"),
        ({"kind": "gru", "reset_after": True}, "gate_order is of cells that no framework has"),
        ({"kind": "dense"}, "gate_order is of cells that no framework has"),
    ):
        assert said in refusal(tmp_path, both, **layers({**described, **options}, layout="torch"))
    assert "which is not of 2 gates" in refusal(tmp_path, {"both.weight": random(7, 3)}, **layers(described, layout="torch"))


@pytest.mark.parametrize("backend", ["vanilla", "cuda"])
def test_an_slstm_of_the_xlstm_package_is_that_of_its_own_linears(tmp_path: Path, backend: str) -> None:
    """Two heads of two, each of which sees its own inputs and its own h; both ways in which the package keeps them."""
    over_x = {f"{gate}.weight": random(2, 2, 2, seed=index) for index, gate in enumerate("ifzo")}
    over_h, bias = random(2, 4, 2, 2, seed=5), random(4, 2, 2, seed=6)  # heads, gates, out, in; gates, heads, size
    kept = {
        "vanilla": {"R": over_h.reshape(2, 8, 2), "b": bias.reshape(-1)},
        "cuda": {"R": over_h.transpose(0, 3, 1, 2).reshape(2, 2, 8), "b": bias.transpose(1, 0, 2).reshape(-1)},
    }[backend]
    described = {"kind": "slstm", "units": 4}
    inputs = {"inputs": [{"name": "x", "width": 4}]}
    made = imported(
        tmp_path, over_x | kept, **{**layers({**described, "arrays": [*over_x, "R", "b"]}, layout="torch"), **inputs}
    ).weights.arrays
    apart = {
        f"{name}_{gate}": array
        for index, gate in enumerate("ifzo")
        for name, array in (
            ("x", _side_by_side(over_x[f"{gate}.weight"])),
            ("h", _side_by_side(over_h[:, index])),
            ("b", bias[index].reshape(-1)),
        )
    }
    by_hand = imported(tmp_path, apart, **{**layers({**described, "arrays": [*apart]}, layout="torch"), **inputs}).weights.arrays
    assert made.keys() == by_hand.keys()
    for name, array in by_hand.items():
        np.testing.assert_array_equal(made[name], array)
    wrong = over_x | kept | {"R": random(2, 6, 2)}
    told = refusal(tmp_path, wrong, **{**layers({**described, "arrays": [*over_x, "R", "b"]}, layout="torch"), **inputs})
    assert "of 4 gates they are [heads, 4 d, d]" in told


def _side_by_side(heads: Array) -> Array:  # [2, out, in]
    first, second = heads
    return np.block([[first, np.zeros_like(second)], [np.zeros_like(first), second]])


class TwoGates(RecurrentLayer):
    """A cell of a program's own whose candidate alone sees the state."""

    kind: Literal["two_gates"] = "two_gates"

    gates: ClassVar[GateOrder] = ("z", "h")

    @property
    def recurrent_gates(self) -> range:
        return range(1, 2)


def test_the_arrays_of_such_a_cell_follow_from_its_gates() -> None:
    layer = TwoGates(name="two", inputs=("x",), units=4)
    names = roles(layer, "torch", (), [])
    assert names == ("weight_x_z", "bias_z", "weight_x_h", "weight_h_h", "bias_h")
    shapes = ((4, 3), (4,), (4, 3), (4, 4), (4,))
    stored = {name: random(*shape, seed=number) for number, (name, shape) in enumerate(zip(names, shapes))}
    own = to_canonical(layer, "torch", stored, 0.0)
    assert {name: array.shape for name, array in own.items()} == layer.arrays((3,))
    np.testing.assert_array_equal(own["recurrent_kernel"], stored["weight_h_h"].T)
    np.testing.assert_array_equal(own["bias"], np.concatenate([stored["bias_z"], stored["bias_h"]]))
