"""What a wheel holds: the compiled kernel where a compiler is, and all the rest where none is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.compiled import COMPILER

ROOT = Path(__file__).parents[1]
LIBRARY = "cellserve/models/implementations/packed/libpacked.so"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkout without anything that was built in it."""
    for name in ("models", "service"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def wheel(source: Path, **environment: str) -> tuple[str, list[str]]:
    """Its name and its files."""
    command = [sys.executable, "setup.py", "-q", "bdist_wheel", "-d", "wheels"]
    subprocess.run(command, cwd=source, env=os.environ | environment, check=True, capture_output=True)
    (file,) = (source / "wheels").iterdir()
    return file.name, ZipFile(file).namelist()


@pytest.mark.e2e
@pytest.mark.skipif(not COMPILER, reason="there is no C++ compiler")
def test_a_wheel_holds_the_compiled_kernel_for_every_python_of_the_platform(source: Path) -> None:
    name, files = wheel(source)
    assert name.startswith("cellserve-0.1.0-py3-none-")
    assert not name.endswith("any.whl")
    assert LIBRARY in files
    assert not [file for file in files if "native" in file]


def test_where_no_compiler_works_the_rest_is_installed_all_the_same(source: Path) -> None:
    nothing = source / "nothing"
    nothing.mkdir()
    (nothing / "ziglang.py").write_text("raise SystemExit('no compiler either')\n")
    _, files = wheel(source, PATH=str(nothing), CXX="", PYTHONPATH=str(nothing))
    assert LIBRARY not in files
    assert "cellserve/models/implementations/packed/library.py" in files


def test_a_library_of_an_earlier_build_does_not_pass_for_one_that_cannot_be_compiled(source: Path) -> None:
    fails = str(source / "no_compiler")
    wheel(source, CXX=fails)
    (built,) = (source / "build").glob("lib*")
    shutil.rmtree(source / "wheels")
    (built / LIBRARY).write_bytes(b"of an earlier build")
    _, files = wheel(source, CXX=fails)
    assert LIBRARY not in files
