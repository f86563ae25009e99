"""The packages of the wheel are those of the tree: an editable install serves a forgotten one, and the wheel lacks it."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOPS = ("models", "service")


def test_every_folder_of_modules_is_a_package_of_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py")}
    assert sorted(settings["packages"]) == sorted(f"cellserve.{'.'.join(folder.parts)}" for folder in folders)


def test_every_package_says_what_it_is() -> None:
    """A folder without one would be a namespace, which a linter and a wheel see otherwise."""
    folders = {path.parent for top in TOPS for path in (ROOT / top).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
