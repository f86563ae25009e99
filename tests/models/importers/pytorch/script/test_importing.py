"""TorchScript programs: read as the layers that they run, or refused by the line that is more; never run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from cellserve.models.measuring import parity
from cellserve.models.measuring.framework_parity import against_framework
from cellserve.models.network import Network

FILES = Path(__file__).parents[2] / "files"
Write = Callable[[nn.Module, Path], Path]

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning", "ignore::torch.jit.TracerWarning")


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.drop = nn.Embedding(9, 4), nn.Dropout(0.3)
        self.rnn = nn.GRU(4, 5, 2, bidirectional=True, dropout=0.2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(10, 6), nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Linear(6, 2), nn.Softmax(dim=-1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.rnn(self.drop(self.words(x)))[0])
        return answer


class FinalState(nn.Module):
    """Time first, a relu in the recurrence, and the last layer's final state."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.RNN(3, 5, 2, nonlinearity="relu"), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, h = self.rnn(x)
        return torch.sigmoid(self.fc(functional.dropout(h[-1], 0.5, self.training)))


class TwoKinds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(3, 6, proj_size=2, batch_first=True), nn.LSTM(2, 5, bias=False, batch_first=True)
        self.fc = nn.Linear(5, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.first(x)
        _, (h, _) = self.second(x)
        return functional.softmax(self.fc(h.squeeze(0)), dim=1)


class ZeroStates(nn.Module):
    """As tutorials write it: states of zeros by hand, no head."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = torch.zeros(1, x.size(0), 5)
        out, _ = self.rnn(x, (start, start))
        return out[:, -1, :]


def scripted(module: nn.Module, path: Path) -> Path:
    torch.jit.script(module.eval()).save(path)
    return path


def traced(module: nn.Module, path: Path) -> Path:
    x = torch.ones(2, 6, dtype=torch.int64) if isinstance(module, Tagger) else torch.randn(2, 6, 3)
    torch.jit.trace(module.eval(), x).save(path)
    return path


def answer(model: ImportedModel, x: torch.Tensor) -> np.ndarray:
    """Batch first."""
    network = Network(model.spec, model.weights)
    (found,), _ = network.run((x.transpose(0, 1).contiguous(),), [x.shape[1]] * len(x), implementation="2")
    return (found.transpose(0, 1) if network.shapes[model.spec.outputs[0]].sequence else found).numpy()


@pytest.mark.parametrize("write", [scripted, traced])
@pytest.mark.parametrize("kind", [Tagger, FinalState, TwoKinds, ZeroStates])
def test_the_program_is_answered_as_torch_answers_it(tmp_path: Path, write: Write, kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = kind()
    model = load(write(module, tmp_path / "model.pt"))
    x = torch.randint(0, 9, (3, 7)) if kind is Tagger else torch.randn(3, 7, 3)
    with torch.no_grad():
        expected = module(x.transpose(0, 1) if kind is FinalState else x).numpy()
    np.testing.assert_allclose(answer(model, x), expected, rtol=1e-5, atol=2e-6)
    assert any("The program was read, not run" in note for note in model.notes)
    assert against_framework(parity.check(model.spec, model.weights), model.spec, model.weights, model.answers)


@pytest.mark.parametrize("write", [scripted, traced])
def test_a_recurrent_module_alone(tmp_path: Path, write: Write) -> None:
    module = nn.GRU(3, 4, batch_first=True)
    model = load(write(module, tmp_path / "model.pt"))
    x = torch.randn(2, 5, 3)
    np.testing.assert_allclose(answer(model, x), module(x)[0].detach().numpy(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("file", ["torchscript_scripted.pt", "torchscript_traced.pt"])
def test_files_that_were_written_elsewhere(file: str) -> None:
    model = load(FILES / file)
    assert [layer.kind for layer in model.spec.layers] == ["lstm", "lstm", "last_step", "dense"]


def test_a_model_saved_while_it_was_in_training_is_served_as_it_answers(tmp_path: Path) -> None:
    module = Tagger()
    torch.jit.script(module.train()).save(tmp_path / "model.pt")
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        expected = module.eval()(ids).numpy()
    np.testing.assert_allclose(answer(load(tmp_path / "model.pt"), ids), expected, rtol=1e-5, atol=2e-6)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc, self.other = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 4), nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))


class Scaled(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x)[0]) * self.scale  # type: ignore[no-any-return]


class SecondStep(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x)[0][:, 2])  # type: ignore[no-any-return]


class PartOfTheSequence(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x)[0][:, 1:])  # type: ignore[no-any-return]


class StartOfOnes(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = torch.ones(1, x.size(0), 4)
        return self.fc(self.rnn(x, (start, start))[0])  # type: ignore[no-any-return]


class FunctionBetween(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.rnn(x)[0]))  # type: ignore[no-any-return]


class TwoAnswers(Odd):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out, _ = self.rnn(x)
        return self.fc(out), self.other(out)


class CellState(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (_, c) = self.rnn(x)
        return self.fc(c[-1])  # type: ignore[no-any-return]


class Branches(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(x)
        return self.fc(out) + self.other(out)  # type: ignore[no-any-return]


class TwiceTheSame(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.fc(self.rnn(x)[0]))  # type: ignore[no-any-return]


class ChangedInPlace(Odd):
    """What is read again after relu_ is no longer what the layer made."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.fc(self.rnn(x)[0])
        torch.relu_(made)
        return self.other(made)  # type: ignore[no-any-return]


class OverTime(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.fc(self.rnn(x)[0]), 1)  # type: ignore[no-any-return]


ODD = (
    *(Scaled, SecondStep, PartOfTheSequence, StartOfOnes, FunctionBetween, TwoAnswers, CellState, Branches, TwiceTheSame),
    OverTime,
)


@pytest.mark.parametrize("write", [scripted, traced])
@pytest.mark.parametrize("kind", ODD)
def test_a_program_that_does_more_is_refused_with_what_to_do(tmp_path: Path, write: Write, kind: type[nn.Module]) -> None:
    path = write(kind(), tmp_path / "model.pt")
    with pytest.raises(ImportRefused) as caught:
        load(path)
    said = str(caught.value)
    assert "it does what cannot be read as layers: " in said
    assert 'torch.save(torch.jit.load("model.pt", map_location="cpu").state_dict(), "model.weights.pt")' in said
    assert "weights_only" not in said


def test_what_an_operation_in_place_has_changed_is_not_read_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"it reads what an operation in place has changed: torch\.linear"):
        load(scripted(ChangedInPlace(), tmp_path / "model.pt"))
    torch.manual_seed(0)
    module, x = ChangedInPlace(), torch.randn(2, 6, 3)
    model = load(traced(module, tmp_path / "model.pt"))  # a trace writes down what was read
    with torch.no_grad():
        np.testing.assert_allclose(answer(model, x), module(x).numpy(), rtol=1e-5, atol=2e-6)


