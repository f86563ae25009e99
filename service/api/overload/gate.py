"""Which calls are read at all while more come than can be: the others are answered from their headers alone.

Two things close it. Where the event loop is busy and most of what a client sends is refused after it has been read, only so
much of it is read as gives the engine a choice: the rest would be refused too, at many times the cost. And where the loop
itself lags, calls are read only as fast as it can, and who sends more than others is read no more than they. Pure: clock, dice
and measurements are passed in. Knows no gRPC and no messages; a client is a name.
"""

from __future__ import annotations

from math import exp
from typing import Final, Literal

Outcome = Literal["answered", "refused", "gone"]
"""Of a call that was read. gone: its client no longer waits."""

_MEMORY_SECONDS: Final = 0.25
_BUSY: Final = 0.25  # of the loop's time: below, everything is read
_CHOICE: Final = 1.3  # times what is let in of a client: so much of it is read, since reading costs what computing could have
_CHOICE_LAGGING: Final = 2.0  # the same, of all clients, where the loop lags and nothing tells that they come in vain
_LEAST_CHOICE: Final = 0.5  # where they do, and it lags by much
_PROBED_PER_SECOND: Final = 10.0  # of a client in any case: or nobody would learn that there is room again
_FULL: Final = 0.85  # of the loop's time: it is what is short, and each call that it reads takes time from answers
_FULL_SECONDS: Final = 0.3  # for so long: a collection of garbage is over before
_LAGGING_SECONDS: Final = 0.02
_RECOVERED_SECONDS: Final = 0.01
_MOST_LAG_SECONDS: Final = 1.0  # that counts: a machine that slept for an hour is soon as it was
_SLOWER, _FASTER = 0.8, 1.1  # each time the lag is told
_WATCHED_SECONDS: Final = 0.1  # before a lag counts: what came and was let in must be known
_LEAST_PER_SECOND: Final = 50.0
_LEAST_SHARE: Final = 2.0  # calls of a client within the memory: who sends so little is always read
_WEIGHT: Final = 0.3  # of the newest measurement
_FADING: Final = 0.995  # each time the lag is told
_FADING_FAST: Final = 0.9  # where what was let in is not answered in time
_FEW: Final = 0.02  # of those who are answered
_WAITED_SECONDS: Final = 0.03  # who was read and waits so long to begin shows that too many were
_FORGOTTEN: Final = 0.01


class _Record:
    """What lately became of a client's calls, as counts that fade."""

    __slots__ = ("came", "let_in", "refused")

    def __init__(self) -> None:
        self.came = self.let_in = self.refused = 0.0


