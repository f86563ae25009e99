"""PyTorch state dicts: what is told from names and shapes, what is assumed and said, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from cellserve.models.network import Network
from tests.golden.cases import FOLDER


def saved(folder: Path, module: nn.Module | dict[str, Any], name: str = "model.pt") -> Path:
    path = folder / name
    torch.save(module.state_dict() if isinstance(module, nn.Module) else module, path)
    return path


def described(folder: Path, text: str) -> Path:
    path = folder / "description.yaml"
    path.write_text(text)
    return path


class Tagger(nn.Module):
    """Embedding, two layers both ways, and a head of two."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 5)
        self.tags = nn.Linear(5, 4)
        self.words = nn.Embedding(11, 7)
        self.recurrence = nn.LSTM(7, 6, num_layers=2, bidirectional=True, batch_first=True)


def answer(model: ImportedModel, inputs: torch.Tensor, lengths: list[int]) -> np.ndarray:
    network = Network(model.spec, model.weights)
    (outputs,), _ = network.run((inputs.transpose(0, 1).contiguous(),), lengths, implementation="2")
    return (outputs.transpose(0, 1) if network.shapes[model.spec.outputs[0]].sequence else outputs).numpy()


def test_arrays_that_the_model_does_not_use_are_named(tmp_path: Path) -> None:
    module = nn.LSTM(2, 3)
    module.register_buffer("scale", torch.ones(1))
    module.register_buffer("scale_step", torch.ones(1))
    path, description = saved(tmp_path, module), tmp_path / "description.yaml"
    description.write_text("ignore: [scale*]")
    model = load(path, description=description)
    assert model.notes[0] == "Ignored, as the description says: scale, scale_step."
    assert [layer.kind for layer in model.spec.layers] == ["lstm"]
    description.write_text("ignore: [scael]")
    with pytest.raises(ImportRefused, match=r"option 'ignore': no array of the file is named 'scael'; it holds .*scale"):
        load(path, description=description)


def test_keys_of_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    description = tmp_path / "description.yaml"
    description.write_text("cell_clip: 3")
    with pytest.raises(ImportRefused, match=r"option 'cell_clip': .*no meaning for a PyTorch state dict"):
        load(saved(tmp_path, nn.LSTM(2, 3)), description=description)


