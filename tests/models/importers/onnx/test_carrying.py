"""ONNX graphs with parts that no layer does: what is carried, how it runs, and that it answers as onnxruntime with the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from cellserve.models import importers
from cellserve.models.description.layers.carried import Carried, CarriedRowsLayer, CarriedStepsLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.measuring.pass_walk import walk
from cellserve.models.network import Network
from cellserve.models.state import RecurrentState
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved
from tests.models.networks import agree

Array = npt.NDArray[Any]
WIDTH, UNITS = 4, 6
LENGTHS = (13, 5, 6, 13)
Add = Callable[[OnnxGraph, str, int, np.random.Generator], tuple[str, int]]
"""(graph, a tensor [B, T, F], F, numbers) -> (what is made of it, its features)."""


def numbers(random: np.random.Generator, *shape: int) -> Array:
    return (random.standard_normal(shape) * 0.4).astype(np.float32)


def whole(graph: OnnxGraph, *values: int) -> str:
    return graph.constant(np.array(values, np.int64))


def sine(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    return str(graph.add("Sin", [x])), width


def widened(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    """With more numbers than stay in the graph."""
    return str(graph.add("MatMul", [graph.add("Cos", [x]), graph.constant(numbers(random, width, 30))])), 30


def largest(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    """The two largest features of each step."""
    made = graph.add("TopK", [x, whole(graph, 2)], 2, axis=2)
    return str(made[0]), 2


def running(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    total = graph.add("CumSum", [x, graph.constant(np.array(1, np.int64))])
    return str(graph.add("Mul", [total, graph.constant(np.float32(0.1))])), width


def attention(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    scores = graph.add("MatMul", [x, graph.add("Transpose", [x], perm=[0, 2, 1])])
    return str(graph.add("MatMul", [graph.add("Softmax", [scores], axis=-1), x])), width


def pictures(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    """Windows over time and features, of which every other one is left."""
    kernel = graph.constant(numbers(random, 2, 1, 3, 3))
    made = graph.add("Conv", [graph.unsqueeze(x, [1]), kernel], pads=[1, 1, 1, 1], strides=[2, 1])
    turned = graph.add("Transpose", [graph.add("Relu", [made])], perm=[0, 2, 1, 3])
    return graph.reshape(turned, [0, 0, 2 * width]), 2 * width


def over_rows(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    """Numbers that depend on which rows are in a call."""
    mean = graph.add("ReduceMean", [x], axes=[0])
    return str(graph.add("Sin", [graph.add("Sub", [x, graph.add("Mul", [mean, graph.constant(np.float32(0.5))])])])), width


def one_row(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
    """A shape that holds for one row alone."""
    flat = graph.add("Sin", [graph.reshape(x, [1, -1, width])])
    return str(flat), width


STEPWISE: Mapping[str, Add] = {"sine": sine, "widened": widened, "largest": largest}
OVER_ROWS: Mapping[str, Add] = {"running": running, "attention": attention, "pictures": pictures}


def recurrent(
    graph: OnnxGraph, x: str, width: int, random: np.random.Generator, operator: str = "LSTM", *, both: bool = False
) -> tuple[str, int]:
    gates, sides = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator], 2 if both else 1
    arrays = [numbers(random, sides, gates * UNITS, n) for n in (width, UNITS)]
    turned = graph.add("Transpose", [x], perm=[1, 0, 2])
    direction = "bidirectional" if both else "forward"
    y = graph.add(operator, [turned, *map(graph.constant, arrays)], hidden_size=UNITS, direction=direction)
    return graph.reshape(graph.add("Transpose", [y], perm=[2, 0, 1, 3]), [0, 0, sides * UNITS]), sides * UNITS


def model(*parts: Add, seed: int = 0) -> ModelProto:
    graph, random, made, width = OnnxGraph(), np.random.default_rng(seed), "x", WIDTH
    for part in parts:
        made, width = part(graph, made, width, random)
    return graph.model({"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}, [made])


def loaded(tmp_path: Path, content: ModelProto) -> ImportedModel:
    found = importers.load(saved(tmp_path / "model.onnx", content))
    assert isinstance(found, ImportedModel)
    return found


def kinds(imported: ImportedModel) -> list[str]:
    return [layer.kind for layer in imported.spec.layers]


def carried(imported: ImportedModel) -> list[Carried]:
    return [layer for layer in imported.spec.layers if isinstance(layer, Carried)]


def answers_as_the_file(imported: ImportedModel, content: ModelProto, seed: int = 0) -> None:
    """Whole in a ragged batch, in chunks, and in passes that are cut."""
    x = np.random.default_rng(seed).standard_normal((len(LENGTHS), max(LENGTHS), WIDTH)).astype(np.float32)
    right = [asked(content, {"x": x[row : row + 1, :length]})[0][0] for row, length in enumerate(LENGTHS)]
    network = Network(imported.spec, imported.weights)
    for label in (network.offered[0], "2"):
        (made,), _ = network.run((torch.from_numpy(x.swapaxes(0, 1).copy()),), list(LENGTHS), implementation=label)
        for row, wanted in enumerate(right):
            agree(made[: len(wanted), row].numpy(), wanted, f"{label}, row {row}")
    for size in (4, 100):
        parts = chunked(network, x, size) if network.passes is None else passed(network, x, size)
        for row, wanted in enumerate(right):
            agree(parts[row], wanted, f"chunks of {size}, row {row}")


def chunked(network: Network, x: Array, size: int) -> list[Array]:
    made = []
    for row, length in enumerate(LENGTHS):
        state: RecurrentState = network.initial_state(1)
        pieces = []
        for start, stop in cuts(length, size):
            piece = torch.from_numpy(x[row : row + 1, start:stop].swapaxes(0, 1).copy())
            advance, state = network.advance(piece, [stop - start], state, implementation="2")
            pieces.append(network.finish(advance, [0])[0][:, 0].numpy())
        made.append(np.concatenate(pieces))
    return made


def passed(network: Network, x: Array, size: int) -> list[Array]:
    assert network.passes is not None
    outputs, _ = walk(network, network.passes, [x], list(LENGTHS), lambda longest: cuts(longest, size), "2")
    return [np.asarray(row[0], np.float32) for row in outputs]


def cuts(steps: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, steps)) for start in range(0, steps, size))


@pytest.mark.parametrize("name", STEPWISE)
def test_a_part_of_single_steps_keeps_the_network_causal(tmp_path: Path, name: str) -> None:
    content = model(STEPWISE[name], recurrent, STEPWISE[name])
    imported = loaded(tmp_path, content)
    assert kinds(imported) == ["carried_steps", "lstm", "carried_steps"]
    assert Network(imported.spec, imported.weights).causal
    answers_as_the_file(imported, content)
    assert len([note for note in imported.notes if "is carried, and onnxruntime runs it step by step" in note]) == 2


@pytest.mark.parametrize("name", OVER_ROWS)
def test_a_part_of_whole_rows_is_run_in_passes(tmp_path: Path, name: str) -> None:
    content = model(recurrent, OVER_ROWS[name], recurrent)
    imported = loaded(tmp_path, content)
    assert kinds(imported) == ["lstm", "carried_rows", "lstm"]
    answers_as_the_file(imported, content)
    assert [note for note in imported.notes if "onnxruntime runs it over whole rows." in note]


def test_known_layers_around_a_part_stay_layers(tmp_path: Path) -> None:
    def dense(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
        return str(graph.add("MatMul", [x, graph.constant(numbers(random, width, 5))])), 5

    content = model(dense, sine, recurrent, dense)
    imported = loaded(tmp_path, content)
    assert kinds(imported) == ["dense", "carried_steps", "lstm", "dense"]
    answers_as_the_file(imported, content)


@pytest.mark.parametrize("part", [over_rows, one_row])
def test_rows_that_may_not_share_a_call_run_alone(tmp_path: Path, part: Add) -> None:
    """A mean over the rows of a call, and a shape for one row: what is left of them where each row is alone."""

    def and_running(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
        return running(graph, *part(graph, x, width, random), random)

    content = model(recurrent, and_running)
    imported = loaded(tmp_path, content)
    layer = imported.spec.layers[-1]
    assert isinstance(layer, CarriedRowsLayer)
    assert not layer.together
    assert [note for note in imported.notes if "over whole rows, each row alone" in note]
    answers_as_the_file(imported, content)


def test_a_shape_for_one_row_before_steps_that_need_no_others(tmp_path: Path) -> None:
    """The file runs at one row; the steps of several rows are as many steps of one."""
    content = model(one_row, recurrent, attention)
    imported = loaded(tmp_path, content)
    assert kinds(imported) == ["carried_steps", "lstm", "carried_rows"]
    answers_as_the_file(imported, content)


def test_arrays_of_floats_are_weights_of_the_version(tmp_path: Path) -> None:
    (layer,) = carried(loaded(tmp_path, model(widened, recurrent)))
    assert layer.constants == (("c0", (WIDTH, 30)),)
    assert len(layer.graph) < 3000
    again = type(layer).model_validate_json(layer.model_dump_json())
    assert again == layer


def test_a_part_that_is_no_number_for_some_steps(tmp_path: Path) -> None:
    """A root of what may be below zero, where random numbers are; of an absolute value it is one."""

    def root(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
        return str(graph.add("Max", [graph.add("Sqrt", [x]), graph.constant(np.float32(-1))])), width

    assert kinds(loaded(tmp_path, model(recurrent, root))) == ["lstm", "carried_steps"]


def test_tensors_that_are_called_as_those_of_parts_are(tmp_path: Path) -> None:
    """x0, c0 and y in the middle of a graph: exporters call theirs so, too."""
    content = model(widened, recurrent, widened)
    graph = content.graph
    first, second = (node for node in graph.node if node.op_type == "Cos")
    names = {first.output[0]: "c0", second.input[0]: "x0", second.output[0]: "y"}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    imported = loaded(tmp_path, content)
    assert len(carried(imported)) == 2
    answers_as_the_file(imported, content)


def test_first_states_of_zeros_are_not_carried(tmp_path: Path) -> None:
    """In the shape of what is carried: a part for each of them would run all of it again."""

    def started(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
        turned = graph.add("Transpose", [x], perm=[1, 0, 2])
        rows = graph.add("Gather", [graph.add("Shape", [turned]), whole(graph, 1)])
        shape = graph.add("Concat", [whole(graph, 1), rows, whole(graph, UNITS)], axis=0)
        states = [graph.add("ConstantOfShape", [shape]), graph.add("Expand", [graph.constant(np.float32(0)), shape])]
        arrays = [graph.constant(numbers(random, 1, 4 * UNITS, n)) for n in (width, UNITS)]
        y = graph.add("LSTM", [turned, *arrays, "", "", *states], hidden_size=UNITS)
        return str(graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2])), UNITS

    content = model(pictures, started)
    imported = loaded(tmp_path, content)
    assert kinds(imported) == ["carried_rows", "lstm"]
    answers_as_the_file(imported, content)


def test_what_no_layer_joins_at_any_length_is_carried(tmp_path: Path) -> None:
    """The difference of each step and the one before: of two sequences of a step less each, a merge knows one length only."""

    def differences(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
        ends = ((1, 1 << 62), (0, -1))
        halves = [graph.add("Slice", [x, whole(graph, start), whole(graph, end), whole(graph, 1)]) for start, end in ends]
        return str(graph.add("Sub", halves)), width

    content = model(recurrent, differences)
    imported = loaded(tmp_path, content)
    assert imported.spec.inputs[0].time_steps is None
    assert len(carried(imported)) == 1
    answers_as_the_file(imported, content)


def test_a_vector_behind_the_row(tmp_path: Path) -> None:
    def ended(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
        return str(graph.add("ReduceL2", [x], axes=[1], keepdims=0)), width

    content = model(recurrent, ended)
    imported = loaded(tmp_path, content)
    assert kinds(imported) == ["lstm", "carried_rows"]
    x = np.random.default_rng(0).standard_normal((len(LENGTHS), max(LENGTHS), WIDTH)).astype(np.float32)
    network = Network(imported.spec, imported.weights)
    (made,), _ = network.run((torch.from_numpy(x.swapaxes(0, 1).copy()),), list(LENGTHS), implementation="2")
    for row, length in enumerate(LENGTHS):
        agree(made[row].numpy(), asked(content, {"x": x[row : row + 1, :length]})[0][0], f"row {row}")


def test_ids_that_something_is_done_to_go_into_a_part(tmp_path: Path) -> None:
    graph, random = OnnxGraph(), np.random.default_rng(0)
    table = graph.constant(numbers(random, 9, WIDTH))
    x = graph.add("Sin", [graph.add("Gather", [table, graph.add("Mod", ["ids", whole(graph, 9)])])])
    made, _ = recurrent(graph, x, WIDTH, random)
    content = graph.model({"ids": (TensorProto.INT64, ["batch", "time"])}, [made])
    imported = loaded(tmp_path, content)
    assert kinds(imported)[-1] == "lstm"
    ids = random.integers(0, 9, (3, 7))
    network = Network(imported.spec, imported.weights)
    (answer,), _ = network.run((torch.from_numpy(ids.T.copy()),), [7, 3, 5], implementation="2")
    for row, length in enumerate((7, 3, 5)):
        wanted = asked(content, {"ids": ids[row : row + 1, :length]})[0][0]
        agree(answer[:length, row].numpy(), wanted, f"row {row}")


def test_attention_weights_are_an_output_beside_the_answer(tmp_path: Path) -> None:
    graph, random = OnnxGraph(), np.random.default_rng(0)
    steps, width = recurrent(graph, "x", WIDTH, random)
    shares = graph.add("Softmax", [graph.add("MatMul", [steps, graph.constant(numbers(random, width, 1))])], axis=1)
    answer = graph.add("ReduceSum", [graph.add("Mul", [steps, shares]), whole(graph, 1)], keepdims=0)
    content = graph.model({"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}, [answer, shares])
    imported = loaded(tmp_path, content)
    x = random.standard_normal((2, 6, WIDTH)).astype(np.float32)
    made, _ = Network(imported.spec, imported.weights).run(
        (torch.from_numpy(x.swapaxes(0, 1).copy()),), [6, 4], implementation="2"
    )
    for row, length in enumerate((6, 4)):
        wanted = asked(content, {"x": x[row : row + 1, :length]})
        agree(made[0][row].numpy(), wanted[0][0], "answer")
        agree(made[1][:length, row].numpy(), wanted[1][0], "weights")


REFUSED: Mapping[str, tuple[Add, str]] = {
    "random": (lambda g, x, n, r: (g.add("Add", [x, g.add("RandomNormalLike", [x])]), n), "RandomNormalLike"),
    "of bytes": (lambda g, x, n, r: (g.add("Cast", [g.add("Sin", [x])], to=TensorProto.INT8), n), "int8"),
    "steps squared": (
        lambda g, x, n, r: (g.add("MatMul", [x, g.add("Transpose", [x], perm=[0, 2, 1])]), n),
        "several axes",
    ),
    "upsampled": (lambda g, x, n, r: (g.add("Sin", [g.add("Concat", [x, x], axis=1)]), n), "what no window does"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    part, expected = REFUSED[name]
    with pytest.raises(ImportRefused) as caught:
        loaded(tmp_path, model(recurrent, part))
    assert expected in str(caught.value)


def test_a_graph_that_runs_a_graph_is_never_carried(tmp_path: Path) -> None:
    """A loop that counts as far as it likes would never end."""
    graph, random = OnnxGraph(), np.random.default_rng(0)
    steps, _ = recurrent(graph, "x", WIDTH, random)
    entry = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sin", ["v"], ["w"])], "body",
        [entry("i", TensorProto.INT64, []), entry("go", TensorProto.BOOL, []), entry("v", TensorProto.FLOAT, None)],
        [entry("on", TensorProto.BOOL, []), entry("w", TensorProto.FLOAT, None)],
    )  # fmt: skip
    limit, go = graph.constant(np.array(2**62, np.int64)), graph.constant(np.array(True))
    made = graph.add("Loop", [limit, go, steps], body=body)
    content = graph.model({"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}, [made])
    with pytest.raises(ImportRefused, match="Loop"):
        loaded(tmp_path, content)


def test_numbers_without_bound_are_a_refusal(tmp_path: Path) -> None:
    """A part that would repeat each step a billion times."""

    def repeated(graph: OnnxGraph, x: str, width: int, random: np.random.Generator) -> tuple[str, int]:
        tiled = graph.add("Tile", [graph.unsqueeze(graph.add("Sin", [x]), [3]), whole(graph, 1, 1, 1, 1 << 40)])
        return str(graph.add("ReduceSum", [tiled, whole(graph, 3)], keepdims=0)), width

    with pytest.raises(ImportRefused):
        loaded(tmp_path, model(recurrent, repeated))


@st.composite
def drawn(draw: st.DrawFn) -> ModelProto:
    """One to three recurrent nodes with something unknown somewhere around them."""
    parts: list[Add] = []
    unknown = {**STEPWISE, **OVER_ROWS}
    count = draw(st.integers(1, 3))
    place = draw(st.integers(0, count))
    for number in range(count + 1):
        if number == place or draw(st.integers(0, 3)) == 0:
            parts.append(unknown[draw(st.sampled_from(sorted(unknown)))])
        if number < count:
            operator, both = draw(st.sampled_from(["LSTM", "GRU", "RNN"])), draw(st.booleans())
            parts.append(
                lambda g, x, n, r, operator=operator, both=both: recurrent(g, x, n, r, operator, both=both)  # type: ignore[misc]
            )
    return model(*parts, seed=draw(st.integers(0, 1000)))


@settings(
    max_examples=int(os.environ.get("CARRIED_GRAPHS", 5)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=drawn(), seed=st.integers(0, 1000))
def test_random_graphs_with_unknown_nodes_answer_as_onnxruntime(tmp_path: Path, content: ModelProto, seed: int) -> None:
    imported = loaded(tmp_path, content)
    assert any(isinstance(layer, CarriedStepsLayer | CarriedRowsLayer) for layer in imported.spec.layers)
    answers_as_the_file(imported, content, seed)
