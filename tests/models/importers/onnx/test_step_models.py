"""ONNX graphs that give their states back: what is taken for a state, an axis, a constant, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import ModelProto, TensorProto, external_data_helper, helper

from cellserve.models import importers
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, ImportedStepModel
from cellserve.models.importers.isolated import load_isolated
from cellserve.models.importers.onnx.steps.lengths import Lengths, lengths, window
from cellserve.models.importers.onnx.steps.pairs import in_order, pairs
from cellserve.models.importers.onnx.steps.reading import Declared, read_step_file
from cellserve.models.measuring.gate import check
from cellserve.models.steps.network import StepNetwork
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
FILES = Path(__file__).parent / "files"
RANDOM = np.random.default_rng(11)


def numbers(*shape: int) -> Array:
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def named(graph: OnnxGraph, made: str, name: str) -> str:
    graph.nodes.append(helper.make_node("Identity", [made], [name]))
    return name


def filter_model(
    rows: str | int = "batch", frame: str | int = 4, state: str = "state", after: str = "stateN", opset: int = 17
) -> ModelProto:
    """y = x + a moving mean of its frames' means, [rows, frame]; the state is that mean, [rows, 1]."""
    graph = OnnxGraph(opset)
    mean = graph.add("ReduceMean", ["x"], axes=[1], keepdims=1)
    half = graph.constant(np.float32(0.5))
    moved = graph.add("Add", [graph.add("Mul", [state, half]), graph.add("Mul", [mean, half])])
    y = named(graph, graph.add("Add", ["x", moved]), "y")
    float_ = TensorProto.FLOAT
    return graph.model({"x": (float_, [rows, frame]), state: (float_, [rows, 1])}, [y, named(graph, moved, after)])


def load(folder: Path, model: ModelProto, description: str = "") -> ImportedStepModel:
    found = importers.load(saved(folder / "model.onnx", model), description=written(folder, description))
    assert isinstance(found, ImportedStepModel)
    check(found.spec, found.weights)
    return found


def written(folder: Path, text: str) -> Path:
    path = folder / "description.yaml"
    path.write_text(text or "{}")
    return path


def refusal(folder: Path, model: ModelProto, description: str = "") -> str:
    with pytest.raises(ImportRefused) as caught:
        importers.load(saved(folder / "model.onnx", model), description=written(folder, description))
    return str(caught.value)


