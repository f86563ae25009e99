"""How many servers there should be, by the time steps that wait at each. Pure: Ray holds it to the bounds and puts it off."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

SERIES: Final = "cellserve_waiting_timesteps"
_TOLERANCE: Final = 0.1  # of the target, by which nothing is done, as Kubernetes has it
_SAMPLE: Final = re.compile(rf"^{SERIES}(?:\{{.*\}})? (\S+)$", re.M)


def waiting(page: str) -> float:
    """Of all versions together, on a server's metrics page."""
    return float(sum(map(float, _SAMPLE.findall(page))))


def wanted_replicas(current: int, waiting_at: Collection[float], target: float) -> int:
    """current: replicas that there are to be. waiting_at: what waits at each that has said so; the others do as these."""
    if not waiting_at or current == 0:
        return current
    ratio = sum(waiting_at) / len(waiting_at) / target
    return current if abs(ratio - 1) <= _TOLERANCE else math.ceil(current * ratio)


class ByWaitingSteps:
    """A policy of Ray Serve. target: time steps that wait at a replica."""

    def __init__(self, target: float) -> None:
        self._target = target

    def __call__(self, context: Any) -> tuple[int, Mapping[str, Any]]:
        """context: an AutoscalingContext."""
        told = (context.aggregated_metrics or {}).get(SERIES, {})
        return wanted_replicas(context.target_num_replicas, list(told.values()), self._target), {}
