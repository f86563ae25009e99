"""TorchScript programs: followed by their code, which is never run, as layers or as steps, or refused by their line."""

from __future__ import annotations

import warnings
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
from cellserve.models.importers.imported import ImportedStepModel
from cellserve.models.importers.pytorch.script.examples import Trials, signature
from cellserve.models.importers.pytorch.script.file import read_script
from cellserve.models.importers.pytorch.script.values import NotFollowed
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


class Around(nn.Module):
    """A convolution before the recurrence, attention behind it, and what torch calls branches."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 6, 3, padding=1, groups=3), nn.BatchNorm1d(6)
        self.rnn, self.scores, self.fc = nn.GRU(6, 5, batch_first=True), nn.Linear(5, 1, bias=False), nn.Linear(5, 2)
        self.scale = nn.Parameter(torch.full((6,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = functional.leaky_relu(self.norm(self.conv(x.transpose(1, 2))), 0.2).transpose(1, 2) * self.scale
        made, _ = self.rnn(made)
        weights = torch.softmax(self.scores(torch.tanh(made)), 1)
        return torch.log_softmax(self.fc((weights * made).sum(1)), -1)


@pytest.mark.parametrize("write", [scripted, traced])
def test_what_stands_around_a_recurrence(tmp_path: Path, write: Write) -> None:
    torch.manual_seed(0)
    module = Around()
    module.norm.running_mean.uniform_()  # type: ignore[union-attr]
    model = load(write(module, tmp_path / "model.pt"))
    kinds = [layer.kind for layer in model.spec.layers]
    assert kinds[:2] == ["conv1d", "batch_normalization"]
    assert "attention_pooling_1d" in kinds
    x = torch.randn(2, 8, 3)
    with torch.no_grad():
        np.testing.assert_allclose(answer(model, x), module(x).numpy(), rtol=1e-5, atol=2e-6)


def test_a_program_whose_weights_were_frozen_into_its_code(tmp_path: Path) -> None:
    module, x = FinalState().eval(), torch.randn(6, 2, 3)
    torch.jit.freeze(torch.jit.script(module)).save(tmp_path / "model.pt")
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(answer(load(tmp_path / "model.pt"), x.transpose(0, 1)), expected, rtol=1e-5, atol=2e-6)


class Detector(nn.Module):
    """A voice detector in small: two networks in one, a frame of samples a call, states that the module keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.LSTMCell(160, 4), nn.LSTMCell(320, 4)
        self.head = nn.Linear(4, 1)
        self.state, self.rows = torch.zeros(0), 0

    def forward(self, x: torch.Tensor, rate: int) -> torch.Tensor:
        if x.shape[1] != (320 if rate == 16000 else 160):
            raise ValueError(f"{x.shape[1]} samples")
        if self.rows != 0 and self.rows != x.shape[0]:
            self.state = torch.zeros(0)
        if len(self.state) == 0:
            self.state = torch.zeros(2, x.shape[0], 4)
        start = (self.state[0], self.state[1])
        if rate == 16000:
            h, c = self.high(x, start)
        else:
            h, c = self.low(x, start)
        self.state, self.rows = torch.stack([h, c]), x.shape[0]
        return torch.sigmoid(self.head(h))


