"""What one request of a load test came to. Pure facts; knows no client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """Of an answer, against the expected one."""

    RIGHT = "right"
    WRONG = "wrong"
    UNCHECKED = "unchecked"  # nothing to compare with, or another version answered


@dataclass(frozen=True, slots=True)
class Outcome:
    """Times on one clock. error: the reason token of a refusal; None: an answer came."""

    due_seconds: float  # when it should have been sent: the start of its latency
    sent_seconds: float
    done_seconds: float
    steps: int
    error: str | None = None
    verdict: Verdict = Verdict.UNCHECKED
    answered_by: str = ""
    queue_seconds: float = 0.0  # as the answer says
    compute_seconds: float = 0.0
    traffic: str = ""  # the kind that it was of, in a scenario

    @property
    def latency_seconds(self) -> float:
        """From the moment it was due, so that a server which stalls the generator cannot hide it."""
        return self.done_seconds - self.due_seconds

    @property
    def send_lag_seconds(self) -> float:
        return self.sent_seconds - self.due_seconds
