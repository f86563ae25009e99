"""A batch that raises, run again row by row: so that what one row brings hurts none of those beside it.

It is for runners that leave everything as it was where they raise. Knows no network, no queue and no clock.
"""

from __future__ import annotations

import logging
from typing import Protocol

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.running.launch import Launch

log = logging.getLogger(__name__)


class Runs(Protocol):
    def run(self, batch: Batch) -> Launch | None: ...


class OneByOne:
    """`runner`: on a processor, where a batch is done when `run` returns."""

    def __init__(self, runner: Runs) -> None:
        self._runner = runner

    def run(self, batch: Batch) -> Launch | None:
        """As the runner does. Of a row that it does not take, `failed` is set, and it keeps nothing.

        Raises whatever the runner raises if it takes none of them.
        """
        try:
            return self._runner.run(batch)
        except Exception:
            if batch.rows == 1:
                raise
            log.warning("a batch of %d sequences failed; each is computed alone", batch.rows, exc_info=True)
        failures = [error for place in range(batch.rows) if (error := self._failure(batch, place)) is not None]
        if len(failures) == batch.rows:
            raise failures[-1]
        return None

    def _failure(self, batch: Batch, place: int) -> Exception | None:
        sequence = batch.sequences[place]
        try:
            self._runner.run(Batch(batch.implementation, (sequence,), (batch.lengths[place],), batch.whole))
        except Exception as error:
            sequence.failed = True
            return error
        return None
