"""Computes one iteration of a causal network, in one call over host memory where the network offers that, else layer by layer.

Knows no queue, no clock, no errors: whatever raises is the lane's to handle.
"""

from __future__ import annotations

from cellserve.models.network import Network
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.call_runner import CallRunner
from cellserve.service.engine.padded_runner import PaddedRunner
from cellserve.service.engine.state_pool import StatePool


class ChunkRunner:
    """One causal network over one state pool."""

    def __init__(self, network: Network, pool: StatePool) -> None:
        self._network = network
        self._calls = CallRunner(network, pool)
        self._padded = PaddedRunner(network, pool)

    def run(self, batch: Batch) -> None:
        """Advances every sequence of the batch; newcomers get a row, those that end keep their outputs (and state, if wanted)."""
        call = None if batch.masked else self._network.chunk_call(batch.implementation)
        if call is None or not self._calls.run(batch, call):
            self._padded.run(batch)
