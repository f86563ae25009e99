"""Somebody who types what a page says, in a folder of their own, and has one server at a time. Knows commands, no page."""

from __future__ import annotations

import ast
import asyncio
import doctest
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from cellserve.service.client import Client
from tests.documented import Block, Command, commands, words
from tests.e2e.foreign import CLIENTS, ENVIRONMENT
from tests.e2e.get_perf_analyzer import perf_analyzer
from tests.e2e.s3 import s3
from tests.e2e.venvs import interpreter

PORTS: Final = (8001, 8002)  # as the pages name them
BUCKET: Final = "models"  # likewise
_LIMIT_SECONDS: Final = 900
_FLAGS: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Reader:
    """Of one page, from top to bottom. names: what the page's Python has so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None
        self._environment = os.environ | {"CELLSERVE_REPOSITORY_CACHE_FOLDER": str(folder / ".cache")}
        self._find_first(Path(sys.executable).parent)
        self._names: dict[str, Any] = {}
        self._left = ExitStack()

    def read(self, block: Block) -> None:
        """Skips what this machine cannot do."""
        if block.file:
            (self._folder / block.file).write_text(block.text)
        elif block.remarks.get("run with") in ("keras", "tritonclient"):
            self._type_in_elsewhere(block, interpreter(block.remarks["run with"]))
        elif block.language == "console" and self._has(block.remarks.get("run with")):
            for command in commands(block):
                self._type(block, command)
        elif block.language == "pycon":
            self._talk(block)
        elif block.language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("default")  # as a program's are
                done = eval(compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), self._names)
                if done is not None:  # it awaits something
                    asyncio.run(done)

    def leave(self) -> None:
        self._stop()
        self._left.close()

    def _has(self, surrounding: str | None) -> bool:
        """Sees to it that it is there, where that can be done."""
        if surrounding == "perf_analyzer":
            self._find_first(perf_analyzer(interpreter("tritonclient")).parent)
        elif surrounding == "S3":
            self._environment["AWS_ENDPOINT_URL"] = self._left.enter_context(s3(BUCKET)).environment["AWS_ENDPOINT_URL"]
        elif surrounding == "AVX-512 BF16":
            return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
        return True

    def _find_first(self, folder: Path) -> None:
        self._environment["PATH"] = f"{folder}{os.pathsep}{self._environment['PATH']}"

    def _type(self, block: Block, command: Command) -> None:
        typed = words(command)
        program = [Path(typed[0]).name, *typed[1:]] if typed else []
        if program[:2] == ["cellserve", "serve"]:
            self._serve(command)
        elif program[:2] == ["cellserve", "top"] and not {"--once", "--json"} & set(program):
            self._look(command)
        elif program[:1] == ["export"]:
            self._environment |= dict(word.split("=", 1) for word in shlex.split(command.line)[1:])
        else:
            self._run(block, command, program)

    def _run(self, block: Block, command: Command, program: list[str]) -> None:
        shell = ("bash", "-euo", "pipefail", "-c", command.line)
        done = subprocess.run(
            shell, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
        said = f"{block}: {command.line}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0 or (program[:2] == ["cellserve", "load"] and _is_a_result(done)), said
        if command.expected and "prints" not in block.remarks:
            assert doctest.OutputChecker().check_output(_dots(command.expected), done.stdout, _FLAGS), said
        if self._server is not None and "import" in program[1:2] and "--repository" not in program:
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
        self._stop()
        process = subprocess.Popen(
            _alone(command.line),
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._server = process
        assert process.stdout is not None
        assert "ready" in process.stdout.readline(), command.line

    def _stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.communicate(timeout=_LIMIT_SECONDS)
            self._server = None

    def _look(self, command: Command) -> None:
        """In a terminal, until it shows something; then Ctrl-C."""
        with _terminal() as (screen, terminal):
            process = subprocess.Popen(
                _alone(command.line),
                cwd=self._folder,
                env=self._environment,
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever runs this in the background ignores it
            )
            shown = b""
            while b"localhost:8002" not in shown:
                shown += os.read(screen, 4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(_LIMIT_SECONDS) == 0, shown.decode()

    def _talk(self, block: Block) -> None:
        session = doctest.DocTestParser().get_doctest(_dots(block.text), self._names, str(block), str(block.page), block.line)
        told: list[str] = []
        failed, _ = doctest.DocTestRunner(optionflags=_FLAGS).run(session, out=told.append, clear_globs=False)
        self._names.update(session.globs)
        assert not failed, "".join(told)

    def _type_in_elsewhere(self, block: Block, python: Path) -> None:
        done = subprocess.run(
            [str(python), str(CLIENTS / "typing_in.py"), block.language],
            input=block.text,
            cwd=self._folder,
            env=ENVIRONMENT | {"KERAS_BACKEND": "torch"},
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block}: {done.stdout}{done.stderr}"


def fresh(folder: Path) -> Iterator[Reader]:
    """For a fixture. Skips where somebody else has the ports that the pages name."""
    for port in PORTS:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port}, which the pages name, is taken")
    reader = Reader(folder)
    try:
        yield reader
    finally:
        reader.leave()


def _is_a_result(done: subprocess.CompletedProcess[str]) -> bool:
    """What ends with 1 has told what it met: on a machine that others keep busy refusals, or no rate; but nothing wrong."""
    wrong = re.findall(r"(\d+) wrong", done.stdout + done.stderr)
    return done.returncode == 1 and bool(wrong) and set(wrong) == {"0"}


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    screen, terminal = pty.openpty()
    try:
        yield screen, terminal
    finally:
        os.close(screen)
        os.close(terminal)


def _dots(text: str) -> str:
    return text.replace("…", "...")


def _alone(line: str) -> tuple[str, ...]:
    return ("bash", "-c", f"exec {line.partition('#')[0].strip().removesuffix('&')}")
