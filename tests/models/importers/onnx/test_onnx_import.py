"""ONNX files as exporters and people write them: what becomes of states, lengths, options and precisions, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from cellserve.models import importers, reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.isolated import load_isolated
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
FILES = Path(__file__).parent / "files"
RANDOM = np.random.default_rng(5)
WIDTH, UNITS = 4, 6
X = {"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}


def numbers(*shape: int) -> Array:
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def lstm(graph: OnnxGraph, x: str = "x", more: tuple[str, ...] = (), outputs: int = 1, **options: Any) -> Any:
    """Of [B, T, F], without an initial state unless `more` says one: [T, 1, B, H] and so on."""
    turned = graph.add("Transpose", [x], perm=[1, 0, 2])
    arrays = [
        graph.constant(array) for array in (numbers(1, 4 * UNITS, WIDTH), numbers(1, 4 * UNITS, UNITS), numbers(1, 8 * UNITS))
    ]
    return graph.add("LSTM", [turned, *arrays, *more], outputs, hidden_size=UNITS, **options)


def sequence(graph: OnnxGraph, y: str) -> str:
    """[T, 1, B, H] as [B, T, H]."""
    return str(graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2]))


def simple(tmp_path: Path, opset: int = 17, **options: Any) -> Path:
    graph = OnnxGraph(opset)
    made = sequence(graph, lstm(graph))
    return saved(tmp_path / "model.onnx", graph.model(X, [made], **options))


def described(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "description.yaml"
    path.write_text(text)
    return path


def refusal(path: Path, description: Path | None = None) -> str:
    with pytest.raises(ImportRefused) as caught:
        importers.load(path, description=description)
    return str(caught.value)


def kinds(path: Path) -> list[str]:
    return [layer.kind for layer in importers.load(path).spec.layers]


def stored(case: str) -> dict[str, Array]:
    with np.load(FILES / f"{case}.npz") as arrays:
        return dict(arrays)


def test_states_of_the_graph_are_those_of_the_layers() -> None:
    imported = importers.load(FILES / "onnx_legacy_lstm_states_in_out.onnx")
    asked_of = stored("onnx_legacy_lstm_states_in_out")
    state = {"0.h": asked_of["x1"][0], "0.c": asked_of["x2"][0]}
    x = asked_of["x0"].swapaxes(0, 1)
    outputs, final = reference.run(imported.spec, imported.weights.arrays, (x,), [x.shape[1]], state=state)
    np.testing.assert_allclose(outputs[0].swapaxes(0, 1), asked_of["y0"], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(final["0.h"], asked_of["y1"][0], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(final["0.c"], asked_of["y2"][0], rtol=1e-5, atol=2e-6)
    assert [entry.name for entry in imported.spec.inputs] == ["x"]
    assert "The graph's input h is state.0.h: zeros unless a request gives it." in imported.notes
    assert "The graph's output cn is state.0.c, the state that a reply can hold." in imported.notes


def test_both_states_in_one_tensor_go_to_their_places_call_after_call(tmp_path: Path) -> None:
    imported = importers.load(FILES / "onnx_step_conv_lstm_state.onnx", description=described(tmp_path, "step: false"))
    asked_of = stored("onnx_step_conv_lstm_state")
    state: dict[str, Array] = {}
    for samples, expected in zip(asked_of["x0"], asked_of["y0"], strict=True):
        outputs, state = reference.run(imported.spec, imported.weights.arrays, (samples[..., None],), [32], state=state)
        np.testing.assert_allclose(outputs[0], expected, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(np.stack([state["0.h"], state["0.c"]]), asked_of["y1"], rtol=1e-5, atol=2e-6)


def test_states_of_several_layers_are_cut_out_of_one_input(tmp_path: Path) -> None:
    graph = OnnxGraph()
    first, second = (
        graph.add("Slice", ["h", *(graph.constant(np.array([n], np.int64)) for n in (at, at + 1, 0))]) for at in (0, 1)
    )
    gates = [
        (numbers(1, 3 * UNITS, WIDTH), numbers(1, 3 * UNITS, UNITS)),
        (numbers(1, 3 * UNITS, UNITS), numbers(1, 3 * UNITS, UNITS)),
    ]
    x = graph.add("Transpose", ["x"], perm=[1, 0, 2])
    finals = []
    for arrays, start in zip(gates, (second, first)):  # the first layer's is the second in the input
        y, h = graph.add("GRU", [x, *(graph.constant(array) for array in arrays), "", "", start], 2, hidden_size=UNITS)
        x = graph.squeeze(y, [1])
        finals.append(h)
    model = graph.model({**X, "h": (TensorProto.FLOAT, [2, "batch", UNITS])}, [x, graph.add("Concat", finals, axis=0)])
    imported = importers.load(saved(tmp_path / "two.onnx", model))
    x, h = numbers(3, 5, WIDTH), numbers(2, 3, UNITS)
    outputs, final = reference.run(imported.spec, imported.weights.arrays, (x,), [5] * 3, state={"0.h": h[1], "1.h": h[0]})
    expected, states = asked(model, {"x": x, "h": h})
    np.testing.assert_allclose(outputs[0].swapaxes(0, 1), expected, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(np.stack([final["0.h"], final["1.h"]]), states, rtol=1e-5, atol=2e-6)
    assert "The graph's input h is state.0.h, state.1.h: zeros unless a request gives it." in imported.notes


def test_a_file_is_told_by_what_it_holds_and_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = simple(tmp_path).rename(tmp_path / "model.bin")
    imported = load_isolated(path)
    assert imported.source.framework == "onnx"
    assert [one.by.partition(", ")[2] for one in imported.answers] == ["3 rows at once", "row by row"]
    alone = importers.load(path)
    for one, other in zip(imported.answers, alone.answers, strict=True):
        assert one.lengths == other.lengths
        np.testing.assert_array_equal(one.outputs[0], other.outputs[0])


@pytest.mark.parametrize("ir_version", [3, 8, 14, 99])
def test_every_version_of_the_file_format(tmp_path: Path, ir_version: int) -> None:
    assert [layer.kind for layer in importers.load(simple(tmp_path, ir_version=ir_version)).spec.layers] == ["lstm"]


def test_an_operator_set_that_is_too_old_or_too_new(tmp_path: Path) -> None:
    assert "it is of operator set 6; cellserve reads 7 to" in refusal(simple(tmp_path, 6))
    assert "it is of operator set 999; cellserve reads 7 to" in refusal(simple(tmp_path, 999))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_narrow_numbers_are_served_in_float32_and_told(tmp_path: Path, kind: int) -> None:
    graph = OnnxGraph()
    made = sequence(graph, lstm(graph))
    model = graph.model(X, [made])
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(dtype), tensor.name))
    model.graph.input[0].type.tensor_type.elem_type = kind
    imported = importers.load(saved(tmp_path / "narrow.onnx", model))
    assert any("It is served in float32" in note for note in imported.notes)


def test_arrays_beside_the_file(tmp_path: Path) -> None:
    path, graph = tmp_path / "model.onnx", OnnxGraph()
    model = graph.model(X, [sequence(graph, lstm(graph))])
    inside = importers.load(saved(path, model))
    external_data_helper.convert_model_to_external_data(model, location="model.data", size_threshold=0)
    for tensor in model.graph.initializer:
        external_data_helper.save_external_data(tensor, str(tmp_path))
        tensor.ClearField("raw_data")
    beside = load_isolated(saved(path, model))
    assert beside.weights.digest == inside.weights.digest
    (tmp_path / "model.data").write_bytes(b"short")
    assert "'model.data' holds" in refusal(path) or "end too early" in refusal(path)
    (tmp_path / "model.data").unlink()
    assert "which is missing; copy it into the same folder as the model" in refusal(path)


def branching(tmp_path: Path) -> Path:
    """Two branches of other weights, chosen by whether sr is 16000."""
    graph = OnnxGraph()
    condition = graph.add("Equal", ["sr", graph.constant(np.array(16000, np.int64))])
    branches = []
    for side in ("then", "else"):
        inner = OnnxGraph(prefix=side)
        made = sequence(inner, lstm(inner))
        branch = inner.model({}, [made]).graph
        branches.append(branch)
    made = graph.add("If", [condition], then_branch=branches[0], else_branch=branches[1])
    return saved(tmp_path / "rates.onnx", graph.model({**X, "sr": (TensorProto.INT64, [])}, [made]))


def test_a_branch_on_an_option_is_the_one_of_the_number_that_is_declared(tmp_path: Path) -> None:
    path = branching(tmp_path)
    assert "say it in a --description: `constants: {sr: 16000}`" in refusal(path)
    fast, slow = (importers.load(path, description=described(tmp_path, f"constants: {{sr: {rate}}}")) for rate in (16000, 8000))
    assert fast.weights.digest != slow.weights.digest
    assert "The graph's input sr is 16000, as the description says." in fast.notes
    assert "the graph has no input 'rate'; it has x, sr" in refusal(path, described(tmp_path, "constants: {rate: 1}"))


def test_one_of_several_outputs(tmp_path: Path) -> None:
    graph = OnnxGraph()
    made = sequence(graph, lstm(graph))
    best = graph.add("ArgMax", [made], axis=2)
    path = saved(tmp_path / "both.onnx", graph.model(X, [made, best]))
    assert "ArgMax is no operator that a layer is made of" in refusal(path)
    assert importers.load(path, description=described(tmp_path, f"outputs: [{made}]")).spec.outputs
    assert "the graph has no output 'z'" in refusal(path, described(tmp_path, "outputs: [z]"))


def test_ids_are_embedded_and_a_norm_written_out_is_one_layer(tmp_path: Path) -> None:
    graph = OnnxGraph(opset=11)
    x = graph.add("Gather", [graph.constant(numbers(9, WIDTH)), "ids"])
    mean = graph.add("ReduceMean", [x], axes=[-1], keepdims=1)
    centred = graph.add("Sub", [x, mean])
    squares = graph.add("Pow", [centred, graph.constant(np.array(2.0, np.float32))])
    variance = graph.add(
        "Add", [graph.add("ReduceMean", [squares], axes=[-1], keepdims=1), graph.constant(np.array(1e-5, np.float32))]
    )
    normal = graph.add("Div", [centred, graph.add("Sqrt", [variance])])
    scaled = graph.add("Add", [graph.add("Mul", [normal, graph.constant(numbers(WIDTH))]), graph.constant(numbers(WIDTH))])
    made = sequence(graph, lstm(graph, scaled))
    logits = graph.add("LogSoftmax", [graph.add("MatMul", [made, graph.constant(numbers(UNITS, 3))])], axis=2)
    path = saved(tmp_path / "ids.onnx", graph.model({"ids": (TensorProto.INT64, ["batch", "time"])}, [logits]))
    spec = importers.load(path).spec
    kinds = ["embedding", "layer_normalization", "batch_normalization", "batch_normalization", "lstm", "dense"]
    assert [layer.kind for layer in spec.layers] == kinds
    assert spec.inputs[0].kind == "ids"


@pytest.mark.parametrize("channels", ["steps", "features"])
def test_a_norm_as_a_batch_normalization_of_steps_is_one_layer(tmp_path: Path, channels: str) -> None:
    """As tf2onnx writes Keras's LayerNormalization: rows and steps become channels, beside their mean and variance."""
    graph = OnnxGraph(opset=15)
    y = sequence(graph, lstm(graph))
    shape = graph.add("Shape", [y])
    lead = graph.add("Slice", [shape, graph.constant(np.array([0], np.int64)), graph.constant(np.array([2], np.int64))])
    count = graph.add("ReduceProd", [lead], axes=[0], keepdims=1)
    ones, zeros = (graph.add("Expand", [graph.constant(np.float32(fill)), count]) for fill in (1, 0))
    flat = graph.reshape(y, [1, -1, UNITS, 1] if channels == "steps" else [-1, UNITS, 1, 1])
    mean = graph.add("ReduceMean", [flat], axes=[0, 2, 3], keepdims=1)
    squares = graph.add("ReduceSumSquare", [graph.add("Sub", [flat, mean])], axes=[0, 2, 3], keepdims=0)
    variance = graph.add("Div", [squares, graph.constant(np.float32(UNITS))])
    made = graph.add("BatchNormalization", [flat, ones, zeros, graph.squeeze(mean, [0, 2, 3]), variance], epsilon=1e-3)
    path = saved(tmp_path / "norm.onnx", graph.model(X, [graph.add("Reshape", [made, shape])]))
    if channels == "features":
        with pytest.raises(ImportRefused):
            importers.load(path)
        return
    spec = importers.load(path).spec
    assert [layer.kind for layer in spec.layers] == ["lstm", "layer_normalization"]
    assert spec.layers[1].epsilon == pytest.approx(1e-3)


