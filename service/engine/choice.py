"""Which implementation a new sequence gets, if it asks for none: what was measured to be fastest for its kind of traffic.

A sequence keeps its choice. The load on the verge between few and many does not flip it to and fro. Knows no measurements.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.models.measuring.traffic import FEW_ROWS, MANY_ROWS, TrafficKind, kind_of


class Choice:
    """Of one version on one worker. Whoever asks must hold a lock: the answer depends on the answers before."""

    def __init__(self, by_kind: Mapping[TrafficKind, str]) -> None:
        self._by_kind = by_kind
        self._many = False

    def label(self, steps: int, others: int) -> str:
        """For a sequence of `steps` time steps that comes to `others` sequences under way."""
        self._many = others >= (FEW_ROWS if self._many else MANY_ROWS)
        return self._by_kind[kind_of(steps, self._many)]
