"""Programs of torch.export: served as torch answers them, in every layout of the archive, or refused as what they are."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cellserve.models import reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from cellserve.models.importers.imported import ImportedStepModel
from cellserve.models.importers.pytorch.export.archive import read_archive
from cellserve.models.importers.pytorch.export.evaluation import TorchRuntime
from cellserve.models.importers.pytorch.export.program import read_program
from cellserve.models.importers.pytorch.export.translation import ALLOWED
from cellserve.models.measuring import parity
from cellserve.models.measuring.framework_parity import against_framework

FILES = Path(__file__).parents[2] / "files"
MODEL = "models/model.json"
Edit = Callable[[dict[str, Any]], None]

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def imported(path: Path) -> ImportedModel:
    model = load(path)
    assert isinstance(model, ImportedModel)
    return model


def stored(case: str) -> dict[str, np.ndarray]:
    with np.load(FILES / f"export_{case}.npz") as arrays:
        return dict(arrays)


def assert_as_torch(model: ImportedModel, case: str) -> None:
    """By the oracle on what torch answered when the file was made, and by every implementation in the gate."""
    arrays = stored(case)
    state = None
    if "x1" in arrays:
        state = {f"{layer}.h": array for layer, array in enumerate(arrays["x1"])}
    (found,), final = reference.run(model.spec, model.weights.arrays, (arrays["x0"],), [6, 6], state=state)
    expected = arrays["y0"].swapaxes(0, 1) if case == "streaming" else arrays["y0"]  # that program answers time first
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)
    for layer, array in enumerate(arrays.get("y1", ())):
        np.testing.assert_allclose(final[f"{layer}.h"], array, rtol=1e-5, atol=2e-6)
    assert {answers.by.partition(",")[0] for answers in model.answers} == {f"torch {torch.__version__.partition('+')[0]}"}
    assert against_framework(parity.check(model.spec, model.weights), model.spec, model.weights, model.answers)


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("bilstm", ["embedding", *["lstm", "lstm", "reverse", "merge"] * 2, "last_step", "layer_normalization", "dense"]),
        ("streaming", ["padding_1d", "conv1d", "batch_normalization", "activation", "gru", "gru", "dense"]),
        ("projected", ["lstm", "simple_rnn", "activation", "merge", "unit_normalization"]),
    ],
)
def test_a_program_is_answered_as_torch_answers_it(case: str, kinds: list[str]) -> None:
    model = imported(FILES / f"export_{case}.pt2")
    assert [layer.kind for layer in model.spec.layers] == kinds
    assert_as_torch(model, case)
    assert any("The program was read, not run" in note for note in model.notes)
    assert any("had 6 time steps when it was exported; any number is served" in note for note in model.notes)
    assert [entry.time_steps for entry in model.spec.inputs] == [None]


def test_states_and_training_are_told() -> None:
    notes = imported(FILES / "export_streaming.pt2").notes
    assert "The graph's input h is state.0.h, state.1.h: zeros unless a request gives it." in notes
    assert "It was exported in training; it is served as it answers at inference (model.eval())." in notes


def assert_read_alike(path: Path) -> None:
    model, wanted = imported(path), imported(FILES / "export_bilstm.pt2")
    assert model.spec == wanted.spec
    for name, array in wanted.weights.arrays.items():
        np.testing.assert_array_equal(model.weights.arrays[name], array)


def members(path: Path) -> dict[str, bytes]:
    """Without the folder that the archive is named after."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def written(path: Path, content: dict[str, bytes], top: str = "model/") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in content.items():
            archive.writestr(top + name, part)
    return path


def saved(content: object) -> bytes:
    made = io.BytesIO()
    torch.save(content, made)
    return made.getvalue()


def tensors(whole: dict[str, bytes]) -> dict[str, torch.Tensor]:
    config = json.loads(whole["data/weights/model_weights_config.json"])["config"]
    return {
        name: torch.frombuffer(bytearray(whole[f"data/weights/{entry['path_name']}"]), dtype=torch.float32).reshape(
            [size["as_int"] for size in entry["tensor_meta"]["sizes"]]
        )
        for name, entry in config.items()
    }


def test_weights_as_torch_2_8_kept_them(tmp_path: Path) -> None:
    whole = members(FILES / "export_bilstm.pt2")
    kept = {name: part for name, part in whole.items() if not name.startswith("data/")}
    weights = {name: torch.nn.Parameter(tensor) for name, tensor in tensors(whole).items()}
    kept |= {"data/weights/model.pt": saved(weights), "data/constants/model.pt": saved({})}
    assert_read_alike(written(tmp_path / "model.pt2", kept))


