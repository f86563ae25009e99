"""What every stand-in for an engine has behind the real door: versions come and go, nothing is short, cancelling is too late."""

from __future__ import annotations

from collections.abc import Sequence as Rows

from cellserve.models.network import Network
from cellserve.service.engine.asker import Asker
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.preparation import Preparation
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import Overloaded


class StandIn:
    """Whoever stands in adds `submit`."""

    def submit(self, work: Work) -> int:
        raise NotImplementedError

    def submit_all(self, works: Rows[Work], asker: Asker) -> list[int]:
        return [self.submit(work) for work in works]

    def expects(self, ticket: str) -> bool:
        return False

    def turn_away(self) -> Overloaded:
        return Overloaded("more requests come than can be read")

    def add_version(
        self, key: VersionKey, network: Network, implementation: str | None = None, preparation: Preparation | None = None
    ) -> None:
        """Every version is served alike."""

    def remove_version(self, key: VersionKey) -> None:
        """Nothing is held."""

    def short(self, works: Rows[Work], alone: bool) -> str | None:
        """Nothing is."""

    def run_at_once(self, works: Rows[Work], implementation: str, arrived_seconds: Rows[float]) -> list[Delivery]:
        """Never asked, since nothing is short."""
        raise RuntimeError("nothing is computed at once here")

    def cancel(self, sequence_id: int) -> None:
        """Too late, always."""