class Gate:
    """On the event loop. `measured` is to be called every few hundredths of a second."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._faded_seconds = 0.0
        self._busy = self.lag_seconds = 0.0  # lately
        self._watched_since_seconds: float | None = None
        self._full_since_seconds: float | None = None  # and it lags
        self._readable_per_second = float("inf")
        self._level = float("inf")  # so many calls of a client are read within the memory, where not all are
        self._let_in_per_second = 0.0  # the most of late
        self._gone = self._in_vain = (
            0.0  # calls that were read, and of whose clients nobody waits, or was served: counts that fade
        )
        self._closed = False

    @property
    def open(self) -> bool:
        """Whether everything is read; then nobody need be asked for."""
        return not self._closed

    @property
    def watching(self) -> bool:
        """Whether anybody was refused lately, or the loop lags; only then it matters what becomes of calls."""
        return bool(self._records) or self.lag_seconds > _RECOVERED_SECONDS

    def measured(self, now_seconds: float, busy: float, lag_seconds: float) -> None:
        """busy: which part of the time since the last call the loop was running. lag_seconds: how late it came to this."""
        passed = now_seconds - self._faded_seconds
        self._faded_seconds = now_seconds
        self._busy += _WEIGHT * (busy - self._busy)
        self.lag_seconds += _WEIGHT * (min(lag_seconds, _MOST_LAG_SECONDS) - self.lag_seconds)
        if self._busy < _FULL or self.lag_seconds < _LAGGING_SECONDS:
            self._full_since_seconds = None
        elif self._full_since_seconds is None:
            self._full_since_seconds = now_seconds
        if not self._records:
            self._watched_since_seconds = None
        elif self._watched_since_seconds is None:
            self._watched_since_seconds = now_seconds - passed
        keep = exp(-passed / _MEMORY_SECONDS)
        self._pace(now_seconds, passed / (1.0 - keep) if passed > 0.0 else _MEMORY_SECONDS)
        self._gone *= keep
        self._in_vain *= keep
        wasteful = False
        for client, record in list(self._records.items()):
            record.came *= keep
            record.let_in *= keep
            record.refused *= keep
            if record.came + record.refused < _FORGOTTEN:
                del self._records[client]
            wasteful = wasteful or record.refused > record.let_in
        self._closed = (wasteful and self._busy > _BUSY) or self._readable_per_second != float("inf")

    def passes(self, client: str, dice: float, waited_seconds: float = 0.0) -> bool:
        """Whether a call that has come is read.

        dice: of [0, 1). waited_seconds: how long the one that begins next waits already, of those that have been read.
        """
        record = self._record(client)
        if waited_seconds > _WAITED_SECONDS and record.came > _LEAST_SHARE:
            record.refused += 1.0
            return False
        record.came += 1.0
        read = 1.0
        if self._busy > _BUSY and record.refused > 0.0:
            read = (_CHOICE * record.let_in + _PROBED_PER_SECOND * _MEMORY_SECONDS) / record.came
        if self._readable_per_second != float("inf"):
            read = min(read, max(self._level, _LEAST_SHARE) / record.came)
        if dice < read:
            return True
        record.refused += 1.0
        return False

    def read(self, client: str, outcome: Outcome) -> None:
        """What became of a call that was read. Of a call that nobody asked about, its coming is counted here."""
        record = self._record(client)
        if self.open:
            record.came += 1.0
        if outcome == "refused":
            record.refused += 1.0
            self._in_vain += 1.0
        elif outcome == "answered":
            record.let_in += 1.0
        else:
            self._gone += 1.0
            self._in_vain += 1.0

    def _record(self, client: str) -> _Record:
        record = self._records.get(client)
        if record is None:
            record = self._records[client] = _Record()
        return record

    def _pace(self, now_seconds: float, memory_seconds: float) -> None:
        """Slower while the loop lags, but not slower than what lately was let in, which is what there is to do: unless it lags by
        much and reads in vain.
        """
        watched_seconds = 0.0 if self._watched_since_seconds is None else now_seconds - self._watched_since_seconds
        counted_seconds = memory_seconds * (1.0 - exp(-watched_seconds / _MEMORY_SECONDS)) or memory_seconds
        came = [record.came for record in self._records.values()]
        came_per_second = sum(came) / counted_seconds
        let_in = sum([record.let_in for record in self._records.values()])
        fading = _FADING if self._gone <= _FEW * let_in else _FADING_FAST
        self._let_in_per_second = max(let_in / counted_seconds, fading * self._let_in_per_second)
        if self.lag_seconds > _LAGGING_SECONDS:
            if watched_seconds >= _WATCHED_SECONDS:
                full = self._full_since_seconds is not None and now_seconds - self._full_since_seconds > _FULL_SECONDS
                overloaded = full or self._in_vain > _FEW * let_in
                choice = max(_LEAST_CHOICE, _CHOICE * _LAGGING_SECONDS / self.lag_seconds) if overloaded else _CHOICE_LAGGING
                least = max(choice * self._let_in_per_second, _LEAST_PER_SECOND)
                self._readable_per_second = max(_SLOWER * min(self._readable_per_second, came_per_second), least)
        elif self.lag_seconds < _RECOVERED_SECONDS and self._readable_per_second != float("inf"):
            self._readable_per_second *= _FASTER
            if self._readable_per_second > 2.0 * max(came_per_second, _LEAST_PER_SECOND):
                self._readable_per_second = float("inf")
        if self._readable_per_second != float("inf"):
            self._level = _fair_level(came, self._readable_per_second * counted_seconds)


def _fair_level(wishes: list[float], room: float) -> float:
    """How much each gets at most so that all together get `room`: who wishes less leaves the rest to the others."""
    ordered = sorted(wishes)
    for index, wish in enumerate(ordered):
        share = room / (len(ordered) - index)
        if wish > share:
            return share
        room -= wish
    return float("inf")