@pytest.mark.parametrize("ending", ["pt", "json"])
def test_the_layout_before_torch_2_8(tmp_path: Path, ending: str) -> None:
    whole = members(FILES / "export_bilstm.pt2")
    kept = {
        "serialized_exported_program.json": whole[MODEL],
        f"serialized_state_dict.{ending}": saved(tensors(whole)),
        f"serialized_constants.{ending}": saved({}),
        "version": b"5.1",
    }
    assert_read_alike(written(tmp_path / "model.pt2", kept, top=""))


def test_big_endian_arrays(tmp_path: Path) -> None:
    whole = members(FILES / "export_bilstm.pt2")
    turned = {
        name: np.frombuffer(part, "<f4").astype(">f4").tobytes() if name.startswith("data/weights/weight_") else part
        for name, part in whole.items()
    }
    assert_read_alike(written(tmp_path / "model.pt2", turned | {"byteorder": b"big"}))


def refusal(path: Path) -> str:
    with pytest.raises(ImportRefused) as caught:
        load(path)
    return str(caught.value)


def as_it_is_written(file: Path, x: np.ndarray) -> np.ndarray:
    """What torch makes of a program's calls, one after the other."""
    program = read_program(read_archive(file))
    zeros = {entry.name: np.zeros([size or 2 for size in entry.sizes], np.float32) for entry in program.inputs[1:]}
    return TorchRuntime(program, program.outputs, ALLOWED)({program.inputs[0].name: x, **zeros})[program.outputs[0]]


def test_a_recurrence_that_was_taken_apart_is_put_together_again() -> None:
    file = FILES / "export_decomposed.pt2"
    model = imported(file)
    assert [layer.kind for layer in model.spec.layers] == ["gru"]
    x = np.random.default_rng(0).standard_normal((2, 2, 2)).astype(np.float32)
    (found,), _ = reference.run(model.spec, model.weights.arrays, (x,), [2, 2])
    np.testing.assert_allclose(found, as_it_is_written(file, x), rtol=1e-5, atol=2e-6)


def test_a_recurrence_whose_parts_do_something_else_stays_apart(tmp_path: Path) -> None:
    def changes(module: dict[str, Any]) -> None:
        called(module, "sigmoid")["target"] = "torch.ops.aten.tanh.default"

    said = refusal(edited(tmp_path, changes, "decomposed"))
    assert "layer 'rnn': this GRU has been taken apart into single operations, as run_decompositions() does" in said
    assert 'torch.save(torch.export.load("model.pt2").state_dict, "model.weights.pt")' in said


@pytest.mark.parametrize("case", ["step", "decomposed_step"])
def test_one_step_of_a_cell_is_a_step_model(case: str) -> None:
    model = load(FILES / f"export_{case}.pt2")
    assert isinstance(model, ImportedStepModel)
    assert [(one.name, one.output) for one in model.spec.states]
    assert not set(model.spec.inputs[0].axes) & {"time"}


def test_cells_in_a_loop_that_were_taken_apart_are_of_one_length() -> None:
    said = refusal(FILES / "export_decomposed_loop.pt2")
    assert "as cells in a loop are exported, so that the program is of one length alone" in said


def test_cells_in_a_loop_are_one_recurrence() -> None:
    file = FILES / "export_loop.pt2"
    model = imported(file)
    assert [layer.kind for layer in model.spec.layers] == ["gru", "dense"]
    assert any("Its cells run in a loop, of which the file holds 2 steps" in note for note in model.notes)
    x = np.random.default_rng(0).standard_normal((2, 2, 2)).astype(np.float32)
    (found,), _ = reference.run(model.spec, model.weights.arrays, (x,), [2, 2])
    np.testing.assert_allclose(found, as_it_is_written(file, x), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("member", "what"),
    [
        ("data/aotinductor/model/code.so", "this is a package of AOTInductor: code that was compiled for one machine"),
        ("data/executorch/model.pte", "this is a package of ExecuTorch"),
        ("extra/notes", "this archive of torch.export holds no model"),
    ],
)
def test_packages_of_compiled_code_are_called_so(tmp_path: Path, member: str, what: str) -> None:
    said = refusal(written(tmp_path / "model.pt2", {"archive_format": b"pt2", member: b""}))
    assert what in said
    assert "torch.save(model.state_dict(), path)" in said


