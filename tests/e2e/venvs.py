"""Virtual environments for foreign clients, kept under .e2e/ and made anew when what they are made of changes.

Knows requirements files and pip; nothing of what the clients do.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.e2e.compose import ROOT, run

HERE = Path(__file__).parent
CACHE = ROOT / ".e2e"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "models", "service")  # what cellserve is built from


def interpreter(name: str) -> Path:
    """The python of a virtual environment with requirements-<name>.txt. Raises CommandFailed."""
    requirements = HERE / f"requirements-{name}.txt"
    return _made(name, [requirements.read_bytes()], ["-r", str(requirements)])


def interpreter_with_cellserve(name: str, copy: Path) -> Path:
    """The same, with a plain install of cellserve: as its users have it, without extras.

    copy: an empty folder for the sources, since building leaves traces beside them. Raises CommandFailed.
    """
    requirements = HERE / f"requirements-{name}.txt"
    for source in SOURCES:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, copy / source)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    contents = [
        requirements.read_bytes(),
        *(part for path in files for part in (str(path.relative_to(copy)).encode(), path.read_bytes())),
    ]
    return _made(f"{name}-cellserve", contents, ["-r", str(requirements), str(copy)])


def _made(name: str, contents: Iterable[bytes], what: list[str]) -> Path:
    digest = hashlib.sha256(sys.version.encode())
    for content in contents:
        digest.update(content)
    folder = CACHE / name
    ready, python = folder / ".ready", folder / "bin" / "python"
    if not ready.exists() or ready.read_text() != digest.hexdigest():
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(folder))
        run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)
        ready.write_text(digest.hexdigest())
    return python
