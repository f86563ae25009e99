"""Whether the other end of a connection is still there. Pure: the clock is passed in."""

from __future__ import annotations

from typing import Literal

Step = Literal["wait", "ask", "drop"]


class Keepalive:
    """Who has been silent for `silent_seconds` is asked; who has not answered or greeted `patience_seconds` later is dropped."""

    __slots__ = ("_asked_seconds", "_heard_seconds", "_patience_seconds", "_silent_seconds")

    def __init__(self, silent_seconds: float, patience_seconds: float, now_seconds: float) -> None:
        self._silent_seconds = silent_seconds
        self._patience_seconds = patience_seconds
        self._heard_seconds = now_seconds
        self._asked_seconds: float | None = now_seconds  # to begin with, a greeting is waited for

    def heard(self, now_seconds: float) -> None:
        self._heard_seconds = now_seconds
        self._asked_seconds = None

    def step(self, now_seconds: float) -> Step:
        if self._asked_seconds is not None:
            return "drop" if now_seconds - self._asked_seconds >= self._patience_seconds else "wait"
        if now_seconds - self._heard_seconds < self._silent_seconds:
            return "wait"
        self._asked_seconds = now_seconds
        return "ask"

    def next_seconds(self, now_seconds: float) -> float:
        """When to ask for the next step. While an answer is waited for, also when silence after it would have lasted."""
        if self._asked_seconds is not None:
            return min(self._asked_seconds + self._patience_seconds, now_seconds + self._silent_seconds)
        return self._heard_seconds + self._silent_seconds