def edited(tmp_path: Path, edit: Edit, case: str = "projected") -> Path:
    whole = members(FILES / f"export_{case}.pt2")
    document = json.loads(whole[MODEL])
    edit(document["graph_module"])
    return written(tmp_path / "model.pt2", whole | {MODEL: json.dumps(document).encode()})


def called(module: dict[str, Any], operator: str) -> dict[str, Any]:
    return next(node for node in module["graph"]["nodes"] if node["target"].startswith(f"torch.ops.aten.{operator}."))


def test_an_operation_that_is_no_layer_is_named_with_the_way_out(tmp_path: Path) -> None:
    def sorts(module: dict[str, Any]) -> None:
        called(module, "silu")["target"] = "torch.ops.aten.cumsum.default"

    said = refusal(edited(tmp_path, sorts))
    assert "layer 'silu (aten.cumsum.default)': aten.cumsum.default is no operation that a layer is made of" in said
    assert "Where you trust the file, take its weights out" in said


def test_nothing_but_torchs_operations_on_numbers_is_ever_asked_for(tmp_path: Path) -> None:
    """Nor is any of them looked up that is not listed, though its inputs are constants alone."""

    def reads_a_file(module: dict[str, Any]) -> None:
        node = called(module, "zeros")
        node["target"] = "torch.ops.aten.from_file.default"
        node["inputs"] = [{"name": "filename", "arg": {"as_string": "/etc/passwd"}, "kind": 1}]

    assert "aten.from_file.default is no operation that a layer is made of" in refusal(edited(tmp_path, reads_a_file))


def test_an_output_that_depends_on_nothing_that_is_fed_is_named(tmp_path: Path) -> None:
    def answers_a_weight(module: dict[str, Any]) -> None:
        module["signature"]["output_specs"][0]["user_output"]["arg"]["as_tensor"]["name"] = "p_rnn_weight_hr_l0"

    assert "its output 'p_rnn_weight_hr_l0' is not computed from its inputs" in refusal(edited(tmp_path, answers_a_weight))


def test_rows_that_were_fixed_by_the_export_are_free_here(tmp_path: Path) -> None:
    def fixes_rows(module: dict[str, Any]) -> None:
        module["graph"]["tensor_values"]["x"]["sizes"][0] = {"as_int": 2}
        module["graph"]["nodes"] = [node for node in module["graph"]["nodes"] if ".sym_size." not in node["target"]]
        for node in module["graph"]["nodes"]:
            for one in (one for one in node["inputs"] if "as_sym_ints" in one["arg"]):
                one["arg"] = {"as_ints": [size.get("as_int", 2) for size in one["arg"]["as_sym_ints"]]}

    assert_as_torch(imported(edited(tmp_path, fixes_rows)), "projected")


def test_a_buffer_that_a_call_changes_is_named(tmp_path: Path) -> None:
    def changes(module: dict[str, Any]) -> None:
        module["signature"]["output_specs"].append({"buffer_mutation": {"arg": {"name": "silu"}, "buffer_name": "rnn.state"}})

    assert "the program changes rnn.state, which its module keeps between calls" in refusal(edited(tmp_path, changes))


def test_a_description_chooses_outputs_and_says_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "description.yaml").write_text("head: sequence")
    with pytest.raises(ImportRefused, match=r"option 'head': .*no meaning for a program of torch\.export"):
        load(FILES / "export_projected.pt2", description=tmp_path / "description.yaml")


def test_damaged_archives_are_refused_in_a_sentence(tmp_path: Path) -> None:
    whole, random = members(FILES / "export_projected.pt2"), np.random.default_rng(0)
    document = whole[MODEL]
    for number in range(24):
        content = bytearray(document)
        for place in random.integers(0, len(document), random.integers(1, 4)):
            content[place] = random.choice(list(b'0127"{}[],:ax'))
        part = bytes(content[: random.integers(len(content))]) if number % 8 == 0 else bytes(content)
        with suppress(ImportRefused):
            assert imported(written(tmp_path / "model.pt2", whole | {MODEL: part})).spec.recurrent_layers
    short = whole | {"data/weights/weight_0": whole["data/weights/weight_0"][:-4]}
    assert "reaches beyond the" in refusal(written(tmp_path / "model.pt2", short))
    missing = {name: part for name, part in whole.items() if name != "data/weights/weight_0"}
    assert "the archive of torch.export is damaged" in refusal(written(tmp_path / "model.pt2", missing))
