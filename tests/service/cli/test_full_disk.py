"""A full disk costs an import a sentence, wherever it is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.cli.fakes import Shell
from tests.service.small_disk import fill

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def source() -> Path:
    return next(GOLDEN.glob("k3_lstm_hard_sigmoid.keras"))


def test_an_import_into_a_full_repository_is_one_sentence(small: Path, source: Path) -> None:
    shell = Shell(small / "repository")
    shell.publish()
    fill(small)
    result = shell("import", str(source), "--name", "hard")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "hard cannot be published in" in result.stderr
    assert "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [row["model"] for row in shell.json("models")] == ["digits"]
    assert not [entry for entry in shell.root.iterdir() if entry.name.startswith(".")]


def test_a_full_folder_of_temporary_files_is_one_sentence(
    small: Path, source: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small))
    fill(small)
    result = shell("import", str(source))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{small}: No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_removal_on_a_full_disk_makes_room(small: Path) -> None:
    shell = Shell(small / "repository")
    for alias in ("stable", None):
        shell.publish(alias=alias)
    fill(small)
    assert shell("remove", "digits/2", "--yes").stdout == "removed digits/2\n"
    assert shell("remove", "digits@stable", "--yes").exit_code == 0
    assert shell("remove", "digits", "--yes").exit_code == 0
    assert shell.json("models") == []
