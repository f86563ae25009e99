"""The kinds of traffic between which the fastest implementation may differ, and where one ends and the other begins.

Knows no networks and no measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

TrafficKind = Literal["bulk_few", "bulk_many", "steps_few", "steps_many"]
TRAFFIC_KINDS: Final[tuple[TrafficKind, ...]] = get_args(TrafficKind)

MOST_SINGLE_STEPS: Final = 3  # sequences up to here cost what their calls cost; longer ones what their products cost
MANY_ROWS: Final = 8  # from here on there are many sequences side by side
FEW_ROWS: Final = 3  # and back to few only here, so that a load on the verge does not fall apart into two kinds

TRAFFIC_WORDS: Final[Mapping[TrafficKind, str]] = {
    "bulk_few": f"sequences of more than {MOST_SINGLE_STEPS} time steps, few at once",
    "bulk_many": f"sequences of more than {MOST_SINGLE_STEPS} time steps, {MANY_ROWS} or more at once",
    "steps_few": f"up to {MOST_SINGLE_STEPS} time steps at a time, few sequences at once",
    "steps_many": f"up to {MOST_SINGLE_STEPS} time steps at a time, {MANY_ROWS} sequences or more at once",
}


def kind_of(steps: int, many: bool) -> TrafficKind:
    """`steps`: time steps of a sequence; `many`: whether many are under way."""
    if steps <= MOST_SINGLE_STEPS:
        return "steps_many" if many else "steps_few"
    return "bulk_many" if many else "bulk_few"
