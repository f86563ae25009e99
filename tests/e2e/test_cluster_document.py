"""Every command of docs/cluster.md, run as it stands there; but for ports, which others on this machine may have."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client
from cellserve.service.cluster import binaries
from tests.documented import blocks
from tests.e2e.compose import ROOT
from tests.e2e.rays import head
from tests.e2e.venvs import interpreter
from tests.service.cluster.running import LIMIT_SECONDS, missing
from tests.service.served import publish
from tests.service.tls import AUTHORITY, certificate, key
from tests.service.valkey_server import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine")]

PAGE = ROOT / "docs" / "cluster.md"
TOKEN = "infer-0123456789abcdef"
STEPS = np.random.default_rng(6).normal(size=(4, 3)).astype(np.float32)
ELSEWHERE = {
    "pip install 'cellserve[cluster]'": "what the tests run from is an installation with that extra",
    "docker compose -f deploy/compose.cluster.yaml up --build -d": "test_compose_cluster.py",
    "kubectl create namespace cellserve": "needs a cluster of Kubernetes",
    'kubectl -n cellserve create secret generic cellserve-store --from-literal=password="$(openssl rand -hex 32)"': "as above",
    "kubectl apply -k deploy/kubernetes": "test_kubernetes.py, as far as it goes without one",
    "ACL SETUSER cellserve": "tests/service/sessions/stores/test_store.py",
}


def commands(section: str) -> list[str]:
    """Of the fences under a heading, continued lines as one."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    fences = re.findall(r"^```(?:console|text)\n(.*?)^```", text, re.M | re.S)
    return [line for fence in fences for line in lines_of(fence)]


def lines_of(fence: str) -> list[str]:
    return fence.replace("\\\n ", "").replace("\n  +", " +").splitlines()


SECTIONS = ("On one machine", "Kept by Ray", "TLS and tokens", "By hand", "In containers", "On Kubernetes", "The address")


