"""Which share of an alias' requests a gradual promote gives to the new version, by how long it has walked. Pure."""

from __future__ import annotations

from typing import Final

SHARES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75)  # each for an equal part of the time; then all


def share_after(walked_seconds: float, seconds: float) -> float:
    """1 once the time is over. seconds: that the walk takes, more than 0."""
    stage = int(walked_seconds / seconds * len(SHARES)) if walked_seconds < seconds else len(SHARES)
    return SHARES[stage] if stage < len(SHARES) else 1.0
