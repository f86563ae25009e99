"""The supervisor that needs nobody else: this process keeps a fixed number of servers running on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cellserve.service.cluster.envoy.plan import Endpoint
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import Keeper, State
from cellserve.service.cluster.replica import Replica
from cellserve.service.cluster.settings import ClusterSettings, replica_options
from cellserve.service.cluster.supervisor import Facts


class Own:
    """A Supervisor."""

    name = "own"

    def __init__(self, replicas: Sequence[Replica], folder: Folder) -> None:
        self._replicas = replicas
        self._folder = folder
        self._kept: list[tuple[Replica, Keeper]] = []

    @classmethod
    def of(cls, settings: ClusterSettings, folder: Folder, environment: Mapping[str, str], store_url: str) -> Own:
        """environment: of every replica."""
        drain_seconds, internal = settings.serve.drain_seconds, settings.internal
        replicas = []
        for number in range(settings.replicas):
            name = f"replica-{number}"
            options = replica_options(settings, name, store_url)
            replicas.append(Replica(name, folder, options, environment, drain_seconds, internal))
        return cls(replicas, folder)

    def begin(self, changed: Callable[[], None]) -> None:
        for replica in self._replicas:
            self._kept.append((replica, Keeper(replica, self._folder, changed)))

    @property
    def keepers(self) -> list[Keeper]:
        return [keeper for _, keeper in self._kept]

    def endpoints(self) -> list[Endpoint]:
        return [each.endpoint for each, keeper in self._kept if keeper.state is State.READY and each.endpoint is not None]

    def servers(self) -> list[Facts]:
        return [
            {
                "name": replica.name,
                "url": replica.url,
                "pid": keeper.pid,
                "metrics_url": replica.metrics_url,
                "state": str(keeper.state),
                "restarts": keeper.restarts.count,
            }
            for replica, keeper in self._kept
        ]
