"""Step models through the command line: what is told of them, and bad files: a sentence, code 2, nothing published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.models.importers.onnx.onnx_graphs import OnnxGraph, saved
from tests.models.importers.onnx.test_step_models import filter_model, named, written
from tests.service.cli.fakes import Shell

FLOAT = TensorProto.FLOAT


def cut_short(model: ModelProto) -> bytes:
    content = model.SerializeToString()
    return content[: len(content) * 2 // 3]


def with_a_node(operator: str, domain: str = "") -> Callable[[ModelProto], bytes]:
    def change(model: ModelProto) -> bytes:
        model.graph.node.insert(0, helper.make_node(operator, ["x"], ["never"], name="never", domain=domain))
        if domain:
            model.opset_import.append(helper.make_opsetid(domain, 1))
        return bytes(model.SerializeToString())

    return change


def with_a_wrong_type(model: ModelProto) -> bytes:
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.STRING
    return bytes(model.SerializeToString())


def that_answers_nan(model: ModelProto) -> bytes:
    model.graph.node.extend([helper.make_node("Log", ["z"], ["w"]), helper.make_node("Neg", ["e"], ["z"])][::-1])
    model.graph.node.insert(-2, helper.make_node("Exp", ["y"], ["e"]))
    model.graph.output[0].name = "w"
    return bytes(model.SerializeToString())


def of_huge_sizes(model: ModelProto) -> bytes:
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("x", FLOAT, ["batch", 1 << 40]))
    model.graph.input.append(helper.make_tensor_value_info("state", FLOAT, ["batch", 1]))
    return bytes(model.SerializeToString())


BAD: dict[str, tuple[Callable[[ModelProto], bytes], str]] = {
    "cut short": (cut_short, "damaged"),
    "a loop": (with_a_node("Loop"), "Loop"),
    "random numbers": (with_a_node("RandomNormalLike"), "at random"),
    "operators of others": (with_a_node("Mine", "com.example"), "com.example"),
    "a state that is text": (with_a_wrong_type, "tensor(string)"),
    "numbers that are none": (that_answers_nan, "not finite"),
    "sizes that nobody can hold": (of_huge_sizes, "far too large"),
}


@pytest.mark.usefixtures("read_here")
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_step_model_is_refused_in_one_sentence(kind: str, shell: Shell, tmp_path: Path) -> None:
    change, word = BAD[kind]
    path = tmp_path / "model.onnx"
    path.write_bytes(change(filter_model()))
    result = shell("import", str(path), "--description", str(written(tmp_path, "step: true")))
    assert result.exit_code == 2, result.output
    complaints = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(complaints) == 1
    assert str(path) in complaints[0]
    assert word in complaints[0]
    assert not (shell.root / "model").exists()


def test_what_is_told_of_a_step_model(shell: Shell, tmp_path: Path) -> None:
    path = saved(tmp_path / "filter.onnx", filter_model())
    inspected = shell.json("inspect", str(path))
    assert inspected["states"] == {"0.state": 1}
    assert inspected["implementations"]["onnxruntime"] == "can run it"
    assert inspected["passes"] == "one call of its graph for each time step"
    published = shell("import", str(path))
    assert published.exit_code == 0, published.output
    assert "checked against onnxruntime, called by hand" in published.stderr
    assert shell.json("show", "filter")["causal"] is True
    assert shell("verify").exit_code == 0
    refused = shell("bench", "filter")
    assert refused.exit_code == 2
    assert "is a step model" in refused.stderr


@pytest.mark.usefixtures("read_here")
def test_other_answers_than_onnxruntimes_are_not_taken(shell: Shell, tmp_path: Path) -> None:
    path = saved(tmp_path / "filter.onnx", filter_model())
    np.savez(tmp_path / "expect.npz", x0=np.ones((1, 2, 4), np.float32), y0=np.ones((1, 2, 4), np.float32))
    result = shell("import", str(path), "--expect", str(tmp_path / "expect.npz"))
    assert result.exit_code == 2
    assert "takes no other answers" in result.stderr


@pytest.mark.usefixtures("read_here")
def test_a_quantised_step_model_runs_each_row_alone(shell: Shell, tmp_path: Path) -> None:
    """One range is taken for all numbers of a call."""
    graph = OnnxGraph()
    q, scale, zero = graph.add("DynamicQuantizeLinear", ["x"], 3)
    rounded = graph.add("DequantizeLinear", [q, scale, zero])
    moved = graph.add("Add", ["state", graph.add("ReduceMean", [rounded], axes=[1], keepdims=1)])
    outputs = [named(graph, graph.add("Add", [rounded, moved]), "y"), named(graph, moved, "stateN")]
    model = graph.model({"x": (FLOAT, ["batch", 4]), "state": (FLOAT, ["batch", 1])}, outputs)
    result = shell("import", str(saved(tmp_path / "quantised.onnx", model)))
    assert result.exit_code == 0, result.output
    assert "Each row has calls of its own: DynamicQuantizeLinear takes one range" in result.stderr