def test_a_voice_detector_is_called_as_it_is() -> None:
    """Its states go round in one tensor; fed frame by frame it answers as onnxruntime did."""
    imported = importers.load(FILES / "onnx_step_conv_lstm_state.onnx")
    assert isinstance(imported, ImportedStepModel)
    check(imported.spec, imported.weights)
    with np.load(FILES / "onnx_step_conv_lstm_state.npz") as stored:
        frames, expected, state = stored["x0"][:, 0], stored["y0"][:, 0], stored["y1"]
    network = StepNetwork(imported.spec, imported.weights)
    answers, states = network.advance([[frames]], network.state_layout.first_rows(1))
    np.testing.assert_allclose(answers[0][0], expected, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(states[0], state[:, 0].ravel(), rtol=1e-5, atol=2e-6)
    assert "It is a step model: each call of the graph takes one frame and the states state (next: stateN)." in imported.notes


def test_layers_that_can_be_fed_piece_by_piece_stay_layers() -> None:
    assert isinstance(importers.load(FILES / "onnx_legacy_lstm_states_in_out.onnx"), ImportedModel)


@pytest.mark.parametrize(
    ("given", "made", "expected"),
    [
        ("x state", "y stateN", {"state": "stateN"}),
        ("x h c", "y hn cn", {"h": "hn", "c": "cn"}),
        ("x h0 c0", "y hn cn", {"h0": "hn", "c0": "cn"}),
        ("x c_0 h_0", "y h_n c_n", {"c_0": "c_n", "h_0": "h_n"}),
        ("x past_0 past_1", "y present_0 present_1", {"past_0": "present_0", "past_1": "present_1"}),
        (
            "x conv_cache tra_cache",
            "y conv_cache_out tra_cache_out",
            {"conv_cache": "conv_cache_out", "tra_cache": "tra_cache_out"},
        ),
        ("frame_in state_in", "frame_out state_out", {"state_in": "state_out"}),
        ("input_states x", "output_states y", {"input_states": "output_states"}),
        ("x mem.1", "y mem_next", {"mem.1": "mem_next"}),
        ("input_1 input_2", "output_1 output_2", {}),
        ("x z", "y w", {}),
    ],
)
def test_names_that_belong_together(given: str, made: str, expected: dict[str, str]) -> None:
    inputs = [Declared(name, "float32", (1, "n", 8)) for name in given.split()]
    outputs = [Declared(name, "float32", None) for name in made.split()]
    assert pairs(inputs, outputs, {}) == expected


def test_without_names_shapes_tell_where_only_one_fits() -> None:
    """Spectrum and state in, mask and state out, as networks that Keras converted call them."""
    inputs = [Declared("input_2", "float32", (1, 1, 257)), Declared("input_3", "float32", (1, 2, 128, 2))]
    outputs = [Declared("activation_2", "float32", (1, 1, 257)), Declared("stack_2", "float32", (1, 2, 128, 2))]
    assert pairs(inputs, outputs, {}) == {"input_3": "stack_2"}


@pytest.mark.parametrize(
    ("given", "made", "expected"),
    [
        ("x h c", "26 Gemm_25 Tanh_23", {"h": "Gemm_25", "c": "Tanh_23"}),
        ("x hx cx", "linear_2 mul_109 add_77", {"hx": "mul_109", "cx": "add_77"}),
        ("x hidden", "28 27", {"hidden": "27"}),
        ("x h c", "26 25", {}),
        ("x h mask", "26 25 24", {}),
        ("x y", "26 25", {}),
        ("x", "26", {}),
    ],
)
def test_states_whose_outputs_nobody_named_come_back_in_their_order(given: str, made: str, expected: dict[str, str]) -> None:
    inputs = [Declared(name, "float32", ("b", 8)) for name in given.split()]
    assert in_order(inputs, [Declared(name, "float32", ("b", 8)) for name in made.split()]) == expected
    others = [Declared(name, "float32", ("b", 5 + place)) for place, name in enumerate(made.split())]
    assert in_order(inputs, others) == {}


def lone_cell() -> ModelProto:
    """One step of an LSTM, written out as torch's exporters write nn.LSTMCell: no recurrent node, and no output is named."""
    graph = OnnxGraph()
    sums = [graph.add("Gemm", [name, graph.constant(numbers(24, size)), graph.constant(numbers(24))], transB=1)
            for name, size in (("x", 4), ("h", 6))]  # fmt: skip
    i, f, g, o = graph.add("Split", [graph.add("Add", sums), graph.constant(np.full(4, 6, np.int64))], 4, axis=1)
    kept = graph.add("Mul", [graph.add("Sigmoid", [f]), "c"])
    c = graph.add("Add", [kept, graph.add("Mul", [graph.add("Sigmoid", [i]), graph.add("Tanh", [g])])])
    h = graph.add("Mul", [graph.add("Sigmoid", [o]), graph.add("Tanh", [c])])
    y = graph.add("Gemm", [h, graph.constant(numbers(6, 2))])
    float_ = TensorProto.FLOAT
    inputs = {"x": (float_, ["b", 4]), "h": (float_, ["b", 6]), "c": (float_, ["b", 6])}
    model = graph.model(inputs, [y, h, c])
    for entry, size in zip(model.graph.output, (2, 6, 6)):
        entry.CopyFrom(helper.make_tensor_value_info(entry.name, float_, ["b", size]))
    return model


def test_a_lone_cell_goes_on_step_after_step(tmp_path: Path) -> None:
    """Fed step by step it answers what a call for each step, with the states handed on, does."""
    model = lone_cell()
    path = saved(tmp_path / "model.onnx", model)
    found = importers.load(path)
    assert isinstance(found, ImportedStepModel)
    assert any("taken in their order" in note for note in found.notes)
    check(found.spec, found.weights)
    steps = numbers(5, 4)
    h, c, expected = np.zeros((1, 6), np.float32), np.zeros((1, 6), np.float32), []
    for step in steps:
        y, h, c = asked(model, {"x": step[np.newaxis], "h": h, "c": c})
        expected.append(y[0])
    network = StepNetwork(found.spec, found.weights)
    answers, states = network.advance([[steps]], network.state_layout.first_rows(1))
    np.testing.assert_allclose(answers[0][0], expected, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(states[0], np.concatenate([h[0], c[0]]), rtol=1e-5, atol=2e-6)


def test_states_that_no_name_tells_are_described(tmp_path: Path) -> None:
    model = filter_model(state="z", after="w")
    assert "none of its outputs is told" in refusal(tmp_path, model, "step: true")
    found = load(tmp_path, model, "states: {z: w}")
    assert [(state.name, state.output) for state in found.spec.states] == [("z", "w")]
    assert "the graph has no output 'v'" in refusal(tmp_path, model, "states: {z: v}")
    wide = filter_model(state="z", after="w")
    wide.graph.output[1].CopyFrom(helper.make_tensor_value_info("w", TensorProto.FLOAT, ["batch", 1]))
    assert "of other types or sizes" in refusal(tmp_path, wide, "states: {x: w}")


def test_a_free_length_is_fed_whole_or_in_frames(tmp_path: Path) -> None:
    model = filter_model(frame="samples")
    whole = load(tmp_path, model).spec
    assert whole.whole_feeds
    assert (whole.inputs[0].width, whole.fewest_steps, whole.multiple_of) == (1, 1, 1)
    assert whole.shapes()["y"].sequence
    framed = load(tmp_path, model, "frames: {x: 6}").spec
    assert not framed.whole_feeds
    assert (framed.inputs[0].width, framed.shapes()["y"].features) == (6, (6,))


def test_a_context_is_a_state_of_its_own(tmp_path: Path) -> None:
    """The last two samples of the frame before stand before each frame: the graph is fed 6, requests 4."""
    found = load(tmp_path, filter_model(frame="samples"), "frames: {x: 4}\ncontext: {x: 2}")
    network = StepNetwork(found.spec, found.weights)
    x = numbers(3, 4)
    answers, states = network.advance([[x]], network.state_layout.first_rows(1))
    state, before, session_answers = np.zeros((1, 1), np.float32), np.zeros(2, np.float32), []
    model = filter_model(frame="samples")
    for frame in x:
        y, state = asked(model, {"x": np.concatenate([before, frame])[None], "state": state})
        before = frame[-2:]
        session_answers.append(y[0])
    np.testing.assert_allclose(answers[0][0], session_answers, rtol=1e-6)
    np.testing.assert_allclose(states[0], [*state[0], *before], rtol=1e-6)
    assert [columns.key for columns in network.state_layout.public] == ["0.state", "1.x.context"]
    fixed = load(tmp_path, filter_model(frame=6), "context: {x: 2}")
    assert fixed.spec.inputs[0].width == 4
    assert "goes with calls of one length" in refusal(tmp_path, filter_model(frame="samples"), "context: {x: 2}")
    assert "does not go with" in refusal(tmp_path, filter_model(frame=6), "context: {x: 6}")


def test_states_begin_as_they_are_said_to(tmp_path: Path) -> None:
    found = load(tmp_path, filter_model(), "initial: {state: 2.0}")
    network = StepNetwork(found.spec, found.weights)
    first = network.state_layout.first_rows(2)
    np.testing.assert_array_equal(first, [[2.0], [2.0]])
    answers, _ = network.advance([[np.zeros((1, 4), np.float32)]], first[:1])
    np.testing.assert_array_equal(answers[0][0], np.ones((1, 4)))
    assert "has 1 numbers, and 2 are given" in refusal(tmp_path, filter_model(), "initial: {state: [1.0, 2.0]}")


def test_rows_are_alone_where_the_file_fixes_one(tmp_path: Path) -> None:
    found = load(tmp_path, filter_model(rows=1))
    assert not found.spec.batched
    assert "Each row has calls of its own: the file fixes the number of rows." in found.notes
    assert found.spec.shapes()["y"].features == (4,)


def test_rows_are_alone_where_they_would_see_each_other(tmp_path: Path) -> None:
    """A mean over all rows, as a normalisation left in training has it."""
    graph = OnnxGraph()
    mean = graph.add("ReduceMean", ["x"], axes=[0, 1], keepdims=1)
    moved = graph.add("Add", ["state", mean])
    outputs = [named(graph, graph.add("Sub", ["x", moved]), "y"), named(graph, moved, "stateN")]
    float_ = TensorProto.FLOAT
    found = load(tmp_path, graph.model({"x": (float_, ["batch", 4]), "state": (float_, ["batch", 1])}, outputs))
    assert not found.spec.batched
    assert any("depends on what else is in a call" in note for note in found.notes)


def test_a_number_is_told_by_each_request_or_bound(tmp_path: Path) -> None:
    graph = OnnxGraph()
    scaled = graph.add("Mul", ["x", graph.add("Cast", ["rate"], to=TensorProto.FLOAT)])
    moved = graph.add("Add", ["h", graph.add("ReduceMean", [scaled], axes=[1], keepdims=1)])
    outputs = [named(graph, graph.add("Add", [scaled, moved]), "y"), named(graph, moved, "hn")]
    float_ = TensorProto.FLOAT
    model = graph.model({"x": (float_, ["n", 4]), "h": (float_, ["n", 1]), "rate": (TensorProto.INT64, [])}, outputs)
    free = load(tmp_path, model)
    assert [(entry.name, entry.kind) for entry in free.spec.inputs] == [("x", "features"), ("rate", "vector")]
    network = StepNetwork(free.spec, free.weights)
    x = np.ones((1, 4), np.float32)
    answers, _ = network.advance([[x, np.float32([rate])] for rate in (3, 5, 3)], network.state_layout.first_rows(3))
    assert [answer[0][0, 0] for answer in answers] == [6, 10, 6]
    bound = load(tmp_path, model, "constants: {rate: 7}")
    assert [entry.name for entry in bound.spec.inputs] == ["x"]
    assert "The graph's input rate is 7, as the description says." in bound.notes


def test_a_state_that_grows_is_refused(tmp_path: Path) -> None:
    graph = OnnxGraph()
    longer = named(graph, graph.add("Concat", ["cache", "x"], axis=1), "cache_out")
    outputs = [named(graph, graph.add("ReduceMean", [longer], axes=[1], keepdims=1), "y"), longer]
    float_ = TensorProto.FLOAT
    model = graph.model({"x": (float_, ["batch", 4]), "cache": (float_, ["batch", 8])}, outputs)
    assert "a state that grows is not kept" in refusal(tmp_path, model, "step: true")


def test_every_output_a_state_leaves_nothing_to_answer(tmp_path: Path) -> None:
    graph = OnnxGraph()
    after = named(graph, graph.add("Add", ["x", "state"]), "stateN")
    float_ = TensorProto.FLOAT
    model = graph.model({"x": (float_, ["batch", 4]), "state": (float_, ["batch", 4])}, [after])
    assert "nothing is left to be answered" in refusal(tmp_path, model, "step: true")


def test_what_is_said_of_inputs_that_are_not_there(tmp_path: Path) -> None:
    for option in ("frames: {z: 4}", "context: {z: 4}", "axes: {z: [batch, 4]}", "initial: {z: 0}", "constants: {z: 0}"):
        assert "the graph has no input 'z'" in refusal(tmp_path, filter_model(), option)
    assert "are not the axes of 'x'" in refusal(tmp_path, filter_model(), "axes: {x: [batch, time, 4]}")
    assert "is not fed" in refusal(tmp_path, filter_model(), "frames: {state: 1}")
    assert "no free axis of time" in refusal(tmp_path, filter_model(), "frames: {x: 5}")
    assert "the keys that have are axes, constants" in refusal(tmp_path, filter_model(), "step: true\nforget_bias: 0")
    assert "no meaning for layers" in refusal(tmp_path, filter_model(), "step: false\nframes: {x: 4}")


@pytest.mark.parametrize(("operator", "word"), [("Loop", "how long a call takes"), ("RandomUniformLike", "at random")])
def test_operators_that_are_never_run(tmp_path: Path, operator: str, word: str) -> None:
    model = filter_model()
    model.graph.node.insert(0, helper.make_node(operator, ["x"], ["never"], name="never"))
    assert word in refusal(tmp_path, model, "step: true")


def test_no_library_of_operators_is_loaded(tmp_path: Path) -> None:
    model = filter_model()
    model.graph.node.insert(0, helper.make_node("Mine", ["x"], ["never"], name="never", domain="com.example"))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    assert "no library is ever loaded" in refusal(tmp_path, model, "step: true")


def test_data_beside_the_file_come_inside(tmp_path: Path) -> None:
    model = filter_model()
    external_data_helper.convert_model_to_external_data(model, location="model.data", size_threshold=0)
    folder = tmp_path / "beside"
    folder.mkdir()
    external_data_helper.write_external_data_tensors(model, str(folder))
    found = importers.load(saved(folder / "model.onnx", model), description=written(folder, "step: true"))
    assert isinstance(found, ImportedStepModel)
    check(found.spec, found.weights)
    hostile = filter_model()
    external_data_helper.convert_model_to_external_data(hostile, location="../model.data", size_threshold=0)
    for tensor in hostile.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    assert "only its own folder is read" in refusal(tmp_path, hostile, "step: true")


def test_a_newer_format_of_the_file_is_read(tmp_path: Path) -> None:
    model = filter_model()
    model.ir_version = 13
    load(tmp_path, model)


def test_a_graph_that_wants_all_memory_is_a_refusal(tmp_path: Path) -> None:
    graph = OnnxGraph()
    big = graph.add("ConstantOfShape", [graph.constant(np.array([1 << 19, 1 << 19], np.int64))])
    moved = graph.add("Add", ["state", graph.add("ReduceMean", [graph.add("Add", [big, "state"])], keepdims=0)])
    outputs = [named(graph, graph.add("Add", ["x", moved]), "y"), named(graph, moved, "stateN")]
    float_ = TensorProto.FLOAT
    path = saved(tmp_path / "m.onnx", graph.model({"x": (float_, ["batch", 1]), "state": (float_, ["batch", 1])}, outputs))
    with pytest.raises(ImportRefused):
        load_isolated(path, description=written(tmp_path, "step: true"))


def test_an_answer_for_each_hop_is_told_from_one_for_the_feed(tmp_path: Path) -> None:
    """A hop of 160 samples: feeds of 8 and of 9 have one answer each, and still it is a sequence."""
    graph = OnnxGraph()
    pad = graph.constant(np.array([0, 0, 0, 0, 0, 159], np.int64))
    padded = graph.add("Pad", [graph.unsqueeze("x", [1]), pad])
    hops = graph.add("Conv", [padded, graph.constant(numbers(2, 1, 160))], strides=[160])
    y = graph.add("Add", [graph.add("Transpose", [hops], perm=[0, 2, 1]), graph.unsqueeze("h", [1])])
    last = graph.add("ReduceMax", [y], axes=[1], keepdims=0)
    float_ = TensorProto.FLOAT
    inputs = {"x": (float_, ["batch", "samples"]), "h": (float_, ["batch", 2])}
    found = load(tmp_path, graph.model(inputs, [named(graph, y, "y"), named(graph, last, "hn")]))
    assert found.spec.answers[0].axes == ("batch", "time", 2)
    assert found.spec.answers[0].window == (1, 160)


def counted(size: int, stride: int) -> Any:
    return lambda steps: max(0, (steps - size) // stride + 1)


@pytest.mark.parametrize(("size", "stride"), [(1, 2), (3, 2), (400, 160), (160, 160), (1, 3), (0, 8), (-16, 8)])
def test_the_windows_of_an_output_are_found(size: int, stride: int) -> None:
    assert window(counted(size, stride), Lengths(1, 1, (512, 513, 1025), 8192)) == (size, stride)


def test_steps_that_follow_from_nothing() -> None:
    assert window(lambda steps: steps * steps, Lengths(1, 1, (8, 9, 17), 8192)) is None
    assert window(lambda steps: 4, Lengths(1, 1, (8, 9, 17), 8192)) is None


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (lambda steps: True, Lengths(1, 1, (8, 9, 17, 1), 8192)),
        (lambda steps: steps >= 96, Lengths(96, 1, (100, 101, 201, 96), 8192)),
        (lambda steps: steps % 160 == 0, Lengths(160, 160, (160, 320, 480), 8160)),
        (lambda steps: steps == 512, Lengths(512, 1, (512,), 512)),
        (lambda steps: False, None),
    ],
)
def test_lengths_at_which_a_graph_runs(runs: Any, expected: Lengths | None) -> None:
    assert lengths(runs) == expected


def test_bytes_that_have_changed_give_a_model_or_a_sentence(tmp_path: Path) -> None:
    content = filter_model().SerializeToString()
    for place in range(0, len(content), 5):
        for part in (content[:place], content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :]):
            path = tmp_path / "changed.onnx"
            path.write_bytes(part)
            try:
                found = importers.load(path, description=written(tmp_path, "step: true"))
            except ImportRefused:
                continue
            assert isinstance(found, ImportedStepModel)


