"""What `make format` says of what it cannot mend. Ruff is a stand-in: nothing of this tree is rewritten."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


def make_format(folder: Path, format_code: int, check_code: int) -> subprocess.CompletedProcess[str]:
    ruff = folder / "ruff"
    ruff.write_text(f'#!/bin/sh\necho "$1 says something"\ncase $1 in format) exit {format_code};; *) exit {check_code};; esac\n')
    ruff.chmod(0o755)
    command = ["make", "-f", str(MAKEFILE), "-o", "setup", f"BIN={folder}", "format"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize(("format_code", "check_code", "last"), [(0, 1, "check"), (2, 0, "format")], ids=["lint", "no Python"])
def test_what_format_cannot_mend_is_said(tmp_path: Path, format_code: int, check_code: int, last: str) -> None:
    done = make_format(tmp_path, format_code, check_code)
    assert done.returncode != 0
    assert f"{last} says something" in done.stdout
    assert "cannot mend what is listed above" in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_nothing_is_said_where_all_is_mended(tmp_path: Path) -> None:
    done = make_format(tmp_path, 0, 0)
    assert done.returncode == 0
    assert "cannot mend" not in done.stdout