def test_outputs_of_length_1(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, description = nn.GRU(2, 3, batch_first=True), tmp_path / "description.yaml"
    description.write_text("unit_length: true")
    x = torch.randn(2, 5, 2)
    expected = nn.functional.normalize(module(x)[0], dim=-1).detach().numpy()
    found = answer(load(saved(tmp_path, module), description=description), x, [5, 5])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("format_name", ["pt", "safetensors"])
def test_a_model_is_wired_by_widths_when_its_modules_are_out_of_order(tmp_path: Path, format_name: str) -> None:
    torch.manual_seed(0)
    tagger = Tagger().eval()
    path = saved(tmp_path, tagger)
    if format_name == "safetensors":
        path = tmp_path / "model.safetensors"
        save_file(tagger.state_dict(), path)
    model = load(path, description=described(tmp_path, "head: sequence\nhead_activations: [tanh, softmax]"))
    ids = torch.tensor([[1, 2, 3, 10]])
    with torch.no_grad():
        expected = tagger.tags(tagger.first(tagger.recurrence(tagger.words(ids))[0]).tanh()).softmax(-1).numpy()
    np.testing.assert_allclose(answer(model, ids, [4]), expected, atol=2e-6)
    assert model.notes == ("The module words is taken for an Embedding before the recurrence: the model reads ids.",)


def test_what_a_state_dict_does_not_say_is_assumed_aloud(tmp_path: Path) -> None:
    module = nn.ModuleDict({"rnn": nn.RNN(3, 4), "out": nn.Linear(4, 2)})
    model = load(saved(tmp_path, module))
    assert [layer.kind for layer in model.spec.layers] == ["simple_rnn", "last_step", "dense"]
    assert [next(word for word in ("nonlinearity", "last step", "functions") if word in note) for note in model.notes] == [
        "nonlinearity",
        "last step",
        "functions",
    ]
    silent = described(tmp_path, "nonlinearity: relu\nhead: last_step\nhead_activations: [relu]")
    described_model = load(saved(tmp_path, module), description=silent)
    assert described_model.notes == ()
    assert [layer.activation.name for layer in described_model.spec.layers if layer.kind != "last_step"] == ["relu", "relu"]


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model_state", "model"])
def test_a_training_scripts_wrapping_is_seen_through(tmp_path: Path, wrapper: str) -> None:
    module = nn.GRU(3, 4, bias=False)
    bare = load(saved(tmp_path, module))
    parallel = {f"module.{name}": value for name, value in module.state_dict().items()}
    found = load(saved(tmp_path, {wrapper: parallel, "epoch": 3, "optimizer": {}}))
    assert found.weights.digest == bare.weights.digest
    assert not found.spec.recurrent_layers[0].use_bias


def test_weights_in_half_precision_are_widened(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file(nn.LSTM(3, 4).to(torch.bfloat16).state_dict(), path)
    assert {array.dtype for array in load(path).weights.arrays.values()} == {np.dtype(np.float32)}


def test_modules_can_be_left_out_by_naming_the_others(tmp_path: Path) -> None:
    module = nn.ModuleDict({"lstm": nn.LSTM(3, 4), "norm": nn.BatchNorm1d(4)})
    path = saved(tmp_path, module)
    with pytest.raises(ImportRefused, match=r"layer 'norm': .*`order`"):
        load(path)
    model = load(path, description=described(tmp_path, "order: [lstm]"))
    assert model.notes == ("There is no head: the output is the last layer's whole sequence.",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("order: [lstm, absent]", r"layer 'absent'.*no module of this name; it holds lstm, out"),
        ("order: [out, lstm]", r"option 'order'.*in this order the modules do not fit"),
        ("order: [out]", "nothing recurrent"),
        ("head_activations: [relu, relu]", "2 activations are given for 1 Linear"),
    ],
)
def test_a_description_that_does_not_fit(tmp_path: Path, text: str, said: str) -> None:
    module = nn.ModuleDict({"lstm": nn.LSTM(3, 4), "out": nn.Linear(4, 2)})
    with pytest.raises(ImportRefused, match=said):
        load(saved(tmp_path, module), description=described(tmp_path, text))


def test_an_order_that_widths_leave_open_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(nn.ModuleDict({"lstm": nn.LSTM(4, 4), "a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}).state_dict(), path)
    with pytest.raises(ImportRefused, match="`order: "):
        load(path)
    model = load(path, description=described(tmp_path, "order: [lstm, b, a]"))
    assert [layer.name for layer in model.spec.layers] == ["lstm_l0", "last_step", "b", "a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (nn.Linear(3, 4), "nothing recurrent"),
        (nn.ModuleDict({"cell": nn.LSTMCell(3, 4)}), "single cell"),
        (nn.ModuleDict({"lstm": nn.LSTM(3, 4), "conv": nn.Conv1d(4, 2, 3)}), "layer 'conv'"),
        ({"epoch": 3}, "no state dict"),
        ({"lstm.weight_ih_l0": torch.zeros(16, 3)}, "layer 'lstm'.*missing"),
        ({"lstm.weight_ih_l1": torch.zeros(16, 3), "lstm.weight_hh_l1": torch.zeros(16, 4)}, "layer 'lstm'.*missing"),
        ({"lstm.weight_ih_l0": torch.zeros(16, 3), "lstm.weight_hh_l0": torch.zeros(16, 5)}, "neither that of an LSTM"),
        ({"lstm.weight_ih_l0": torch.zeros(15, 3), "lstm.weight_hh_l0": torch.zeros(16, 4)}, "lstm_l0"),
        ({"lstm.weight_ih_l0": torch.full((16, 3), torch.nan), "lstm.weight_hh_l0": torch.zeros(16, 4)}, "layer 'lstm_l0'.*NaN"),
    ],
)
def test_state_dicts_that_are_no_recurrent_model(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        load(saved(tmp_path, content))


class Opens:
    """Runs code when it is unpickled: makes the file `trace`."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def test_a_whole_pickled_module_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.LSTM(2, 2), path)
    with pytest.raises(ImportRefused, match="would run code, which is never done"):
        load(path)
    torch.save({"weights": Opens(tmp_path / "trace")}, path)
    with pytest.raises(ImportRefused, match="would run code"):
        load(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("file", ["pt_lstm1.pt", "pt_lstm1.safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_cut_short(tmp_path: Path, file: str, share: float) -> None:
    whole = (FOLDER / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImportRefused, match=r"damaged or cut short|no model file"):
        load(tmp_path / file)


def test_a_state_dict_takes_no_architecture(tmp_path: Path) -> None:
    path = saved(tmp_path, nn.GRU(2, 2))
    with pytest.raises(ImportRefused, match="--architecture"):
        load(path, architecture=path)