class Shell:
    """Of somebody who follows the document, in a folder with a repository."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        publish(folder / "model-repository")
        programs = folder / "programs"
        programs.mkdir()
        for name, path in (("valkey-server", binaries.valkey()), ("envoy", binaries.envoy())):
            (programs / name).symlink_to(path)
        path = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"]))
        self._environment = os.environ | {"PATH": path, "CELLSERVE_METRICS_PORT": "0", "CELLSERVE_LOG_LEVEL": "error"}
        self._environment |= environment

    def run(self, command: str) -> str:
        done = subprocess.run(
            command, shell=True, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, command: str, says: str) -> Iterator[subprocess.Popen[bytes]]:
        """From when it has said so, on either output, to its end by SIGTERM."""
        said = self._folder / f"said-{free_port()}"
        with said.open("wb") as log:
            process = subprocess.Popen(
                f"exec env {command}", shell=True, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        try:
            end = time.monotonic() + LIMIT_SECONDS
            while says not in said.read_text():
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < end, said.read_text()
                time.sleep(0.05)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(LIMIT_SECONDS)


def test_there_is_no_command_that_no_test_runs() -> None:
    found = [command for section in SECTIONS for command in commands(section)]
    assert len(found) == len([line for block in blocks(PAGE) if block.language != "mermaid" for line in lines_of(block.text)])
    here = (
        "cellserve cluster",
        "cellserve sessions",
        "cellserve serve",
        "CELLSERVE_TLS",
        "mkdir",
        "openssl",
        "valkey-server",
        "envoy",
        "python -m venv",
        "ray/bin/",
        "export RAY_",
    )
    for command in found:
        assert command.startswith((*here, *ELSEWHERE)), command


def test_on_one_machine(tmp_path: Path) -> None:
    shell, port = Shell(tmp_path), free_port()
    _, up, *then = commands("On one machine")
    with shell.running(up.replace("8001", str(port)), "cellserve ready on") as process:
        with Client(f"127.0.0.1:{port}") as client:
            client.sequence("small", "mine").open()
        said = [shell.run(command.replace("8001", str(port))) for command in then]
        assert "replica-1" in said[0]
        assert "mine" in said[1]
        assert process.wait(LIMIT_SECONDS) == 0  # the last one was `down`


def test_tls_and_tokens(tmp_path: Path) -> None:
    shell, port = Shell(tmp_path), free_port()
    for name, content in (("chain.pem", certificate("server")), ("key.pem", key("server"))):
        (tmp_path / name).write_bytes(content.read_bytes())
    (tmp_path / "tokens").write_text(f"infer {TOKEN} shop\n")
    *before, up = commands("TLS and tokens")
    for command in before:
        shell.run(command)
    with (
        shell.running(f"{up} --port {port}", "cellserve ready on"),
        Client(f"localhost:{port}", token=TOKEN, root_certificates=AUTHORITY.read_bytes()) as client,
        client.sequence("small") as sequence,
    ):
        answers = [sequence.feed(step[np.newaxis]) for step in STEPS]
        np.testing.assert_allclose(answers[-1], client.predict("small", STEPS), rtol=1e-5, atol=1e-6)


def test_by_hand(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    store, one, two, printing, envoy = commands("By hand")
    ports = {number: str(free_port()) for number in ("6379", "8001", "8003", "8004", "9901", "9902")}

    def elsewhere(command: str) -> str:
        return re.sub("|".join(ports), lambda found: ports[found[0]], command)

    with ExitStack() as stack:
        stack.enter_context(shell.running(f"{store} --port {ports['6379']}", "Ready to accept connections"))
        for command in (one, two):
            stack.enter_context(shell.running(elsewhere(command), "cellserve ready on"))
        for name, port in (("one", "8001"), ("two", "8003")):
            printing = printing.replace(f"{name}.example:8001", f"localhost:{ports[port]}")
        proxied = free_port()
        own_ports = f"--port {proxied} --admin-port {ports['9901']} --watch-port {ports['9902']} >"
        shell.run(printing.replace(">", own_ports))
        stack.enter_context(shell.running(f"{envoy} --disable-hot-restart --log-level info", "starting main dispatch loop"))
        answers = []
        with Client(f"127.0.0.1:{proxied}") as client, client.sequence("small", "mine") as sequence:
            answers = [sequence.feed(step[np.newaxis]) for step in STEPS[:2]]
            for port in ("8001", "8003"):  # any server answers
                with Client(f"127.0.0.1:{ports[port]}") as straight:
                    live = straight.attach("small", "mine")
                    answers.append(live.feed(STEPS[len(answers)][np.newaxis]))
            np.testing.assert_allclose(answers[-1], client.predict("small", STEPS), rtol=1e-5, atol=1e-6)


def test_kept_by_ray(tmp_path: Path) -> None:
    port, store_port = free_port(), free_port()
    making, installing, up, token, start, joining = commands("Kept by Ray")
    assert (making, installing) == ("python -m venv ray", "ray/bin/pip install 'ray[serve]'")
    (tmp_path / "ray").symlink_to(interpreter("ray").parents[1])  # what these make
    exported = dict(word.split("=") for word in token.removeprefix("export ").split())
    shell = Shell(tmp_path, **exported)
    assert start == "ray/bin/ray start --head --port 6379 --include-dashboard=false"

    def feed() -> None:
        with Client(f"127.0.0.1:{port}") as client, client.sequence("small") as sequence:
            answers = [sequence.feed(step[np.newaxis]) for step in STEPS]
            np.testing.assert_allclose(answers[-1], client.predict("small", STEPS), rtol=1e-5, atol=1e-6)

    with shell.running(up.replace("8001", str(port)), "cellserve ready on"):
        feed()
    joining = joining.replace("store:6379", f"127.0.0.1:{store_port}")
    with (
        shell.running(f"valkey-server --port {store_port}", "Ready to accept connections"),
        head(tmp_path / "ray/bin/ray", tmp_path, os.environ | exported) as address,
        shell.running(
            f"{joining.replace('127.0.0.1:6379', address)} --repository model-repository --port {port}", "cellserve ready on"
        ),
    ):
        feed()
