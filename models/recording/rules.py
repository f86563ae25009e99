"""What can be recorded, and in which pieces: decided from the description and from numbers alone. Knows no tensors."""

from __future__ import annotations

from typing import Final

from cellserve.models.description.causal_plan import CausalPlan
from cellserve.models.implementations import INTERPRETED

RECORDED_LABELS: Final = INTERPRETED  # thousands of launches a chunk, each from Python
LONGEST_PIECE: Final = 128  # time steps: recording is slow and takes memory by the step, and launching so many at once is cheap
MOST_ROWS: Final = 256  # beyond, each operation takes longer than its launch, and there is nothing to gain
_MOST_WASTE = 1 / 8  # of a piece, beyond the last step: a repetition takes its time by the step, but each costs some copies too


def obstacle_to_recording(plan: CausalPlan, implementation: str) -> str | None:
    """None, or why a network's chunks cannot be recorded under an implementation. A mask given with a chunk is another reason."""
    if plan.obstacle is not None:
        return plan.obstacle
    if implementation not in RECORDED_LABELS:
        return f"implementation {implementation!r} decides by the lengths of rows, on the host"
    for layer in plan.body:
        if layer.change is not None:
            return f"layer {layer.name!r} lays out its windows by the lengths of rows, on the host"
        if layer.on_host:
            return f"layer {layer.name!r} ({layer.kind}) computes on the host"
    return None


def row_bucket(rows: int) -> int:
    """How many rows are recorded for so many: the next power of two. More rows cost hardly more up to MOST_ROWS."""
    return 1 << (rows - 1).bit_length()


def pieces(steps: int) -> tuple[int, ...]:
    """The recorded lengths, powers of two, that so many time steps are repeated in, one after the other.

    Their sum goes at most an eighth of the last one beyond the steps.
    """
    found: list[int] = []
    while steps > 0:
        piece = min(1 << (steps - 1).bit_length(), LONGEST_PIECE)
        if piece - steps > _MOST_WASTE * piece:
            piece //= 2
        found.append(piece)
        steps -= piece
    return tuple(found)
