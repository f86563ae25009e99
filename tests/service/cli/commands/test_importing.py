from pathlib import Path

import numpy as np
import pytest
import torch

from cellserve.models.measuring.golden_pair import GoldenPair
from cellserve.service.config import Settings
from cellserve.service.registry.loading import load_version
from cellserve.service.registry.repository.repository import Repository
from tests.service.cli.fakes import Shell


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A real PyTorch file."""
    path = tmp_path / "speech.pt"
    torch.manual_seed(0)
    torch.save(torch.nn.LSTM(3, 4).state_dict(), path)
    return path


def test_a_file_becomes_a_version(shell: Shell, trained: Path) -> None:
    result = shell("import", str(trained), "--alias", "stable")
    assert (result.exit_code, result.stdout) == (0, "speech/1\n"), result.stderr
    assert "note: speech/1:" in result.stderr
    again = shell("import", str(trained), "--name", "talk", "--json")
    assert '"model": "talk"' in again.stdout
    assert [(row["model"], row["aliases"]) for row in shell.json("models")] == [("speech", ["stable"]), ("talk", [])]
    differences = shell.json("show", "speech")["parity"]["differences"]
    assert {"0", "1", "2", "fused"} <= set(differences)


def test_an_import_removes_what_the_owner_does_not_keep(shell: Shell, trained: Path) -> None:
    shell("import", str(trained))
    (shell.root / "speech/model.yaml").write_text("retention: {keep: 1}")
    result = shell("import", str(trained))
    assert (result.exit_code, result.stdout) == (0, "speech/2\n"), result.stderr
    assert "speech/1 is removed, as retention in its model.yaml asks" in result.stderr
    assert [row["version"] for row in shell.json("models")] == [2]


class LastStep(torch.nn.Module):
    """What the file of `scored` holds, as its program wires it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = torch.nn.GRU(3, 4, batch_first=True), torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc(self.rnn(x)[0][:, -1]).tanh()
        return scores


@pytest.fixture
def scored(tmp_path: Path) -> tuple[LastStep, Path]:
    torch.manual_seed(0)
    module, path = LastStep(), tmp_path / "scores.pt"
    torch.save(module.state_dict(), path)
    return module, path


def test_a_file_without_the_frameworks_answers_says_so_and_how_to_get_them(
    shell: Shell, scored: tuple[LastStep, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, path = scored
    told = shell("import", str(path)).stderr
    assert "checked against torch" in told
    assert "not checked against the framework" in told
    assert f"cellserve import {path} --expect expect.npz" in told
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line.strip() for line in told.splitlines() if line.startswith("    ")), {"model": module, "torch": torch})
    result = shell("import", str(path), "--expect", "expect.npz")
    assert result.exit_code == 2  # the program ends in tanh, which the file does not say
    assert "the import does not give the framework's own answers: expect.npz, y0 ('fc'): row 0" in result.stderr
    assert "note:" in result.stderr
    assert "`head_activations`" in result.stderr
    (tmp_path / "description.yaml").write_text("head: last_step\nhead_activations: [tanh]")
    result = shell("import", str(path), "--expect", "expect.npz", "--description", "description.yaml")
    assert (result.exit_code, result.stdout) == (0, "scores/2\n"), result.stderr
    assert "expect.npz (off by at most" in result.stderr
    assert "not checked" not in result.stderr
    assert "expect.npz (off by at most" in shell("show", "scores/2").stdout
    assert "expect.npz" in shell.json("show", "scores")["parity"]["framework"]


def test_the_frameworks_answers_are_the_golden_pair_of_the_version(
    shell: Shell, scored: tuple[LastStep, Path], tmp_path: Path
) -> None:
    module, path = scored
    x = torch.randn(2, 5, 3)
    np.savez(tmp_path / "expect.npz", x0=x, y0=module(x).detach())
    (tmp_path / "description.yaml").write_text("head: last_step\nhead_activations: [tanh]")
    options = ("--description", str(tmp_path / "description.yaml"), "--expect", str(tmp_path / "expect.npz"))
    assert shell("import", str(path), *options).exit_code == 0
    store = Repository(shell.root)
    golden = GoldenPair.from_json(store.manifest("scores", 1).golden)
    np.testing.assert_array_equal(golden.inputs[0], x)
    np.testing.assert_array_equal(golden.outputs[0], module(x).detach())
    load_version(store, store.manifest("scores", 1), Settings())  # which asks it of every implementation


def test_bad_answers_are_refused_in_a_sentence(shell: Shell, scored: tuple[LastStep, Path], tmp_path: Path) -> None:
    result = shell("import", str(scored[1]), "--expect", str(tmp_path / "absent.npz"))
    assert result.exit_code == 2
    assert "absent.npz: the expected answers cannot be read" in result.stderr
    assert not shell.root.exists()


def test_each_file_succeeds_or_fails_by_itself(shell: Shell, trained: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(trained.read_bytes()[:100])
    result = shell("import", str(broken), str(tmp_path / "missing.h5"), str(trained))
    assert result.exit_code == 2
    assert result.stdout == "speech/1\n"
    complaints = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(complaints) == 2
    assert "broken.pt" in complaints[0]
    assert "missing.h5" in complaints[1]


def test_a_refused_file_leaves_the_repository_as_it_was(shell: Shell, tmp_path: Path) -> None:
    foreign = tmp_path / "notes.h5"
    foreign.write_text("hello")
    assert shell("import", str(foreign)).exit_code == 2
    assert not shell.root.exists()


def test_a_stem_that_is_no_name_is_told(shell: Shell, trained: Path) -> None:
    odd = trained.rename(trained.with_name("my model (1).pt"))
    result = shell("import", str(odd))
    assert result.exit_code == 2
    assert "not a model name" in result.stderr
    assert shell("import", str(odd), "--name", "fine").stdout == "fine/1\n"


@pytest.mark.parametrize("option", [("--name", "a/b"), ("--alias", "3")])
def test_bad_names_are_refused_before_anything_is_read(shell: Shell, option: tuple[str, str]) -> None:
    result = shell("import", "nowhere.h5", *option)
    assert result.exit_code == 2
    assert "nowhere" not in result.stderr


def test_inspect_tells_what_importing_would_make(shell: Shell, trained: Path) -> None:
    text = shell("inspect", str(trained)).stdout
    for expected in ("lstm", "fused", "can run it", "[batch, time, 4]", "note"):
        assert expected in text
    data = shell.json("inspect", str(trained))
    assert data["parameters"] == sum(array.numel() for array in torch.nn.LSTM(3, 4).parameters()) - 16  # one bias, not two
    assert not shell.root.exists()


def test_a_quantised_file_is_served_in_float32_where_that_is_asked(shell: Shell) -> None:
    path = Path(__file__).parents[3] / "models/importers/onnx/files/onnx_quant_dynamic_lstm2.onnx"
    refused = shell("import", str(path))
    assert refused.exit_code == 2
    assert "import it with --dequantize" in refused.stderr
    result = shell("import", str(path), "--dequantize", "--name", "few")
    assert (result.exit_code, result.stdout) == (0, "few/1\n"), result.stderr
    assert "The file itself answers up to" in " ".join(result.stderr.split())
    assert "The file itself answers up to" in " ".join(shell("show", "few").stdout.split())
