"""Puts NVIDIA's perf_analyzer, the load generator of Triton's users, under .e2e/: its binary and the two libraries it needs.

The current packages of perf_analyzer want a newer C library than long-term Debian has. The binary inside the wheel of
tritonclient 2.49.0 wants only libb64 and the CUDA runtime beside it (no GPU): one from Debian, one from a wheel.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.compose import CommandFailed, run
from tests.e2e.venvs import CACHE

BINARY_WHEEL = ("--platform", "manylinux1_x86_64", "tritonclient==2.49.0")
CUDA_WHEEL = ("nvidia-cuda-runtime-cu12==12.8.90",)
DEBIAN_PACKAGE = "libb64-0d"
WRAPPER = '#!/bin/sh\nLD_LIBRARY_PATH="{folder}" exec "{folder}/perf_analyzer.bin" "$@"\n'


def perf_analyzer(python: Path) -> Path:
    """The command to run. python: one with pip. Raises compose.CommandFailed: a package cannot be had."""
    folder = CACHE / "perf_analyzer"
    command = folder / "perf_analyzer"
    if not command.exists():
        with tempfile.TemporaryDirectory() as scratch:
            _fill(folder, Path(scratch), python)
        command.write_text(WRAPPER.format(folder=folder))
        command.chmod(0o755)
    return command


def _fill(folder: Path, scratch: Path, python: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in (BINARY_WHEEL, CUDA_WHEEL):
        run(str(python), "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(scratch), *wheel)
    _download_debian_package(scratch)
    for wheel_file in scratch.glob("*.whl"):
        _extract(wheel_file, folder)
    for library in scratch.glob("usr/lib/*/libb64.so*"):
        shutil.copy(library, folder / library.name)
    (folder / "perf_analyzer.bin").chmod(0o755)


def _extract(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member, name in _wanted(archive):
            (folder / name).write_bytes(archive.read(member))


def _wanted(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    for member in archive.namelist():
        base = member.rpartition("/")[2]
        if base == "perf_analyzer":
            yield member, "perf_analyzer.bin"
        elif base.startswith("libcudart.so"):
            yield member, base


def _download_debian_package(scratch: Path) -> None:
    download = f"cd {scratch} && apt-get download -qq {DEBIAN_PACKAGE}"
    try:
        run("sh", "-c", download)
    except CommandFailed:  # no package list yet
        run("apt-get", "update", "-qq")
        run("sh", "-c", download)
    for package in scratch.glob("*.deb"):
        run("dpkg", "-x", str(package), str(scratch))