def cell_model(h: str, c: str, after_h: str, after_c: str) -> ModelProto:
    """One step of an LSTM behind a sine, which is no layer; first states h and c, next ones after_h and after_c."""
    graph = OnnxGraph()
    x = graph.add("Sin", [graph.add("Transpose", ["x"], perm=[1, 0, 2])])
    weights = [graph.constant(numbers(1, 32, 5)), graph.constant(numbers(1, 32, 8))]
    steps, hn, cn = graph.add("LSTM", [x, *weights, "", "", h, c], 3, hidden_size=8)
    y = named(graph, graph.add("Transpose", [graph.squeeze(steps, [1])], perm=[1, 0, 2]), "y")
    float_ = TensorProto.FLOAT
    inputs = {"x": (float_, ["b", 1, 5]), h: (float_, [1, "b", 8]), c: (float_, [1, "b", 8])}
    return graph.model(inputs, [named(graph, hn, after_h), named(graph, cn, after_c), y])


@pytest.mark.parametrize("names", ["hx cx hy cy", "h c h_out cell", "args_1 args_2 ret_1 ret_2", "a b b_out a_out"])
def test_states_of_recurrent_nodes_need_no_names(tmp_path: Path, names: str) -> None:
    """An input where a node begins, and an output where the same node ends, belong together whatever they are called."""
    h, c, after_h, after_c = names.split()
    found = load(tmp_path, cell_model(h, c, after_h, after_c)).spec
    assert {state.name: state.output for state in found.states} == {h: after_h, c: after_c}
    assert found.outputs == ("y",)


