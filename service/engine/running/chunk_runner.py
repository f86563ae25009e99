"""Computes one iteration of a causal network, in one call over host memory where the network offers that, else layer by layer.

The one run is there on a processor only, where everything is done when it returns; so a sequence never overtakes its own steps.
Knows no queue, no clock, no errors: whatever raises is the lane's to handle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cellserve.models.network import Network
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.running.call_runner import CallRunner
from cellserve.service.engine.running.launch import Launch
from cellserve.service.engine.running.measured_call import MeasuredCall
from cellserve.service.engine.running.transfers import Transfers
from cellserve.service.engine.state_pool import StatePool

if TYPE_CHECKING:
    from cellserve.service.engine.running.padded_runner import PaddedRunner


class ChunkRunner:
    """One causal network over one state pool. calls: what it offers over host memory, by implementation."""

    def __init__(self, network: Network, pool: StatePool, transfers: Transfers, calls: Mapping[str, MeasuredCall]) -> None:
        self._network = network
        self._pool = pool
        self._transfers = transfers
        self._calls = CallRunner(network, pool, calls)
        self._padded: PaddedRunner | None = None  # made with the first iteration that needs it, and torch

    def run(self, batch: Batch) -> Launch | None:
        """Advances every sequence of the batch; newcomers get a row, those that end keep their outputs (and state, if wanted).

        None: it is done. Otherwise it is under way, and what it gives is there when the launch has been collected.
        """
        if not batch.masked and self._calls.run(batch):
            return None
        return self._layer_by_layer().run(batch)

    def _layer_by_layer(self) -> PaddedRunner:
        if self._padded is None:
            from cellserve.service.engine.running.padded_runner import PaddedRunner

            self._padded = PaddedRunner(self._network, self._pool, self._transfers)
        return self._padded
