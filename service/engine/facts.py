"""What the engine tells an observer, as plain facts. Knows no metrics library: service/metrics turns facts into series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol


class VersionKey(NamedTuple):
    """One version of one model."""

    model: str
    version: int

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


class IterationFact(NamedTuple):
    """One batch advanced: `rows` sequences side by side for `steps` time steps, `timesteps` of them real.

    Where a network takes several passes over a sequence, its time steps count in each of them.
    """

    version: VersionKey
    implementation: str
    rows: int
    steps: int
    timesteps: int
    seconds: float

    @property
    def padding_ratio(self) -> float:
        """Share of the rows x steps area that was padding."""
        return 1.0 - self.timesteps / (self.rows * self.steps)


class SequenceFact(NamedTuple):
    """One sequence ended. reason: done, cancelled, expired, dropped (no longer to be done in time), failed, drained.

    steps: its own, however many passes it took. prediction_ratio: what it took, of what was predicted; None where nothing was.
    """

    version: VersionKey
    implementation: str
    reason: str
    steps: int
    iterations: int
    queue_seconds: float
    compute_seconds: float
    prediction_ratio: float | None = None


class Share(NamedTuple):
    """The part of one request in one iteration: its own sequences and time steps, of `rows` x `steps` side by side.

    began_seconds: on the clock of time.monotonic.
    """

    began_seconds: float
    seconds: float
    implementation: str
    own_rows: int
    own_steps: int
    rows: int
    steps: int


class IterationLog:
    """The shares of one request that is traced, in order, the first MOST of them; left_out: how many came after those.

    Told on a worker's thread; where several work for one request, a share may be told in two.
    """

    MOST: Final = 64

    __slots__ = ("left_out", "shares")

    def __init__(self) -> None:
        self.shares: list[Share] = []
        self.left_out = 0

    def add(self, share: Share) -> None:
        """Of one sequence; together with those of its request that were in the same iteration."""
        last = self.shares[-1] if self.shares else None
        if last is not None and last.began_seconds == share.began_seconds:
            own_rows, own_steps = last.own_rows + share.own_rows, last.own_steps + share.own_steps
            self.shares[-1] = last._replace(own_rows=own_rows, own_steps=own_steps)
        elif len(self.shares) < self.MOST:
            self.shares.append(share)
        else:
            self.left_out += 1


@dataclass(frozen=True, slots=True)
class LaneFact:
    """What a lane holds at the moment it is asked. waiting_timesteps: those accepted and not yet computed, of all passes.

    weights_bytes: of the version, whichever worker is asked. states_bytes: of all rows of state, used or not.
    """

    version: VersionKey
    waiting_timesteps: int
    active_sequences: int
    rows_free: int
    rows_used: int
    weights_bytes: int = 0
    states_bytes: int = 0


class Observer(Protocol):
    """Called on a worker's thread, or on that of whoever has short work computed at once; must not block."""

    def on_iteration(self, fact: IterationFact) -> None: ...

    def on_sequence_end(self, fact: SequenceFact) -> None: ...
