"""What a shell is offered after a tab."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cellserve.service.cli.completion import model_names, references
from tests.service.cli.fakes import Shell


@pytest.fixture
def published(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell.publish("digits", alias="stable")
    shell.publish("digits")
    shell.publish("speech")
    monkeypatch.setenv("CELLSERVE_REPOSITORY", str(shell.root))
    return shell


@pytest.mark.parametrize(
    ("incomplete", "offered"),
    [
        ("", ["digits", "speech"]),
        ("di", ["digits"]),
        ("x", []),
        ("digits/", ["digits/1", "digits/2"]),
        ("digits/2", ["digits/2"]),
        ("digits@", ["digits@stable"]),
        ("digits@c", []),
        ("nobody/", []),
        ("../digits@", []),
    ],
)
def test_models_versions_and_aliases(published: Shell, incomplete: str, offered: list[str]) -> None:
    assert references(incomplete) == offered


def test_only_names_where_only_names_fit(published: Shell) -> None:
    assert model_names("sp") == ["speech"]
    assert model_names("digits/") == []


def test_no_repository_offers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLSERVE_REPOSITORY", str(tmp_path / "nowhere"))
    assert references("d") == model_names("d") == references("d/") == []


def test_the_shell_is_answered_without_loading_torch(published: Shell) -> None:
    program = (
        "import sys\n"
        "from cellserve.service.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    environment = {
        "CELLSERVE_REPOSITORY": str(published.root),
        "_CELLSERVE_COMPLETE": "complete_bash",
        "COMP_WORDS": "cellserve predict di",
        "COMP_CWORD": "2",
    }
    command = [sys.executable, "-c", f"import sys; sys.argv[0] = 'cellserve'\n{program}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["digits"], done.stderr
    assert done.stderr.strip() == "False"
