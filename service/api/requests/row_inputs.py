"""What a request asks of the engine, whatever protocol it came in: options, limits, and the work of each row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cellserve.models.description.step_counts import Fed
from cellserve.service.api.requests.tensors import Array
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import DeadlineExpired


@dataclass(frozen=True, slots=True)
class Limits:
    """rows: of one request. steps: of one row. reply_bytes: of the tensors of one reply. unanswered: requests on one stream."""

    rows: int
    steps: int
    reply_bytes: int
    unanswered: int = 1024


class RunOptions(NamedTuple):
    """How to run a request: the last fields of each Work, in their order.

    implementation: None is the version's own choice. deadline_seconds: on time.monotonic's clock.
    """

    implementation: str | None = None
    want_state: bool = False
    deadline_seconds: float | None = None
    priority: int = 0


class RowInputs(NamedTuple):
    """The checked input of a request, row by row.

    inputs: for each model input, an array for each row: [T, F] float32 or [T] int64 of a sequence, [width] of a vector.
    masks: [T] bool for each row, or None, for the row or for all. states: [rows, state width] float32, or None for zeros.
    lengths: time steps of each row, of all inputs or each. time_steps: the same of the layout the request came in.
    """

    inputs: tuple[Sequence[Array], ...]
    masks: Sequence[Array | None] | None
    states: Array | None
    lengths: Sequence[Fed]
    time_steps: Fed


def steps_in(rows: RowInputs) -> int:
    """Time steps of all rows together, as the token of a call is charged for them: of a row with several inputs the longest's."""
    return sum([fed if isinstance(fed, int) else max(fed, default=0) for fed in rows.lengths])


def works(version: VersionKey, rows: RowInputs, options: RunOptions) -> list[Work]:
    """One Work for each row, in order."""
    if rows.masks is None and rows.states is None:
        return [Work(version, inputs, None, None, *options) for inputs in zip(*rows.inputs)]
    masks = rows.masks if rows.masks is not None else [None] * len(rows.lengths)
    states = rows.states if rows.states is not None else [None] * len(rows.lengths)
    return [Work(version, inputs, mask, state, *options) for inputs, mask, state in zip(zip(*rows.inputs), masks, states)]


def deadline(remaining_seconds: float | None, timeout_seconds: float | None) -> float | None:
    """The earlier end of the call's own deadline and a timeout, on time.monotonic's clock; None without either.

    Raises DeadlineExpired when it has passed already.
    """
    given = [seconds for seconds in (remaining_seconds, timeout_seconds) if seconds is not None]
    if not given:
        return None
    if min(given) <= 0:
        raise DeadlineExpired("the deadline had passed when the request arrived")
    return time.monotonic() + min(given)
