"""Whoever keeps the servers of a cluster running, as the cluster knows it: who serves, what is told of them, which processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cellserve.service.cluster.envoy.plan import Endpoint
from cellserve.service.cluster.keeper import Keeper

Facts = dict[str, Any]


class Supervisor(Protocol):
    """name: as `--supervisor` has it."""

    name: str

    def begin(self, changed: Callable[[], None]) -> None:
        """Starts all of it. changed: called whenever a server came or went, or what is told of one has changed."""

    @property
    def keepers(self) -> Sequence[Keeper]:
        """Of the processes that it has started here. The servers are ready when these are, and end when these are stopped."""

    def endpoints(self) -> list[Endpoint]:
        """Of the servers that are ready."""

    def servers(self) -> list[Facts]:
        """name, url, pid, metrics_url, state and restarts of each."""
