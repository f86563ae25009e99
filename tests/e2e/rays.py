"""A Ray of somebody else's on this machine, for clusters that join one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LIMIT_SECONDS = 300
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
CPUS = 3


@contextmanager
def head(program: Path, folder: Path, environment: Mapping[str, str], port: int = 0) -> Iterator[str]:
    """Its address. program: the `ray` of the environment that has it. folder: for what it says."""
    said = folder / "head.log"
    command = (
        str(program),
        "start",
        "--head",
        "--port",
        str(port),
        "--num-cpus",
        str(CPUS),
        "--include-dashboard=false",
        "--block",
    )
    with said.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment), start_new_session=True
        )
    try:
        end = time.monotonic() + LIMIT_SECONDS
        while "--block" not in said.read_text():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end, said.read_text()
            time.sleep(0.05)
        (address,) = re.findall(r"--address='([^']+)'", said.read_text())
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # `ray start` alone ends only at the second time
        process.wait(LIMIT_SECONDS)