def called(model: ImportedStepModel, frames: list[torch.Tensor]) -> list[np.ndarray]:
    """Its graph, one frame after the other, its states from call to call."""
    session, names = model.weights.session(), [one.output for one in model.spec.states]
    states = {one.name: np.zeros([2 if a == "batch" else int(a) for a in one.axes], np.float32) for one in model.spec.states}
    answers = []
    for frame in frames:
        (made, *after) = session.run([model.spec.answers[0].name, *names], {model.spec.inputs[0].name: frame.numpy(), **states})
        states = dict(zip(states, after))
        answers.append(made)
    return answers


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_module_that_keeps_its_state_is_a_step_model(tmp_path: Path, rate: int) -> None:
    module = torch.jit.script(Detector().eval())
    module.save(tmp_path / "model.pt")
    with pytest.raises(ImportRefused, match=r"its input 'rate' is one number.*constants: \{rate: 16000\}"):
        load(tmp_path / "model.pt")
    (tmp_path / "said.yaml").write_text(f"constants: {{rate: {rate}}}")
    model = load(tmp_path / "model.pt", description=tmp_path / "said.yaml")
    assert isinstance(model, ImportedStepModel)
    assert model.spec.inputs[0].axes == ("batch", rate // 50)
    assert "What the module keeps between calls (state) are the states of live sequences here." in model.notes
    frames = [torch.randn(2, rate // 50) for _ in range(3)]
    for found, frame in zip(called(model, frames), frames):
        np.testing.assert_allclose(found, module(frame, rate).detach().numpy(), rtol=1e-5, atol=1e-6)


class Step(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.GRUCell(3, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.cell(x, h)
        return self.fc(h), h


@pytest.mark.parametrize("trace", [False, True])
def test_a_step_that_is_given_its_states(tmp_path: Path, trace: bool) -> None:
    """A trace writes the cell down as single operations."""
    module = Step().eval()
    program = torch.jit.trace(module, (torch.randn(2, 3), torch.randn(2, 4))) if trace else torch.jit.script(module)
    program.save(tmp_path / "model.pt")
    model = load(tmp_path / "model.pt")
    assert isinstance(model, ImportedStepModel)
    assert [one.name for one in model.spec.states] == ["h"]
    frames, h = [torch.randn(2, 3) for _ in range(3)], torch.zeros(2, 4)
    for found, frame in zip(called(model, frames), frames):
        answered, h = module(frame, h)
        np.testing.assert_allclose(found, answered.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_loop_over_cells_that_a_trace_has_written_out(tmp_path: Path) -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pre, self.cell, self.fc = nn.Linear(3, 4), nn.LSTMCell(4, 5), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = c = torch.zeros(x.size(0), 5)
            made = []
            for step in range(x.size(1)):
                h, c = self.cell(torch.relu(self.pre(x[:, step])), (h, c))
                made.append(self.fc(h))
            return torch.stack(made, 1)

    model = load(traced(module := Loop(), tmp_path / "model.pt"))
    assert [layer.kind for layer in model.spec.layers] == ["dense", "lstm", "dense"]
    assert any("of which the file holds 6 steps; all steps of a row are served" in note for note in model.notes)
    x = torch.randn(2, 9, 3)
    np.testing.assert_allclose(answer(model, x), module(x).detach().numpy(), rtol=1e-5, atol=2e-6)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 4)


class ByItsLength(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(x)
        if x.size(1) > 1000:
            out = torch.relu(out)
        return self.fc(out)  # type: ignore[no-any-return]


class ByItsNumbers(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(x)
        if bool(x.sum() > 0):
            out = torch.relu(out)
        return self.fc(out)  # type: ignore[no-any-return]


class Sorted(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.cumsum(self.rnn(x)[0], 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ByItsLength, "it does one thing or another by how many rows or steps it is given: if torch.gt"),
        (ByItsNumbers, "it computes a size or a decision from the numbers that it is given"),
        (Sorted, "aten.cumsum.default is no operation that a layer is made of"),
    ],
)
def test_a_program_that_is_no_layers_is_refused_with_what_to_do(tmp_path: Path, kind: type[nn.Module], said: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        load(scripted(kind(), tmp_path / "model.pt"))
    assert said in str(caught.value)
    assert 'torch.save(torch.jit.load("model.pt", map_location="cpu").state_dict(), "model.weights.pt")' in str(caught.value)


def test_packed_weights_are_called_quantized(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.ao.quantization.quantize_dynamic(ZeroStates().eval(), {nn.LSTM}, dtype=torch.qint8)
        torch.jit.script(module).save(tmp_path / "model.pt")
    with pytest.raises(ImportRefused, match="quantized"):
        load(tmp_path / "model.pt")


def test_a_description_says_nothing_that_the_program_says(tmp_path: Path) -> None:
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
def test_a_damaged_program_is_followed_or_refused_in_a_sentence(tmp_path: Path, file: str) -> None:
    whole, random = (FILES / file).read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            content[place] ^= 1 << int(random.integers(8))
        (tmp_path / "model.pt").write_bytes(content)
        with suppress(ImportRefused, NotFollowed):
            script = read_script(tmp_path / "model.pt")
            assert Trials(script, signature(script), {}).first()[0].outputs
