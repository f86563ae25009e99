"""PyTorch state dicts: what is told from names and shapes, what is assumed and said, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
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


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model_state", "model", "weights"])
def test_a_training_scripts_wrapping_is_seen_through(tmp_path: Path, wrapper: str) -> None:
    module = nn.GRU(3, 4, bias=False)
    bare = load(saved(tmp_path, module))
    parallel = {f"module.{name}": value for name, value in module.state_dict().items()}
    found = load(saved(tmp_path, {wrapper: parallel, "epoch": 3, "optimizer": {}}))
    assert found.weights.digest == bare.weights.digest
    assert not found.spec.recurrent_layers[0].use_bias


def test_several_state_dicts_under_names_of_their_own_are_not_chosen_from(tmp_path: Path) -> None:
    weights = nn.GRU(3, 4).state_dict()
    with pytest.raises(ImportRefused, match=r"several state dicts \(teacher, student\); save the one"):
        load(saved(tmp_path, {"teacher": weights, "student": weights, "epoch": 3}))


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
    assert model.notes == (
        "Ignored, as `order` does not name them: norm.weight, norm.bias, norm.running_mean, norm.running_var, "
        "norm.num_batches_tracked.",
        "There is no head: the output is the last layer's whole sequence.",
    )


def test_a_module_that_an_order_forgets_is_refused_where_a_model_can_hardly_miss_it(tmp_path: Path) -> None:
    module = nn.ModuleDict({"words": nn.Embedding(9, 3), "rnn": nn.GRU(3, 4), "other": nn.GRU(3, 4), "out": nn.Linear(4, 2)})
    path = saved(tmp_path, module)
    with pytest.raises(ImportRefused, match=r"would use no other\.weight_ih_l0 \[12, 3\].* which look recurrent.*`ignore:"):
        load(path, description=described(tmp_path, "order: [words, rnn, out]"))
    with pytest.raises(ImportRefused, match=r"would use no words\.weight \[9, 3\], which looks like the table of an embedding"):
        load(path, description=described(tmp_path, "order: [rnn, out]\nignore: ['other.*']"))
    model = load(path, description=described(tmp_path, "order: [rnn, out]\nignore: ['other.*', words.weight]"))
    assert [layer.kind for layer in model.spec.layers] == ["gru", "last_step", "dense"]
    assert model.notes[0].startswith("Ignored, as the description says: other.weight_ih_l0")


class Tied(nn.Module):
    """A language model whose head uses the table of its embedding again."""

    def __init__(self, bias: bool, names: tuple[str, str]) -> None:
        super().__init__()
        self.names = names
        self.add_module(names[0], nn.Embedding(12, 7))
        self.rnn = nn.LSTM(7, 7, batch_first=True)
        self.add_module(names[1], nn.Linear(7, 12, bias=bias))
        self.get_submodule(names[1]).weight = self.get_submodule(names[0]).weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.get_submodule(self.names[1])(self.rnn(self.get_submodule(self.names[0])(ids))[0])
        return scores


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("names", [("encoder", "decoder"), ("words", "zeros"), ("a", "z"), ("emb", "head")])
@pytest.mark.parametrize("format_name", ["pt", "safetensors"])
def test_an_embedding_that_the_head_uses_again_is_found(
    tmp_path: Path, bias: bool, names: tuple[str, str], format_name: str
) -> None:
    torch.manual_seed(0)
    module, path = Tied(bias, names).eval(), tmp_path / f"model.{format_name}"
    if format_name == "pt":
        saved(tmp_path, module)
    else:
        save_model(module, str(path))  # which leaves one of the two names to the metadata
    ids = torch.tensor([[1, 2, 3, 11]])
    model = load(path, description=described(tmp_path, "head: sequence\nhead_activations: [linear]"))
    np.testing.assert_allclose(answer(model, ids, [4]), module(ids).detach().numpy(), atol=2e-6)
    assert [layer.kind for layer in model.spec.layers] == ["embedding", "lstm", "dense"]
    assert ("they are the same array" in model.notes[0]) == (format_name == "safetensors")


def test_a_shared_module_is_not_taken_for_two(tmp_path: Path) -> None:
    module = nn.ModuleDict({"rnn": nn.GRU(4, 4)})
    module["again"] = module["rnn"]
    kept = nn.ModuleDict({"rnn": module["rnn"]})
    for path in (saved(tmp_path, module), tmp_path / "model.safetensors"):
        if path.suffix == ".safetensors":
            save_model(module, str(path))
        with pytest.raises(ImportRefused, match=r"are the same arrays: one module under two names, or one that runs twice"):
            load(path)
        once = load(path, description=described(tmp_path, "order: [rnn]\nignore: [again*]"))
        assert once.weights.digest == load(saved(tmp_path, kept, "kept.pt")).weights.digest
        assert len(load(path, description=described(tmp_path, "order: [rnn, again]")).spec.layers) == 2


def test_metadata_that_names_an_array_which_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(nn.LSTM(2, 3).state_dict(), path, metadata={"format": "pt", "words.weight": "head.weight"})
    with pytest.raises(ImportRefused, match=r"layer 'words\.weight': it says that this array is stored as 'head\.weight'"):
        load(path)
    save_file(nn.LSTM(2, 3).state_dict(), path, metadata={"format": "pt", "made": "by hand"})
    assert len(load(path).spec.layers) == 1


def test_a_matrix_that_comes_first_by_its_name_alone_is_not_taken_for_an_embedding(tmp_path: Path) -> None:
    path, module = tmp_path / "model.safetensors", nn.ModuleDict({"rnn": nn.LSTM(7, 7), "fc": nn.Linear(7, 12, bias=False)})
    save_file(module.state_dict(), path)
    with pytest.raises(ImportRefused, match="name them in order with `order: "):
        load(path)
    model = load(path, description=described(tmp_path, "order: [rnn, fc]"))
    assert [layer.kind for layer in model.spec.layers] == ["lstm", "last_step", "dense"]


def test_layers_are_counted_not_spelled(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(nn.ModuleDict({f"rnn{number}": nn.GRU(3, 3) for number in (1, 2, 10)}).state_dict(), path)
    assert [layer.name for layer in load(path).spec.layers] == ["rnn1_l0", "rnn2_l0", "rnn10_l0"]


def test_what_lies_beside_the_state_dict_is_told_and_refused_where_it_is_a_second_model(tmp_path: Path) -> None:
    module = nn.GRU(3, 4)
    adam = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 3))[0].sum().backward()
    adam.step()
    model = load(saved(tmp_path, {"state_dict": module.state_dict(), "epoch": 3, "optimizer": adam.state_dict()}))
    assert model.notes[0].startswith(
        "Ignored, as the file keeps them apart from the state dict that is imported: optimizer.state.0"
    )
    content = {"model": module.state_dict(), "ema": {"shadow": module.state_dict()}}
    with pytest.raises(ImportRefused, match=r"would use no ema\.shadow\.weight_ih_l0 .*which look recurrent"):
        load(saved(tmp_path, content))
    model = load(saved(tmp_path, content), description=described(tmp_path, "ignore: ['ema.*']"))
    assert len(model.spec.layers) == 1
    parts = {"net": module.state_dict(), "embedding": nn.Embedding(9, 3).state_dict()}
    with pytest.raises(
        ImportRefused, match=r"would use no embedding\.weight \[9, 3\], which looks like the table of an embedding"
    ):
        load(saved(tmp_path, parts))


def test_names_that_differ_in_a_prefix_that_is_dropped(tmp_path: Path) -> None:
    state = nn.GRU(3, 4).state_dict()
    with pytest.raises(ImportRefused, match=r"it holds both weight_ih_l0 and module\.weight_ih_l0"):
        load(saved(tmp_path, state | {f"module.{name}": value for name, value in state.items()}))


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
