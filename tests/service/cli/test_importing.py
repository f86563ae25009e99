from pathlib import Path

import pytest
import torch

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
