"""The calls that a network offers over host memory, each with what it costs here: measured when a version is added.

Seconds are those that the calling thread had of its processor, the lowest of a few: others' load is no cost of rows and steps.
Knows no traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from cellserve.models.implementations.onnxruntime.chunk_call import ChunkCall
from cellserve.models.served import Served
from cellserve.models.steps.network import FrameCall
from cellserve.service.engine.costs.call_costs import CallCosts, call_costs
from cellserve.service.engine.running.host_copies import side_by_side

_RUNS: Final = 3  # the lowest counts


class MeasuredCall(NamedTuple):
    """seconds_of: measures a call of so many rows and steps, once for each."""

    call: ChunkCall | FrameCall
    costs: CallCosts
    seconds_of: Callable[[int, int], float]


def input_dtype(network: Served) -> np.dtype[Any]:
    """Of its one input, as a call takes it."""
    return np.dtype(np.int64 if network.spec.inputs[0].kind == "ids" else np.float32)


def measured_calls(
    network: Served, processor_clock: Callable[[], float], labels: Sequence[str] | None = None
) -> dict[str, MeasuredCall]:
    """By the label of the implementation; nothing of a network that is not causal. Takes some calls of each.

    labels: of the offered; None for all of them.
    """
    wanted = network.offered if labels is None else labels
    calls = {label: network.chunk_call(label) for label in wanted} if network.causal else {}
    return {label: _measured(network, call, processor_clock) for label, call in calls.items() if call is not None}


def _measured(network: Served, call: ChunkCall | FrameCall, processor_clock: Callable[[], float]) -> MeasuredCall:
    width, dtype, layout = network.spec.inputs[0].width, input_dtype(network), network.state_layout
    features = () if width is None else (width,)

    @cache
    def seconds_of(rows: int, steps: int) -> float:
        inputs, states = [np.zeros((steps, *features), dtype)] * rows, layout.first_rows(rows)
        lowest = float("inf")
        for _ in range(_RUNS):
            started = processor_clock()
            call(side_by_side(inputs, dtype), [steps] * rows, states, range(rows))
            lowest = min(lowest, processor_clock() - started)
        return lowest

    return MeasuredCall(call, call_costs(seconds_of, call.pads), seconds_of)
