"""What is told about one live sequence. Plain facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SessionState = Literal["active", "idle", "parked"]
STATES: tuple[SessionState, ...] = ("active", "idle", "parked")


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """position: time steps consumed. age_seconds: since its start. idle_seconds: since its last use; 0 while it is active.

    bytes: of its recurrent state. state: active (a request is under way), idle, or parked (idle, and its state is on disk).
    replica: where several share a store, which of them worked with it last.
    """

    model: str
    session_id: str
    version: int
    position: int
    epoch: str
    age_seconds: float
    idle_seconds: float
    bytes: int
    state: SessionState
    replica: str = ""
