"""Network namespaces of Linux, each with an address on one bridge: machines of a small network, any of which may be cut off.

Needs root, and a kernel that lets it. Knows no programs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

_NETWORK = "10.213.77"


class Machine:
    """A namespace. address: by which the others and this machine's own namespace reach it."""

    def __init__(self, name: str, number: int) -> None:
        self.address = f"{_NETWORK}.{number + 2}"
        self._space = f"{_prefix()}{name}"
        self._outer, self._inner = f"{_prefix()}o{number}", f"{_prefix()}i{number}"

    def command(self, *words: str) -> tuple[str, ...]:
        """That runs `words` there."""
        return ("ip", "netns", "exec", self._space, *words)

    def cut(self) -> None:
        """From now on nothing reaches it and nothing comes from it. Nobody is told."""
        _ip("link", "set", self._outer, "down")

    def heal(self) -> None:
        _ip("link", "set", self._outer, "up")

    def forget(self, other: Machine) -> None:
        """It can no longer reach `other`, and others can."""
        _ip("-netns", self._space, "route", "add", "blackhole", f"{other.address}/32")

    def remember(self, other: Machine) -> None:
        _ip("-netns", self._space, "route", "del", "blackhole", f"{other.address}/32")

    def add(self, bridge: str) -> None:
        _ip("netns", "add", self._space)
        _ip("link", "add", self._outer, "type", "veth", "peer", "name", self._inner)
        _ip("link", "set", self._inner, "netns", self._space)
        _ip("link", "set", self._outer, "master", bridge)
        _ip("link", "set", self._outer, "up")
        _ip("-netns", self._space, "link", "set", "lo", "up")
        _ip("-netns", self._space, "addr", "add", f"{self.address}/24", "dev", self._inner)
        _ip("-netns", self._space, "link", "set", self._inner, "up")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._outer)
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self._space)


@contextmanager
def machines(names: Sequence[str]) -> Iterator[dict[str, Machine]]:
    made = {name: Machine(name, number) for number, name in enumerate(names)}
    bridge = f"{_prefix()}b"
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{_NETWORK}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for machine in made.values():
            stack.callback(machine.remove)
            machine.add(bridge)
        yield made


def missing() -> str | None:
    """Why there can be none here; None: there can."""
    if shutil.which("ip") is None:
        return "no `ip` (iproute2) on this machine"
    try:
        with machines(("tried",)) as made:
            subprocess.run(made["tried"].command("true"), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or b""
        return f"network namespaces are not allowed here: {said.decode(errors='replace').strip() or error}"
    return None


def _prefix() -> str:
    """So that two runs do not meet. Names of links have 15 characters at most."""
    return f"cs{os.getpid() % 100000}"


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)