def test_a_program_with_a_branch(tmp_path: Path) -> None:
    class Branch(Odd):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out, _ = self.rnn(x)
            if x.size(1) > 3:
                out = torch.relu(out)
            return self.fc(out)  # type: ignore[no-any-return]

    with pytest.raises(ImportRefused, match=r"this statement is no plain sequence of layers: if torch\.gt"):
        load(scripted(Branch(), tmp_path / "model.pt"))


def test_modules_that_the_program_does_not_run_are_told_or_refused(tmp_path: Path) -> None:
    module = nn.Sequential()
    module.other = nn.Linear(2, 2)
    module.rnn = nn.GRU(3, 4, batch_first=True)

    class Runs(Odd):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0])  # type: ignore[no-any-return]

    model = load(scripted(Runs(), tmp_path / "model.pt"))
    assert any(note.startswith("Ignored, as `order` does not name them: ") and "other.weight" in note for note in model.notes)


def test_a_description_can_only_leave_arrays_out(tmp_path: Path) -> None:
    (tmp_path / "description.yaml").write_text("head: sequence")
    with pytest.raises(ImportRefused, match=r"option 'head': .*no meaning for a TorchScript program"):
        load(FILES / "torchscript_traced.pt", description=tmp_path / "description.yaml")


def test_a_pickle_that_names_anything_else_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    evil = f"cos\nsystem\n(S'touch {trace}'\ntR.".encode()
    with zipfile.ZipFile(FILES / "torchscript_traced.pt") as good, zipfile.ZipFile(tmp_path / "model.pt", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, evil if name.endswith("/data.pkl") else good.read(name))
    with pytest.raises(ImportRefused, match=r"it names os\.system"):
        load(tmp_path / "model.pt")
    assert not trace.exists()


@pytest.mark.parametrize("file", ["torchscript_scripted.pt", "torchscript_traced.pt"])
def test_a_damaged_program_is_read_or_refused_in_a_sentence(tmp_path: Path, file: str) -> None:
    whole, random = (FILES / file).read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            content[place] ^= 1 << int(random.integers(8))
        (tmp_path / "model.pt").write_bytes(content)
        with suppress(ImportRefused):
            assert load(tmp_path / "model.pt").spec.recurrent_layers