def test_stacked_states_of_recurrent_nodes_need_no_names(tmp_path: Path) -> None:
    """h and c in one tensor, cut apart before the node and joined behind it."""
    graph = OnnxGraph()
    h, c = graph.add("Split", ["p", graph.constant(np.array([1, 1], np.int64))], 2, axis=0)
    x = graph.add("Sin", [graph.unsqueeze("x", [0])])
    weights = [graph.constant(numbers(1, 32, 5)), graph.constant(numbers(1, 32, 8))]
    steps, hn, cn = graph.add("LSTM", [x, *weights, "", "", h, c], 3, hidden_size=8)
    outputs = [named(graph, graph.squeeze(steps, [0, 1]), "y"), named(graph, graph.add("Concat", [hn, cn], axis=0), "q")]
    float_ = TensorProto.FLOAT
    found = load(tmp_path, graph.model({"x": (float_, ["b", 5]), "p": (float_, [2, "b", 8])}, outputs)).spec
    assert {state.name: state.output for state in found.states} == {"p": "q"}


def test_a_graph_whose_states_are_not_told_says_how_to_tell_them(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, filter_model(state="z", after="w"))
    assert "`states: {input: output}`" in sentence
    assert "step model" in sentence


def test_what_each_feed_must_bring_is_noted(tmp_path: Path) -> None:
    model = filter_model()
    mul = next(node for node in model.graph.node if node.op_type == "Mul")
    model.graph.node.insert(0, helper.make_node("Add", ["state", "gain"], ["raised"]))
    mul.input[0] = "raised"
    model.graph.input.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, ["batch", 1]))
    found = load(tmp_path, model)
    assert "Each feed brings x (inputs), gain (inputs_1)." in found.notes


def test_a_file_in_float16_is_layers_although_onnxruntime_would_end_the_process() -> None:
    """As float16 converters write torch's RNN: at its highest level of optimisation onnxruntime 1.31 does not survive it."""
    imported = importers.load(FILES / "onnx_float16_rnn.onnx")
    assert isinstance(imported, ImportedModel)
    assert [layer.kind for layer in imported.spec.layers if "rnn" in layer.kind] == ["simple_rnn"] * 4
    (made,) = read_step_file(FILES / "onnx_float16_rnn.onnx").session.run(["89"], {"x": np.zeros((1, 2, 4), np.float16)})
    assert made.shape == (1, 2, 3)
