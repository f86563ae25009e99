"""One gradual promote under way: how far it has walked, what was seen of both versions meanwhile, what its bounds say of that.

Counts and judges. Moves no alias and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.rollout.bounds import DIFFERENCE, Bound
from cellserve.service.registry.rollout.judging import Evidence, Verdict, judge
from cellserve.service.registry.rollout.seen import Compared, Seen

_LONGEST_LOOK_SECONDS: Final = 5.0  # time in which nobody could look does not count, so that no share is passed over unseen
_FAILED: Final = frozenset({"INTERNAL", "DEADLINE_EXPIRED"})
_REFUSED: Final = frozenset({"INVALID_INPUT", "NOT_CAUSAL", "IMPLEMENTATION_UNSUPPORTED"})
_UNLIKE: Final = "the versions take other inputs or answer in other shapes"


class RequestEnd(Protocol):
    """How one request ended, as the door tells it."""

    @property
    def version(self) -> VersionKey | None: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def seconds(self) -> float: ...


def _nothing() -> Evidence:
    return Evidence(Seen(), Seen(), Compared())


@dataclass(slots=True)
class Walk:
    """looked_seconds, recorded_seconds: on the clock, when it was looked after last, and written down last. all, lately: evidence
    of all that it has walked here, and of this share. unlike: answers of its versions cannot be compared.
    """

    model: str
    rollout: Rollout
    bounds: tuple[Bound, ...]
    looked_seconds: float
    recorded_seconds: float = 0.0
    trouble: str = ""
    unlike: bool = False
    all: Evidence = field(default_factory=_nothing)
    lately: Evidence = field(default_factory=_nothing)

    @property
    def name(self) -> str:
        return f"{self.model}@{self.rollout.alias}"

    @property
    def new(self) -> VersionKey:
        return VersionKey(self.model, self.rollout.version)

    @property
    def old(self) -> VersionKey:
        return VersionKey(self.model, self.rollout.before)

    @property
    def compares(self) -> bool:
        """Whether its versions' answers are to be held against each other."""
        return any(bound.quantity == DIFFERENCE for bound in self.bounds)

    @property
    def shown(self) -> Rollout:
        """With what was seen, in words."""
        return self.rollout.model_copy(update={"seen": self._seen})

    def look(self, now_seconds: float) -> None:
        """It has walked until now."""
        walked = self.rollout.walked_seconds + min(now_seconds - self.looked_seconds, _LONGEST_LOOK_SECONDS)
        self.rollout, self.looked_seconds = self.rollout.model_copy(update={"walked_seconds": walked}), now_seconds

    def step(self, known: dict[str, Any]) -> None:
        """known: of the record, from here on. What was seen at the share before is no more what was seen lately."""
        self.rollout, self.lately = self.shown.model_copy(update=known), _nothing()

    def verdict(self) -> Verdict:
        """What is broken lately or in all; what is wanting of all."""
        if self.unlike and (bound := next((bound for bound in self.bounds if bound.quantity == DIFFERENCE), None)):
            return Verdict(broken=f"{bound}: {_UNLIKE}")
        lately = judge(self.bounds, self.lately)
        return lately if lately.broken else judge(self.bounds, self.all)

    def count(self, end: RequestEnd) -> None:
        for evidence in (self.all, self.lately):
            seen = evidence.new if end.version == self.new else evidence.old
            if end.reason is None:
                seen.latencies.add(end.seconds)
            elif end.reason in _FAILED:
                seen.failed += 1
            elif end.reason in _REFUSED:
                seen.refused += 1

    def count_compared(self, difference: float | None) -> None:
        """None: their answers cannot be compared."""
        if difference is None:
            self.unlike = True
            return
        for evidence in (self.all, self.lately):
            evidence.compared.add(difference)

    @property
    def _seen(self) -> str:
        new, old, compared = self.all
        parts = [f"{_seen_words(new)} of {self.rollout.version}", f"{_seen_words(old)} of {self.rollout.before}"]
        if compared.requests:
            parts.append(f"{compared.requests} compared, largest difference {compared.largest:.3g}")
        return "; ".join(parts)


def _seen_words(seen: Seen) -> str:
    told = f"{seen.requests} requests"
    if seen.failed:
        told += f", {seen.failed} failed"
    if seen.latencies.count:
        told += f", p99 {1000 * seen.latencies.percentile(99):.3g} ms"
    return told
