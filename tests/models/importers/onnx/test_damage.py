"""Damaged and hostile ONNX files: a sentence, in bounded time and memory, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from cellserve.models import importers
from cellserve.models.errors import ImportRefused, ModelError
from cellserve.models.importers import ImportedModel
from cellserve.models.importers.isolated import load_isolated
from tests.examples import examples
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, saved
from tests.models.importers.onnx.test_onnx_import import X, lstm, sequence

GOOD = Path(__file__).parents[3] / "golden" / "onnx_legacy_conv_gru.onnx"


def refusal(path: Path, read: Callable[[Path], ImportedModel] = importers.load) -> str:
    with pytest.raises(ImportRefused) as caught:
        read(path)
    return str(caught.value)


def model() -> ModelProto:
    graph = OnnxGraph()
    return graph.model(X, [sequence(graph, lstm(graph))])


@pytest.mark.parametrize("part", [0.0, 0.001, 0.2, 0.5, 0.99])
def test_a_file_that_is_cut_short(tmp_path: Path, part: float) -> None:
    content = GOOD.read_bytes()
    path = tmp_path / "short.onnx"
    path.write_bytes(content[: int(len(content) * part)])
    said = refusal(path)
    assert "damaged" in said or "empty" in said


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_that_have_changed_give_a_model_or_a_sentence(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(GOOD.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / "changed.onnx"
    path.write_bytes(content)
    with suppress(ModelError):  # anything else is a fault
        importers.load(path)


def test_a_shape_that_nobody_can_hold(tmp_path: Path) -> None:
    hostile = model()
    hostile.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
    assert "claims the shape" in refusal(saved(tmp_path / "huge.onnx", hostile))
    hostile.graph.initializer[0].dims[:] = [-1, 4]
    assert "the file is damaged" in refusal(saved(tmp_path / "negative.onnx", hostile))
    hostile.graph.initializer[0].dims[:] = [1, 5, 5]
    assert "does not hold what its shape" in refusal(saved(tmp_path / "wrong.onnx", hostile))


def test_constants_that_grow_without_end(tmp_path: Path) -> None:
    graph = OnnxGraph()
    big = graph.add("ConstantOfShape", [graph.constant(np.array([1 << 18, 1 << 18], np.int64))])
    made = sequence(graph, lstm(graph, graph.add("Add", ["x", graph.add("ReduceMean", [big], keepdims=0)])))
    said = refusal(saved(tmp_path / "grows.onnx", graph.model(X, [made])), load_isolated)  # which bounds the memory
    assert "ConstantOfShape" in said or "memory" in said


@pytest.mark.parametrize("location", ["../secret.data", "/etc/hostname", "inner/../../secret.data", ""])
def test_data_are_read_from_the_files_own_folder_alone(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.data").write_bytes(b"\0" * 4096)
    hostile = model()
    tensor = hostile.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    assert "only its own folder is read" in refusal(saved(folder / "model.onnx", hostile))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.data").write_bytes(b"\0" * 4096)
    (folder / "model.data").symlink_to(tmp_path / "secret.data")
    hostile = model()
    tensor = hostile.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="model.data")
    assert "only its own folder is read" in refusal(saved(folder / "model.onnx", hostile))


@pytest.mark.parametrize("key", ["offset", "length"])
def test_places_in_the_data_that_are_no_numbers(tmp_path: Path, key: str) -> None:
    (tmp_path / "model.data").write_bytes(b"\0" * 4096)
    hostile = model()
    tensor = hostile.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="model.data")
    tensor.external_data.add(key=key, value="many")
    assert "the data of the tensor" in refusal(saved(tmp_path / "model.onnx", hostile)) or "does not hold" in refusal(
        tmp_path / "model.onnx"
    )


def test_a_graph_that_reads_what_nothing_makes(tmp_path: Path) -> None:
    hostile = model()
    hostile.graph.node[0].input[0] = "nowhere"
    assert "which no earlier node makes" in refusal(saved(tmp_path / "loose.onnx", hostile))


def test_nodes_in_a_circle(tmp_path: Path) -> None:
    hostile = model()
    first, last = hostile.graph.node[0], hostile.graph.node[-1]
    first.input[0] = last.output[0]
    assert "which no earlier node makes" in refusal(saved(tmp_path / "circle.onnx", hostile))


def test_branches_within_branches(tmp_path: Path) -> None:
    graph = helper.make_graph([], "g", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=helper.make_graph([], "e", [], []))
        graph = helper.make_graph([node], "g", [], [helper.make_empty_tensor_value_info("y")])
    hostile = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert "branches within branches" in refusal(saved(tmp_path / "deep.onnx", hostile))


def test_a_matrix_that_is_too_large_to_reorder_features_with(tmp_path: Path) -> None:
    """A small file must not ask for a matrix of every feature by every other."""
    graph = OnnxGraph()
    turned = graph.add("Transpose", [graph.reshape("x", [-1, 100, 60])], perm=[0, 2, 1])
    made = graph.add("MatMul", [graph.add("Flatten", [turned]), graph.constant(np.ones((6_000, 1), np.float32))])
    inputs = {"x": (TensorProto.FLOAT, ["batch", 6_000]), "z": X["x"]}
    path = saved(tmp_path / "wide.onnx", graph.model(inputs, [made, sequence(graph, lstm(graph, "z"))]))
    assert [layer.kind for layer in importers.load(path).spec.layers] == ["lstm", "carried_steps"]


def test_text_of_another_kind_under_the_name(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    assert "damaged" in refusal(path)
    path.write_bytes(b"\x20\x00\x00\x00ORTM" + b"\0" * 64)
    assert "ONNX Runtime's own format (.ort)" in refusal(path)
