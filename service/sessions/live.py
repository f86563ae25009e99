"""Every sequence that is live: by id, by age, and which are idle. Begins and ends them, and says why they ended.

Whoever works with a sequence has its turn (session.py); only sequences that nobody works with expire, are evicted or retire.
Runs on the event loop; knows no feeds, no disk and no timers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.sessions.epochs import Epochs
from cellserve.service.sessions.idle import IdleSessions
from cellserve.service.sessions.observer import SessionCount, SessionEvent, SessionObserver
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.storage.parking import ParkedRow
from cellserve.service.sessions.storage.pins import Pin, Pins
from cellserve.service.sessions.tombstones import Ending, SessionKey, Tombstones

_EVENTS: dict[Ending, SessionEvent] = {
    Ending.IDLE: "expired",
    Ending.AGE: "expired",
    Ending.EVICTED: "evicted",
    Ending.RETIRED: "retired",
    Ending.CHANGED: "retired",
    Ending.DAMAGED: "refused",
}


class LiveSessions:
    """on_change: called with each sequence that began, was fed or ended."""

    def __init__(
        self,
        settings: SessionSettings,
        model_settings: Callable[[str], ModelSettings],
        observer: SessionObserver,
        clock: Callable[[], float],
    ) -> None:
        self.pins = Pins()
        self.epochs = Epochs()
        self.tombstones = Tombstones(settings.max_tombstones)
        self._settings = settings
        self._model_settings = model_settings
        self._observer = observer
        self._clock = clock
        self.on_change: Callable[[SessionKey], None] = _nobody_asks
        self._sessions: dict[SessionKey, Session] = {}
        self._idle = IdleSessions()
        self._ages: dict[str, OrderedDict[Session, None]] = {}  # by model, oldest first; those that began under a limit

    def __len__(self) -> int:
        """Live ones, and those about to begin."""
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """Those that are live now."""
        return (session for session in list(self._sessions.values()) if session.pin is not None)

    # --- turns ---

    def find(self, key: SessionKey) -> Session | None:
        """The sequence, or the place where one begins; None too for one that is due to end, and is ended."""
        session = self._sessions.get(key)
        if session is None or session.busy or session.pin is None:
            return session
        ending = self._due(session, session.pin, self._clock())
        if ending is None:
            return session
        self._bury(session, ending)
        return None

    def place(self, key: SessionKey) -> Session:
        """The sequence, or a place where one may begin."""
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = Session(key)
        return session

    async def take(self, session: Session) -> None:
        """The caller's turn; it must call `give`."""
        if not session.busy and session.pin is not None:
            self._idle.remove(session)
        await session.take_turn(self.give)

    def give(self, session: Session) -> None:
        session.give_turn()
        if session.busy:
            return
        if session.pin is None:
            self._sessions.pop(session.key, None)
            return
        now = self._clock()
        self.rest(session, now)
        ending = self._due(session, session.pin, now)
        if ending is not None:
            self._bury(session, ending)

    def rest(self, session: Session, used_seconds: float) -> None:
        """It is idle since then: nobody's turn, and after all others that are idle."""
        session.used_seconds = used_seconds
        self._idle.add(session)

    # --- lives ---

    def begin(self, session: Session, pin: Pin, state: npt.NDArray[np.float32], position: int, life: int | None = None) -> None:
        """In the turn of `session`, which is not live. state: [width], copied. life: None: the next one."""
        session.pin = self.pins.share(pin)
        pin.sessions += 1
        session.row = pin.slab.put(pin.resting(state))
        session.position = position
        session.life = self.epochs.new_life() if life is None else life
        session.former = ()
        session.confirmed = True
        session.created_seconds = session.used_seconds = self._clock()
        self.tombstones.remove(session.key)
        if self.max_age_seconds(session.key.model):
            self._ages.setdefault(session.key.model, OrderedDict())[session] = None
        self.on_change(session.key)

    def advance(self, session: Session, state: npt.NDArray[np.float32] | None, steps: int) -> None:
        """In the turn of `session`, whose state is in memory: `steps` more are consumed, and this is its state now."""
        if session.pin is None or session.row is None:
            raise RuntimeError(f"{session.key} has no state to advance")
        if state is not None:
            session.row = session.pin.slab.write(session.row, session.pin.resting(state))
        session.position += steps
        session.confirmed = True
        self.on_change(session.key)

    def end(self, session: Session, event: SessionEvent | None, ending: Ending | None = None) -> None:
        """In the turn of `session`, or while it is idle. ending: what feeds that still come for it are told."""
        pin = session.pin
        if pin is None:
            return
        if not session.busy:
            self._idle.remove(session)
            del self._sessions[session.key]
        if session.key.model in self._ages:
            self._ages[session.key.model].pop(session, None)
        if session.row is not None:
            pin.slab.free(session.row)
        if session.parked is not None:
            session.parked.free()
        session.pin = session.row = session.parked = None
        pin.sessions -= 1
        if ending is not None:
            self.tombstones.put(session.key, ending)
        if event is not None:  # else another life begins at once, and is the change
            self._observer.on_session_event(pin.key, event)
            self.on_change(session.key)
        self.pins.drop(pin)

    # --- ends that nobody asked for ---

    def reap(self) -> None:
        """Ends what is due: idle or alive for too long, or on a version whose time is over."""
        now = self._clock()
        for model, queue in self._idle.queues():
            self._reap_idle(model, queue, now)
        for ages in self._ages.values():
            for session in list(takewhile(lambda session: self._is_old(session, now), ages)):
                if not session.busy:
                    self._bury(session, Ending.AGE)
        for pin in self.pins:
            if self._is_over(pin, now) and pin.idle + pin.parked:
                for session in [session for session in self if session.pin is pin and not session.busy]:
                    self._bury(session, Ending.RETIRED)

    def next_due_seconds(self) -> float | None:
        """When `reap` will have something to do, on the clock; None for never. Too early at times, never too late."""
        due = [pin.ends_seconds for pin in self.pins if pin.ends_seconds is not None and pin.idle + pin.parked]
        for model, queue in self._idle.queues():
            idle_seconds = self.idle_seconds(model)
            if idle_seconds:
                due.append(next(iter(queue)).used_seconds + idle_seconds)
        for model, ages in self._ages.items():
            oldest = next((session for session in ages if not session.busy), None)
            if oldest is not None and (limit := self.max_age_seconds(model)):
                due.append(oldest.created_seconds + limit)
        return min(due, default=None)

    def sort_ages(self) -> None:
        """After sequences that began earlier than others before them came back."""
        for model, ages in self._ages.items():
            self._ages[model] = OrderedDict.fromkeys(sorted(ages, key=lambda session: session.created_seconds))

    def evict_longest_idle(self, *, in_memory: bool = False) -> bool:
        """in_memory: of those whose states are there. False if there is none that nobody works with."""
        longest = self._idle.longest(in_memory=in_memory)
        if longest is not None:
            self._bury(longest, Ending.EVICTED)
        return longest is not None

    def retire(self, key: VersionKey) -> None:
        """The version is on its way out: its sequences have the drain time to end."""
        pin = self.pins.find(key)
        if pin is not None and pin.ends_seconds is None:
            pin.ends_seconds = self._clock() + self._settings.drain_seconds

    def keep(self, key: VersionKey) -> None:
        """The version stays after all."""
        pin = self.pins.find(key)
        if pin is not None:
            pin.ends_seconds = None

    # --- facts ---

    def idle_seconds(self, model: str) -> float:
        """The model's idle time-out; 0: none."""
        own = self._model_settings(model).session_idle_seconds
        return self._settings.idle_seconds if own is None else own

    def max_age_seconds(self, model: str) -> float:
        """At which a sequence of the model expires, whatever is fed to it; 0: never."""
        own = self._model_settings(model).session_max_age_seconds
        return self._settings.max_age_seconds if own is None else own

    def counts(self) -> list[SessionCount]:
        """Safe on any thread."""
        return [
            SessionCount(pin.key, max(pin.sessions - pin.idle - pin.parked, 0), pin.idle, pin.parked, pin.slab.bytes)
            for pin in self.pins
        ]

    def epoch(self, session: Session) -> str:
        """What clients are told, and are asked for."""
        return self.epochs.of(session.life) if session.copy is None else session.copy.epoch

    def coldest(self, rows: int) -> list[Session]:
        """Up to `rows` idle sequences whose states are in memory, longest idle first (those of one model together)."""
        return self._idle.coldest(rows)

    def mark_parked(self, session: Session, parked: ParkedRow) -> None:
        """An idle sequence's state is on disk now, and no longer in memory."""
        if session.pin is None or session.row is None or session.busy:
            raise RuntimeError(f"{session.key} cannot be parked")
        self._idle.remove(session)
        session.pin.slab.free(session.row)
        session.row, session.parked = None, parked
        self._idle.add_parked(session)

    # --- the work behind them ---

    def _reap_idle(self, model: str, queue: OrderedDict[Session, None], now: float) -> None:
        idle_seconds = self.idle_seconds(model)
        while idle_seconds and queue:
            longest = next(iter(queue))
            if longest.used_seconds + idle_seconds > now:
                return
            self._bury(longest, Ending.IDLE)

    def _due(self, session: Session, pin: Pin, now: float) -> Ending | None:
        """Why it must end now, while it is idle; None if it need not."""
        if self._is_over(pin, now):
            return Ending.RETIRED
        if self._is_old(session, now):
            return Ending.AGE
        idle_seconds = self.idle_seconds(session.key.model)
        return Ending.IDLE if idle_seconds and session.used_seconds + idle_seconds <= now else None

    def _is_old(self, session: Session, now: float) -> bool:
        limit = self.max_age_seconds(session.key.model)
        return bool(limit) and session.created_seconds + limit <= now

    @staticmethod
    def _is_over(pin: Pin, now: float) -> bool:
        return pin.ends_seconds is not None and pin.ends_seconds <= now

    def _bury(self, session: Session, ending: Ending) -> None:
        if self._settings.shared:
            self.end(session, None)  # only a copy; whether its sequence is over is for the store to say
        else:
            self.end(session, _EVENTS[ending], ending)


def _nobody_asks(key: SessionKey) -> None:
    """Until somebody does."""
