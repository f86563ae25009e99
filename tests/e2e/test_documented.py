"""Pages of the documentation, run as they are written: every command, session and program, in order, in an empty folder."""

from __future__ import annotations

import ast
import asyncio
import doctest
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.service.client import Client
from tests.documented import EXECUTED, PAGES, ROOT, RUN, Block, Command, blocks, commands, words
from tests.e2e.models import DEMO

pytestmark = pytest.mark.e2e

PORTS = (8001, 8002)  # as the pages name them
_LIMIT_SECONDS = 600
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Reader:
    """Somebody who types what a page says, and has one server at a time. names: what the page's Python has so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None
        self._environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self._names: dict[str, Any] = {}

    def read(self, block: Block) -> None:
        if block.language == "console":
            for command in commands(block):
                self._type(block, command)
        elif block.language == "pycon":
            self._talk(block)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("default")  # as a program's are
                done = eval(compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), self._names)
                if done is not None:  # it awaits something
                    asyncio.run(done)

    def leave(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.communicate(timeout=_LIMIT_SECONDS)

    def _type(self, block: Block, command: Command) -> None:
        if words(command)[:2] in (["cellserve", "serve"], [".venv/bin/cellserve", "serve"]):
            self._serve(command)
            return
        shell = ("bash", "-euo", "pipefail", "-c", command.line)
        done = subprocess.run(
            shell, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
        said = f"{block}: {command.line}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        if command.expected:
            assert doctest.OutputChecker().check_output(_dots(command.expected), done.stdout, _FLAGS), said
        if self._server is not None and "import" in words(command)[1:2]:
            self._wait_for(done.stdout.strip())

    def _wait_for(self, reference: str) -> None:
        """As long as a reader takes to go on: until the server has what was imported."""
        model, _, version = reference.rpartition("/")
        end = time.monotonic() + _LIMIT_SECONDS
        with Client(f"localhost:{PORTS[0]}") as client:
            while not any((each.model, each.version, each.state) == (model, int(version), "READY") for each in client.versions()):
                assert time.monotonic() < end, f"the server has not loaded {reference}"
                time.sleep(0.2)

    def _serve(self, command: Command) -> None:
        self.leave()
        shell = _alone(command.line)
        process = subprocess.Popen(
            shell, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._server = process
        assert process.stdout is not None
        assert "ready" in process.stdout.readline(), command.line

    def _talk(self, block: Block) -> None:
        session = doctest.DocTestParser().get_doctest(_dots(block.text), self._names, str(block), str(block.page), block.line)
        told: list[str] = []
        failed, _ = doctest.DocTestRunner(optionflags=_FLAGS).run(session, out=told.append, clear_globs=False)
        self._names.update(session.globs)
        assert not failed, "".join(told)


def _dots(text: str) -> str:
    return text.replace("…", "...")


def _alone(line: str) -> tuple[str, ...]:
    return ("bash", "-c", f"exec {line.partition('#')[0].strip().removesuffix('&')}")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """In a checkout that has been set up, with a model and inputs of its own."""
    for name in ("deploy", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name if name == "deploy" else Path(sys.executable).parents[1])
    for name in ("my_model.keras", "digits.keras"):
        shutil.copy(DEMO / "digits.keras", tmp_path / name)
    with np.load(DEMO / "digits-heldout.npz") as heldout:
        np.save(tmp_path / "sequence.npy", heldout["inputs"][0])
        np.save(tmp_path / "heldout.npy", heldout["inputs"])
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    yield reader
    reader.leave()


@pytest.mark.parametrize("name", RUN)
def test_a_page_works_as_it_is_written(name: str, reader: Reader) -> None:
    for port in PORTS:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port}, which the pages name, is taken")
    (page,) = [page for page in PAGES if page.name == name]
    shown = [block for block in blocks(page) if block.language in EXECUTED and block.not_run is None]
    assert shown
    for block in shown:
        reader.read(block)
