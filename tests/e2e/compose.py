"""The compose files of deploy/ under docker or podman, as tests need them: built, started on free ports, asked, taken down.

Knows the two tools' command lines; nothing of what runs inside.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = "cellserve-e2e"
IMAGE = "cellserve:latest"
WHOLE = "whole"  # contents, as in the Dockerfile
ALONE, CLUSTER = "deploy/compose.yaml", "deploy/compose.cluster.yaml"
TLS = "deploy/compose.tls.yaml"  # over ALONE
_NAMED = (("deploy/Dockerfile", r"ARG PYTHON_IMAGE=(\S+)"), (ALONE, r"\{PROMETHEUS_IMAGE:-(\S+)\}"))
_NAMED_OF_CLUSTER = ((CLUSTER, r"\{VALKEY_IMAGE:-(\S+)\}"), (CLUSTER, r"\{ENVOY_IMAGE:-(\S+)\}"))


def _images(named: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(re.findall(pattern, (ROOT / file).read_text())[0] for file, pattern in named)


BASE_IMAGES = _images(_NAMED)
CLUSTER_IMAGES = _images(_NAMED_OF_CLUSTER)


class Unavailable(Exception):
    """No container tool, or no base image; the message says what to do."""


class CommandFailed(Exception):
    """A command ended with another code than 0; the message carries what it said."""


@dataclass(frozen=True, slots=True)
class Tool:
    """engine: docker or podman. compose: the command that reads compose files. build: the command that builds an image."""

    engine: str
    compose: tuple[str, ...]
    build: tuple[str, ...]

    @classmethod
    def find(cls) -> Tool:
        """Raises Unavailable."""
        if shutil.which("docker") and _succeeds("docker", "info") and _succeeds("docker", "compose", "version"):
            return cls("docker", ("docker", "compose"), ("docker", "build"))
        if shutil.which("podman") and shutil.which("podman-compose"):
            return cls("podman", ("podman-compose",), (str(ROOT / "tests/e2e/build_image.sh"),))
        raise Unavailable("neither a running docker with compose nor podman with podman-compose was found")

    def require_base_images(self, further: tuple[str, ...] = ()) -> None:
        """Pulls what is missing. Raises Unavailable."""
        for image in (*BASE_IMAGES, *further):
            if not _succeeds(self.engine, "image", "inspect", image) and not _succeeds(self.engine, "pull", "-q", image):
                raise Unavailable(f"{image} cannot be pulled; tests/e2e/prepare_base_images.sh builds a stand-in")

    def build_image(self, contents: str = WHOLE) -> str:
        """Its name. contents: others than the whole, under a tag of their own."""
        name = IMAGE if contents == WHOLE else f"{IMAGE}-{contents}"
        tag = f"localhost/{name}" if self.engine == "podman" else name
        run(*self.build, "-t", tag, "--build-arg", f"CONTENTS={contents}", "-f", "deploy/Dockerfile", ".")
        return tag

    def size_bytes(self, image: str) -> int:
        return int(run(self.engine, "image", "inspect", "-f", "{{.Size}}", image))


def tool_or_skip(further: tuple[str, ...] = ()) -> Tool:
    """With the server's image built. further: base images that are needed beside the server's."""
    try:
        tool = Tool.find()
        tool.require_base_images(further)
    except Unavailable as reason:
        pytest.skip(str(reason))
    tool.build_image()
    return tool


class Compose:
    """One run of a compose file: `up`, then `exec`, `exit_code`, `logs`; `down` removes containers, volumes and networks."""

    def __init__(
        self,
        tool: Tool,
        *files: str,
        services: tuple[str, ...] = ("server", "prometheus"),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """files: each over the ones before; none: ALONE. services: all but Grafana, whose image is not there everywhere: its
        files are tested by themselves. variables: that the files ask for.
        """
        self._tool = tool
        self._files = [word for file in files or (ALONE,) for word in ("-f", file)]
        self._services = services
        self.port, self.metrics_port, self.prometheus_port = _free_ports(3)
        self._environment = {
            **os.environ,
            **variables,
            "CELLSERVE_PORT": str(self.port),
            "CELLSERVE_METRICS_PORT": str(self.metrics_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
        }

    def up(self) -> None:
        self._compose("up", "-d", *self._services)

    def down(self) -> None:
        self._compose("down", "-v")

    def exec(self, *command: str, service: str = "server") -> str:
        """Runs a command in a container: its standard output."""
        return run(self._tool.engine, "exec", self._container(service), *command)

    def crash(self, service: str) -> None:
        """Its process dies, which is nobody's wish: so the engine starts another."""
        os.kill(self.pid(service), signal.SIGKILL)

    def pid(self, service: str) -> int:
        """Of its process, on this machine; 0: there is none now."""
        return int(run(self._tool.engine, "inspect", "-f", "{{.State.Pid}}", self._container(service)))

    def stop(self, service: str) -> int:
        """Stops one service in order (SIGTERM, then the grace period of the compose file): its exit code."""
        container = self._container(service)
        run(self._tool.engine, "stop", "-t", "40", container)
        return int(run(self._tool.engine, "inspect", "-f", "{{.State.ExitCode}}", container))

    def logs(self, service: str) -> str:
        done = subprocess.run((self._tool.engine, "logs", self._container(service)), capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def _container(self, service: str) -> str:
        labels = (f"com.docker.compose.project={PROJECT}", f"com.docker.compose.service={service}")
        return run(self._tool.engine, "ps", "-a", "-q", *(f"--filter=label={label}" for label in labels)).strip()

    def _compose(self, *arguments: str) -> None:
        run(*self._tool.compose, "-p", PROJECT, *self._files, *arguments, environment=self._environment)


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """Standard output of a command run in the repository's root. Raises CommandFailed."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(
            f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done.stdout


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [bound.getsockname()[1] for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports
