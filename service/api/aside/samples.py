"""Samples of the inputs of real requests, of models whose owner asks for it in model.yaml (`record:`), for `cellserve compare`.

In memory alone: never on disk, never in a log, and gone when the server stops, or when model.yaml asks for it no more. Whole
requests only: rows with masks or initial states, and live sequences, are left out, for their inputs alone are not what was asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellserve.service.api.aside.reservoir import Reservoir
from cellserve.service.api.requests.row_inputs import RowInputs
from cellserve.service.engine.batch import Delivery
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.model_settings import ModelSettings, RecordSettings

Row = tuple[NDArray[np.generic], ...]  # [T, F] or ids [T] of a sequence, [width] of a vector, for each input of the model


class Sample(NamedTuple):
    """rows: of those that were offered."""

    rows: list[Row]
    offered: int


class Samples:
    """Lives on the event loop. settings: of a model. draw: a number in [0, 1)."""

    def __init__(self, settings: Callable[[str], ModelSettings], draw: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._draw = draw
        self._kept: dict[str, tuple[RecordSettings, Reservoir[Row]]] = {}

    def offer(self, version: LoadedVersion, rows: RowInputs, answers: Sequence[Delivery]) -> None:
        """A request was answered; whether its rows are kept is decided here."""
        model = version.key.model
        wish = self._settings(model).record
        if wish is None or rows.masks is not None or rows.states is not None:
            return
        reservoir = self._of(model, wish)
        for row in zip(*rows.inputs):
            reservoir.offer(sum(array.nbytes for array in row), partial(_copied, row))

    def of(self, model: str) -> Sample:
        """Raises InvalidInput: nothing is recorded of it."""
        wish = self._settings(model).record
        if wish is None:
            raise InvalidInput(f"nothing is recorded of {model}: ask for it in its model.yaml, as in record: 1000", field="model")
        reservoir = self._of(model, wish)
        return Sample(reservoir.items, reservoir.offered)

    def follow(self) -> None:
        """model.yaml may be another: what nobody asks for any more is dropped."""
        for model, (wish, _) in list(self._kept.items()):
            if self._settings(model).record != wish:
                del self._kept[model]

    def _of(self, model: str, wish: RecordSettings) -> Reservoir[Row]:
        kept = self._kept.get(model)
        if kept is None or kept[0] != wish:
            kept = self._kept[model] = (wish, Reservoir(wish.rows, wish.bytes, self._draw))
        return kept[1]


def _copied(row: Row) -> Row:
    """Requests lie in buffers that are used again."""
    return tuple(np.array(array) for array in row)
