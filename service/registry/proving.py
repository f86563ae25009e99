"""Proves a loaded network's ways to its answers by the golden pair of its version, on the serving device, and warms them up.

A way in one call over host memory is proved without torch; layer by layer needs it. What misses the pair is withdrawn, and
the network refuses it from then on. Knows no disk and no engine's queues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from cellserve.service.engine.preparation import Preparation, Way
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.manifest import Manifest

if TYPE_CHECKING:
    from cellserve.models.measuring.golden_pair import GoldenPair
    from cellserve.models.served import Served

log = logging.getLogger(__name__)


class Prover:
    """`withdrawn`: implementations that miss the pair, and why. on_proved: called after each way.

    Raises RepositoryError: the pair in the manifest is damaged.
    """

    def __init__(self, manifest: Manifest, network: Served, on_proved: Callable[[], None] = lambda: None) -> None:
        self._key = manifest.key
        self._network = network
        self._golden = _golden(manifest)
        self._bounds = _bounds(manifest, network)
        self.withdrawn: dict[str, str] = {}
        self._on_proved = on_proved

    def prove(self, way: Way) -> tuple[Way, ...]:
        """Heavy and blocking. The ways that are settled by it: they are right and warm, or withdrawn."""
        try:
            return self._prove(way)
        finally:
            self._on_proved()

    def _prove(self, way: Way) -> tuple[Way, ...]:
        from cellserve.models.measuring.call_parity import verify_call
        from cellserve.models.measuring.parity_bounds import ParityFailure
        from cellserve.models.network import Network

        label, network = way.implementation, self._network
        try:
            if isinstance(network, Network) and not way.masked and not network.may_mask:
                call = network.chunk_call(label)
                if call is not None:
                    verify_call(network, self._golden, self._bounds[label], label, call)
                    network.warm_up_call(label)
                    return (Way(label, False),)
            self._verify_all(label)
            network.warm_up(label)
        except ParityFailure as failure:
            log.warning("%s does not offer implementation %s here: %s", self._key, label, failure)
            self.withdrawn[label] = str(failure)
            network.withdraw(label, str(failure))
        return (Way(label, False), Way(label, True))

    @property
    def _able(self) -> list[str]:
        """In any precision."""
        return [label for label, refusal in self._network.implementations.items() if refusal is None]

    def prove_all(self) -> None:
        """Every way of every implementation. Raises RepositoryError: none is left."""
        for label in self._able:
            self.prove(Way(label, True))
        if not self._network.offered:
            reasons = "; ".join(f"{label}: {refusal}" for label, refusal in self._network.implementations.items())
            raise RepositoryError(f"no implementation gives the published answers on {self._network.device} ({reasons})")

    def prepare(self, wished: str | None) -> tuple[str, Preparation | None]:
        """The implementation for work that names none, proved, and the preparation of all others; None: all are proved.

        wished: an implementation that is offered. Networks that one call does, but for masks that clients give, are proved for
        that alone. All others need torch in any case, or have but one way. Raises as `prove_all`.
        """
        from cellserve.models.network import Network

        network = self._network
        if isinstance(network, Network) and network.device.type == "cpu" and network.causal and not network.may_mask:
            for label in network.offered if wished is None else [wished]:
                if network.chunk_call(label) is not None:
                    settled = self.prove(Way(label, False))
                    if label in self._able:
                        return label, Preparation(self.prove, settled)
        self.prove_all()
        return (wished if wished in self._able else network.default_implementation), None

    def _verify_all(self, label: str) -> None:
        from cellserve.models.measuring.gate import verify

        verify(self._network, self._golden, self._bounds[label], label)


def _bounds(manifest: Manifest, network: Served) -> dict[str, float]:
    """Of each implementation that the network can run. Those of which the manifest tells none are withdrawn."""
    from cellserve.models.measuring.parity_bounds import no_bound

    bounds: dict[str, float] = {}
    for label in [label for label, refusal in network.implementations.items() if refusal is None]:
        bound = manifest.bound_of(label)
        if bound is None:
            network.withdraw(label, f"{no_bound(label)}; publish it again")
        else:
            bounds[label] = bound
    return bounds


def _golden(manifest: Manifest) -> GoldenPair:
    from cellserve.models.measuring.golden_pair import GoldenPair

    try:
        return GoldenPair.from_json(manifest.golden)
    except (KeyError, TypeError, ValueError) as error:
        raise RepositoryError(f"the golden pair in the manifest of {manifest.key} is damaged: {error}") from error
