"""A gradual promote as plain facts: from which version to which, in what time, under which bounds, and how far it has got."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from cellserve.service.registry.policy.durations import duration_words

State = Literal["walking", "promoted", "rolled_back", "ended"]


class Rollout(BaseModel):
    """One walk of an alias from `before` to `version`, in `seconds`. stop_if: its bounds, as text. by: who asked.

    share: of the requests, that the new version has. walked_seconds: so far, without the time in which no server walked.
    state: ended, where somebody moved the alias meanwhile. reason: why it was rolled back or ended, or what it waits for.
    seen: what its bounds are judged by, in words.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    alias: str
    version: PositiveInt
    before: PositiveInt
    seconds: PositiveFloat
    stop_if: str = ""
    by: str = ""
    began: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    ended: AwareDatetime | None = None
    share: NonNegativeFloat = 0.0
    walked_seconds: NonNegativeFloat = 0.0
    state: State = "walking"
    reason: str = ""
    seen: str = ""

    @property
    def walking(self) -> bool:
        return self.state == "walking"

    @property
    def split(self) -> dict[int, float]:
        """How the alias is split while it walks."""
        return {self.version: self.share, self.before: 1 - self.share}

    @property
    def words(self) -> str:
        """ "25% to 4, from 3, after 3m of 10m; stops if errors > 1%"."""
        way = f"from {self.before} to {self.version}"
        stops = f"; stops if {self.stop_if}" if self.stop_if else ""
        waits = f"; {self.reason}" if self.reason else ""
        if self.walking:
            walked = f"{duration_words(round(self.walked_seconds))} of {duration_words(self.seconds)}"
            return f"{way}: {100 * self.share:g}%, {walked}{stops}{waits}"
        at = "" if self.state == "promoted" else f" at {100 * self.share:g}%"
        return f"{way}: {self.state.replace('_', ' ')}{at}{waits}{stops}"