@pytest.mark.parametrize("form", ["negated", "subtracted", "pooled"])
def test_a_norm_as_tensorflow_writes_it_is_one_layer(tmp_path: Path, form: str) -> None:
    graph = OnnxGraph(opset=15)
    x, epsilon = sequence(graph, lstm(graph)), graph.constant(np.array(1e-3, np.float32))
    mean = graph.add("GlobalAveragePool", [x]) if form == "pooled" else graph.add("ReduceMean", [x], axes=[2], keepdims=1)
    centred = graph.add("Sub", [x, mean])
    squares = graph.add("Mul", [centred, centred])
    spread = (
        graph.add("GlobalAveragePool", [squares])
        if form == "pooled"
        else graph.add("ReduceMean", [squares], axes=[-1], keepdims=1)
    )
    inverse = graph.add("Reciprocal", [graph.add("Sqrt", [graph.add("Add", [spread, epsilon])])])
    factor, beta = graph.add("Mul", [inverse, graph.constant(numbers(1, 1, UNITS))]), graph.constant(numbers(UNITS))
    if form == "subtracted":
        shift = graph.add("Sub", [beta, graph.add("Mul", [mean, factor])])
    else:
        shift = graph.add("Add", [graph.add("Mul", [graph.add("Neg", [mean]), factor]), beta])
    made = graph.add("Add", [graph.add("Mul", [x, factor]), shift])
    imported = importers.load(saved(tmp_path / "norm.onnx", graph.model(X, [made])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "layer_normalization"]
    assert not imported.notes


@pytest.mark.parametrize("form", ["torch", "tensorflow", "other"])
def test_a_gelu_written_out_is_one_activation(tmp_path: Path, form: str) -> None:
    graph = OnnxGraph(opset=13)
    half, one = (graph.constant(np.array(value, np.float32)) for value in (0.5, 1.0))
    x = graph.add("MatMul", [sequence(graph, lstm(graph)), graph.constant(numbers(UNITS, 3))])
    root = graph.constant(np.array(2.0 if form == "other" else 2**0.5 if form == "torch" else 0.5**0.5, np.float32))
    scaled = graph.add("Mul" if form == "tensorflow" else "Div", [x, root])
    error = graph.add("Add", [graph.add("Erf", [scaled]), one])
    if form == "tensorflow":
        made = graph.add("Mul", [error, graph.add("Mul", [half, x])])
    else:
        made = graph.add("Mul", [graph.add("Mul", [x, error]), half])
    path = saved(tmp_path / "gelu.onnx", graph.model(X, [made]))
    if form == "other":
        assert kinds(path) == ["lstm", "dense", "carried_steps"]
    else:
        assert [layer.kind for layer in importers.load(path).spec.layers] == ["lstm", "dense", "activation"]


@pytest.mark.parametrize("form", ["multiplied", "matrix", "turned", "before 13"])
def test_attention_over_the_steps_is_one_layer(tmp_path: Path, form: str) -> None:
    graph = OnnxGraph(opset=11 if form == "before 13" else 17)
    steps = sequence(graph, lstm(graph))
    scores = graph.add("MatMul", [graph.add("Tanh", [steps]), graph.constant(numbers(UNITS, 1))])
    shares = graph.add("Softmax", [scores], axis=1)
    if form == "matrix":
        made = graph.squeeze(graph.add("MatMul", [graph.add("Transpose", [shares], perm=[0, 2, 1]), steps]), [1])
    elif form == "turned":
        made = graph.squeeze(graph.add("MatMul", [graph.add("Transpose", [steps], perm=[0, 2, 1]), shares]), [2])
    else:
        weighted = graph.add("Mul", [steps, shares])
        axes = {"axes": [1]} if form == "before 13" else {}
        more = [] if form == "before 13" else [graph.constant(np.array([1], np.int64))]
        made = graph.add("ReduceSum", [weighted, *more], keepdims=0, **axes)
    imported = importers.load(saved(tmp_path / "attention.onnx", graph.model(X, [made])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "activation", "dense", "merge", "attention_pooling_1d"]
    assert not imported.notes
    assert len(imported.answers[-1].lengths or ()) == 3


def test_a_softmax_over_time_that_weighs_nothing_is_carried(tmp_path: Path) -> None:
    graph = OnnxGraph()
    steps = sequence(graph, lstm(graph))
    shares = graph.add("Softmax", [steps], axis=1)
    assert kinds(saved(tmp_path / "out.onnx", graph.model(X, [shares]))) == ["lstm", "carried_rows"]
    assert kinds(saved(tmp_path / "shares.onnx", graph.model(X, [graph.add("Tanh", [shares])]))) == ["lstm", "carried_rows"]


@pytest.mark.parametrize("form", ["added", "expanded"])
def test_a_vector_beside_a_sequence_goes_to_each_of_its_steps(tmp_path: Path, form: str) -> None:
    graph = OnnxGraph()
    speaker = graph.unsqueeze("v", [1])
    if form == "added":
        x = graph.add("Add", ["x", speaker])
    else:
        shape = graph.add("Concat", [graph.add("Shape", ["x"], end=2), graph.constant(np.array([1], np.int64))], axis=0)
        x = graph.add("Add", [graph.add("Expand", [speaker, shape]), "x"])
    inputs = {**X, "v": (TensorProto.FLOAT, ["batch", WIDTH])}
    imported = importers.load(saved(tmp_path / "speaker.onnx", graph.model(inputs, [sequence(graph, lstm(graph, x))])))
    assert [layer.kind for layer in imported.spec.layers] == ["repeat_vector", "merge", "lstm"]
    assert [entry.kind for entry in imported.spec.inputs] == ["features", "vector"]
    assert not imported.notes


def time_sum(graph: OnnxGraph, x: str) -> str:
    return str(graph.add("ReduceSum", [x, graph.constant(np.array([1], np.int64))], keepdims=0))


def test_a_sum_over_time_and_what_divides_it(tmp_path: Path) -> None:
    graph = OnnxGraph()
    total = time_sum(graph, x := sequence(graph, lstm(graph)))
    steps = graph.add("Cast", [graph.add("Gather", [graph.add("Shape", [x]), graph.constant(np.array(1, np.int64))])], to=1)
    own, fixed = graph.add("Div", [total, steps]), graph.add("Div", [total, graph.constant(np.array(6, np.float32))])
    mean = importers.load(saved(tmp_path / "mean.onnx", graph.model(X, [own])))
    assert mean.spec.layers[-1].model_dump()["mode"] == "average"
    assert not mean.notes
    traced = importers.load(saved(tmp_path / "traced.onnx", graph.model(X, [fixed])))
    assert any("divides a sum over time by 6 at every length" in note for note in traced.notes)
    both = importers.load(saved(tmp_path / "both.onnx", graph.model(X, [total])))
    assert both.spec.layers[-1].model_dump()["mode"] == "sum"


def test_a_step_that_an_exporter_counted_from_the_start_is_told(tmp_path: Path) -> None:
    graph = OnnxGraph()
    last = graph.add("Gather", [sequence(graph, lstm(graph)), graph.constant(np.array(5, np.int64))], axis=1)
    notes = importers.load(saved(tmp_path / "traced.onnx", graph.model(X, [last]))).notes
    assert any("takes step 6 of each row, whatever its length" in note for note in notes)


def test_every_other_step(tmp_path: Path) -> None:
    graph = OnnxGraph()
    bounds = [graph.constant(np.array([n], np.int64)) for n in (1, 1 << 40, 1, 2)]
    made = graph.add("Slice", [sequence(graph, lstm(graph)), *bounds])
    imported = importers.load(saved(tmp_path / "half.onnx", graph.model(X, [made])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "cropping_1d", "pooling_1d"]
    assert not imported.notes


def test_layers_that_a_graph_is_by_chance_at_one_length_are_not_taken(tmp_path: Path) -> None:
    """Of four steps the first four are all."""
    graph = OnnxGraph()
    y = sequence(graph, lstm(graph))
    bounds = [graph.constant(np.array([n], np.int64)) for n in (0, 4, 1)]
    made = time_sum(graph, graph.add("Slice", [y, *bounds]))
    assert kinds(saved(tmp_path / "chance.onnx", graph.model(X, [made]))) == ["lstm", "carried_rows"]


def test_a_length_that_an_exporter_fixed_is_told(tmp_path: Path) -> None:
    graph = OnnxGraph()
    made = sequence(graph, lstm(graph))
    fixed = graph.reshape(made, [-1, 6, UNITS])
    last = graph.add("Gather", [fixed, graph.constant(np.array(5, np.int64))], axis=1)
    imported = importers.load(saved(tmp_path / "fixed.onnx", graph.model(X, [last])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "last_step"]
    assert any(note.startswith("The file answers as its layers do at 6 steps only") for note in imported.notes)
    assert imported.answers[-1].lengths == (6,)


def test_a_number_of_rows_that_an_exporter_fixed(tmp_path: Path) -> None:
    graph = OnnxGraph()
    made = graph.squeeze(lstm(graph), [1, 2])  # one row: [T, H]
    path = saved(tmp_path / "row.onnx", graph.model({"x": (TensorProto.FLOAT, [1, "time", WIDTH])}, [made]))
    imported = importers.load(path)
    assert [layer.kind for layer in imported.spec.layers] == ["lstm"]
    assert [one.by.partition(", ")[2] for one in imported.answers] == ["row by row"]


def test_a_state_that_the_network_computes(tmp_path: Path) -> None:
    graph = OnnxGraph()
    _, h, c = lstm(graph, outputs=3)
    turned = graph.add("Transpose", ["z"], perm=[1, 0, 2])
    arrays = [graph.constant(array) for array in (numbers(1, 4 * UNITS, WIDTH), numbers(1, 4 * UNITS, UNITS))]
    decoded = graph.add("LSTM", [turned, *arrays, "", "", h, c], hidden_size=UNITS)
    inputs = {**X, "z": (TensorProto.FLOAT, ["batch", "time", WIDTH])}
    spec = importers.load(saved(tmp_path / "seq2seq.onnx", graph.model(inputs, [sequence(graph, decoded)]))).spec
    encoder, decoder = spec.layers
    assert decoder.inputs[1:] == (f"{encoder.name}", f"{encoder.name}:c") or decoder.inputs[1:] == (
        f"{encoder.name}:h",
        f"{encoder.name}:c",
    )


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        ("Clip", {"min": -0.2, "max": 0.1}),
        ("Clip", {"min": 0.05}),
        ("Clip", {"max": 0.05}),
        ("HardSigmoid", {"alpha": 0.7, "beta": 0.1}),
        ("Selu", {"alpha": 1.5, "gamma": 0.8}),
        ("ThresholdedRelu", {"alpha": 0.1}),
    ],
)
def test_functions_of_any_numbers(tmp_path: Path, operator: str, options: dict[str, float]) -> None:
    """Held against onnxruntime by the import itself."""
    graph = OnnxGraph(opset=9 if operator == "Clip" else 14)
    made = graph.add(operator, [sequence(graph, lstm(graph))], **options)
    imported = importers.load(saved(tmp_path / "function.onnx", graph.model(X, [made])))
    assert not [note for note in imported.notes if "only" in note]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "coupled": ({"activations": ["Tanh"] * 3, "input_forget": 1}, "it couples its input and forget gates (input_forget)"),
    "unknown": ({"activations": ["Sine"] * 3}, "the activation 'Sine' is not known"),
    "direction": ({"direction": "sideways"}, "the direction 'sideways' is not known"),
    "hidden": ({}, "its hidden_size is 7"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_no_cell_does_is_refused_by_name(tmp_path: Path, name: str) -> None:
    options, expected = REFUSED[name]
    graph = OnnxGraph()
    made = sequence(graph, lstm(graph, **options))
    if name == "hidden":
        next(a for node in graph.nodes if node.op_type == "LSTM" for a in node.attribute if a.name == "hidden_size").i = 7
    assert expected in refusal(saved(tmp_path / "refused.onnx", graph.model(X, [made])))


def of_rows(graph: OnnxGraph, array: Array) -> str:
    """[1, 1, H] for as many rows as x has."""
    rows = graph.add("Gather", [graph.add("Shape", ["x"]), graph.constant(np.array([0], np.int64))])
    shape = graph.add(
        "Concat", [graph.constant(np.array([1], np.int64)), rows, graph.constant(np.array([UNITS], np.int64))], axis=0
    )
    return str(graph.add("Expand", [graph.constant(array), shape]))


@pytest.mark.parametrize("both", [True, False])
def test_a_first_state_that_was_trained_is_the_same_for_all_rows(tmp_path: Path, both: bool) -> None:
    graph = OnnxGraph()
    starts = [
        of_rows(graph, numbers(1, 1, UNITS)),
        of_rows(graph, numbers(1, 1, UNITS) if both else np.zeros((1, 1, UNITS), np.float32)),
    ]
    made = sequence(graph, lstm(graph, more=("", *starts)))
    imported = importers.load(saved(tmp_path / "start.onnx", graph.model(X, [made])))
    assert [layer.kind for layer in imported.spec.layers] == ["last_step", "dense", "last_step", "dense", "lstm"]
    assert not imported.notes


def test_first_states_that_differ_by_row_are_refused(tmp_path: Path) -> None:
    graph = OnnxGraph()
    start = graph.constant(numbers(1, 2, UNITS))
    made = sequence(graph, lstm(graph, more=("", start, start)))
    model = graph.model({"x": (TensorProto.FLOAT, [2, "time", WIDTH])}, [made])
    assert "constant states that are not the same for all rows" in refusal(saved(tmp_path / "start.onnx", model))


def test_ids_as_ones_at_their_places(tmp_path: Path) -> None:
    graph = OnnxGraph()
    values = [graph.constant(np.array(WIDTH, np.int64)), graph.constant(np.array([-1, 2], np.float32))]
    x = graph.add("OneHot", ["ids", *values])
    model = graph.model({"ids": (TensorProto.INT64, ["batch", "time"])}, [sequence(graph, lstm(graph, x))])
    imported = importers.load(saved(tmp_path / "ones.onnx", model))
    assert [layer.kind for layer in imported.spec.layers] == ["embedding", "lstm"]


COUPLED: list[dict[str, Any]] = [
    {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_beta": [0.4]},
    {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [0.3], "activation_beta": [0.7]},
    {"activations": ["Affine", "Tanh", "Tanh"], "activation_alpha": [0.1], "activation_beta": [0.3]},
]


@pytest.mark.parametrize("options", COUPLED)
@pytest.mark.parametrize("with_bias", [True, False])
def test_gates_coupled_off_the_middle(tmp_path: Path, options: dict[str, Any], with_bias: bool) -> None:
    """Held against onnxruntime by the import itself."""
    graph = OnnxGraph()
    steps = sequence(graph, lstm(graph, input_forget=1, **options))
    if not with_bias:
        del graph.nodes[1].input[3]
    imported = importers.load(saved(tmp_path / "coupled.onnx", graph.model(X, [steps])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm"]
    assert not imported.notes


def test_gates_coupled_off_the_middle_and_clipped_are_refused(tmp_path: Path) -> None:
    graph = OnnxGraph()
    made = sequence(graph, lstm(graph, input_forget=1, clip=0.5, **COUPLED[0]))
    assert "by a hard sigmoid off 0.5, and clips them" in refusal(saved(tmp_path / "coupled.onnx", graph.model(X, [made])))


@pytest.mark.parametrize("epsilon", [0.0, 1e-7])
@pytest.mark.parametrize("form", ["plain", "largest off", "inverse"])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_softmax_written_out_is_one(tmp_path: Path, form: str, axis: int, epsilon: float) -> None:
    """Over the steps, where it weighs them, and over the features."""
    graph = OnnxGraph()
    steps = sequence(graph, lstm(graph))
    scores = graph.add("Tanh", [graph.add("MatMul", [steps, graph.constant(numbers(UNITS, 1 if axis == 1 else 3))])])
    if form == "largest off":
        scores = graph.add("Sub", [scores, graph.add("ReduceMax", [scores], axes=[axis])])
    raised = graph.add("Exp", [scores])
    total = graph.add("ReduceSum", [raised, graph.constant(np.array([axis], np.int64))])
    if epsilon:
        total = graph.add("Add", [total, graph.constant(np.float32(epsilon))])
    inverse = form == "inverse"
    made = graph.add("Mul", [graph.add("Reciprocal", [total]), raised]) if inverse else graph.add("Div", [raised, total])
    if axis == 1:
        made = time_sum(graph, graph.add("Mul", [steps, made]))
    imported = importers.load(saved(tmp_path / "softmax.onnx", graph.model(X, [made])))
    kinds = [layer.kind for layer in imported.spec.layers]
    assert kinds == ["lstm", "dense", "merge", "attention_pooling_1d"] if axis == 1 else ["lstm", "dense", "activation"]
    assert not imported.notes


def test_a_softmax_whose_epsilon_counts_is_no_softmax(tmp_path: Path) -> None:
    graph = OnnxGraph()
    scores = sequence(graph, lstm(graph))
    raised = graph.add("Exp", [graph.add("Mul", [scores, graph.constant(np.float32(9))])])
    total = graph.add("ReduceSum", [raised, graph.constant(np.array([2], np.int64))])
    made = graph.add("Div", [raised, graph.add("Add", [total, graph.constant(np.float32(0.01))])])
    assert kinds(saved(tmp_path / "softmax.onnx", graph.model(X, [made])))[-1] == "carried_steps"


def test_one_number_for_each_step_weighs_both_directions(tmp_path: Path) -> None:
    graph = OnnxGraph()
    turned = graph.add("Transpose", ["x"], perm=[1, 0, 2])
    arrays = [graph.constant(array) for array in (numbers(2, 4 * UNITS, WIDTH), numbers(2, 4 * UNITS, UNITS))]
    both = graph.add("LSTM", [turned, *arrays], hidden_size=UNITS, direction="bidirectional")
    steps = graph.reshape(graph.add("Transpose", [both], perm=[2, 0, 1, 3]), [0, 0, 2 * UNITS])
    gate = graph.add("Sigmoid", [graph.add("MatMul", [steps, graph.constant(numbers(2 * UNITS, 1))])])
    made = time_sum(graph, graph.add("Mul", [gate, steps]))
    imported = importers.load(saved(tmp_path / "gate.onnx", graph.model(X, [made])))
    assert imported.spec.layers[-1].kind == "global_pooling_1d"
    assert not imported.notes


def test_attention_weights_that_cannot_be_served_are_refused_with_what_to_do(tmp_path: Path) -> None:
    """Beside the answer; of a file that runs at a length which no input declares, so that nothing of it is carried."""
    graph = OnnxGraph()
    steps = sequence(graph, lstm(graph))
    shares = graph.add(
        "Softmax", [graph.add("MatMul", [graph.reshape(steps, [-1, 5, UNITS]), graph.constant(numbers(UNITS, 1))])], axis=1
    )
    answer = time_sum(graph, graph.add("Mul", [steps, shares]))
    path = saved(tmp_path / "weights.onnx", graph.model(X, [answer, shares]))
    assert f"`outputs: [{answer}]`" in refusal(path)
    assert importers.load(path, description=described(tmp_path, f"outputs: [{answer}]"))


@pytest.mark.parametrize("equation", ["btf,f->bt", "f,btf->bt"])
def test_an_einsum_with_a_vector(tmp_path: Path, equation: str) -> None:
    graph = OnnxGraph()
    given = [sequence(graph, lstm(graph)), graph.constant(numbers(UNITS))]
    made = graph.add("Einsum", given if equation.startswith("btf") else given[::-1], equation=equation)
    imported = importers.load(saved(tmp_path / "einsum.onnx", graph.model(X, [made])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "dense"]


@pytest.mark.parametrize("equation", ["bt,btf->bf", "btf,bt->bf", "btf,bt->fb"])
def test_an_einsum_that_weighs_the_steps(tmp_path: Path, equation: str) -> None:
    graph = OnnxGraph()
    steps = sequence(graph, lstm(graph))
    scores = graph.add("Einsum", [steps, graph.constant(numbers(UNITS))], equation="btf,f->bt")
    given = [steps, graph.add("Softmax", [scores], axis=1)]
    made = graph.add("Einsum", given if equation.startswith("btf") else given[::-1], equation=equation)
    imported = importers.load(saved(tmp_path / "einsum.onnx", graph.model(X, [made])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "dense", "merge", "attention_pooling_1d"]
    assert not imported.notes


@pytest.mark.parametrize("equation", ["bti,io->bto", "oi,bti->bto"])
def test_an_einsum_with_a_matrix(tmp_path: Path, equation: str) -> None:
    graph = OnnxGraph()
    matrix = numbers(UNITS, 3) if equation.startswith("bti") else numbers(3, UNITS)
    given = [sequence(graph, lstm(graph)), graph.constant(matrix)]
    made = graph.add("Einsum", given if equation.startswith("bti") else given[::-1], equation=equation)
    imported = importers.load(saved(tmp_path / "einsum.onnx", graph.model(X, [made])))
    assert [layer.kind for layer in imported.spec.layers] == ["lstm", "dense"]


def test_lengths_in_a_column(tmp_path: Path) -> None:
    graph = OnnxGraph()
    lengths = graph.add("Cast", [graph.squeeze("n", [1])], to=TensorProto.INT32)
    _, h = lstm(graph, more=(lengths,), outputs=2)
    model = graph.model({**X, "n": (TensorProto.INT64, ["batch", 1])}, [graph.squeeze(h, [0])])
    imported = importers.load(saved(tmp_path / "column.onnx", model))
    assert imported.notes == ("The graph's input n is the rows' own lengths, which every request tells.",)
    assert imported.answers[0].lengths == (5, 7, 4)


def test_quantised_nodes_and_foreign_domains_are_refused_with_what_to_do(tmp_path: Path) -> None:
    said = refusal(FILES / "onnx_quant_dynamic_lstm2.onnx")
    assert "DynamicQuantizeLSTM" in said
    assert "in float32" in said
    graph = OnnxGraph()
    made = graph.add("Twist", [sequence(graph, lstm(graph))], domain="com.example")
    assert "the domain 'com.example' (Twist)" in refusal(saved(tmp_path / "custom.onnx", graph.model(X, [made])))


def test_a_graph_without_a_recurrence_is_refused(tmp_path: Path) -> None:
    graph = OnnxGraph()
    made = graph.add("MatMul", ["x", graph.constant(numbers(WIDTH, 3))])
    assert "it has no LSTM, GRU or RNN node" in refusal(saved(tmp_path / "dense.onnx", graph.model(X, [made])))


def test_attention_is_refused_by_its_node(tmp_path: Path) -> None:
    graph = OnnxGraph()
    made = sequence(graph, lstm(graph))
    scores = graph.add("MatMul", [made, graph.add("Transpose", [made], perm=[0, 2, 1])])
    said = refusal(saved(tmp_path / "attention.onnx", graph.model(X, [scores])))
    assert "(MatMul)" in said
    assert "as attention between steps does" in said
