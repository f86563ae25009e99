"""When whoever is refused should come again, so that there is room then: each books the next free time, and gets a ticket.

Times are booked one after the other at a part of the worker's pace; the rest is for those who come without a ticket. How many
of those who were told to come do come is learnt, and what is booked counts by that much: where nobody ever comes back, nothing is
kept free. A ticket is good once, from shortly before its time until some time after it, and nothing is kept of it but its time:
it is signed. Knows no queue; the clock is passed in.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Final, NamedTuple

_BOOKED: Final = 0.7  # of the pace: the rest is for newcomers
_EARLY: Final = 0.1  # of the wait that was asked for: so much before its time a ticket is good
_PROMPT_SECONDS: Final = 0.3  # after their time most have come who come at all
_MOST_JUDGED: Final = 100  # slots, after a long silence
_LATE_SECONDS: Final = 2.0  # after its time it is good for so long
_SLOT_SECONDS: Final = 0.1
_SLOT_MICROSECONDS: Final = round(_SLOT_SECONDS * 1e6)
_APART: Final = 0.03  # for each that found no room
_CLOSER: Final = 0.003  # for each that did: together, one in eleven finds none
_SPARSEST: Final = 4.0
_LEARNING: Final = 0.2  # weight of the newest slot
_FIRST_RETURNING: Final = 0.05
_LEAST_COMING: Final = 0.05  # where nobody comes, times are no further ahead than is soon learnt to be wrong
_LONGEST_SECONDS: Final = 60.0
_SPREAD: Final = 0.2


class Appointment(NamedTuple):
    retry_after_seconds: float
    ticket: str


class _Slot:
    __slots__ = ("came", "came_seconds", "redeemed", "told", "told_seconds")

    def __init__(self) -> None:
        self.told = self.came = 0
        self.told_seconds = self.came_seconds = 0.0  # of work
        self.redeemed: set[int] = set()


class Appointments:
    """Of an engine of so many workers. Belongs to the submitting side."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._key = secrets.token_bytes(16)
        self._number = 0
        self._slots: dict[int, _Slot] = {}
        self._oldest = self._judged = 0
        self._free_seconds = float("-inf")  # from when on nothing is booked
        self._returning = _FIRST_RETURNING
        self._sparser = 1.0  # times apart as the work would have it

    @property
    def returning(self) -> float:
        """Which part of those who were told to come again do, lately."""
        return self._returning

    def book(self, now_seconds: float, earliest_seconds: float, work_seconds: float, dice: float) -> Appointment:
        """earliest_seconds: from now; there will be no room before. dice: of [0, 1), so that nobody comes together."""
        self._settle(now_seconds)
        free = max(self._free_seconds, now_seconds + earliest_seconds)
        wait = min((free - now_seconds) * (1.0 + _SPREAD * dice), _LONGEST_SECONDS)
        coming = max(self._returning, _LEAST_COMING) * self._sparser
        self._free_seconds = min(free + work_seconds * coming / (_BOOKED * self._workers), now_seconds + _LONGEST_SECONDS)
        self._number += 1
        due_microseconds = int((now_seconds + wait) * 1e6)
        good_microseconds = due_microseconds - int(_EARLY * wait * 1e6)
        place = due_microseconds // _SLOT_MICROSECONDS
        slot = self._slots.get(place)
        if slot is None:
            slot = self._slots[place] = _Slot()
        slot.told += 1
        slot.told_seconds += work_seconds
        body = f"{self._number:x}-{due_microseconds:x}-{good_microseconds:x}-{int(work_seconds * 1e6):x}"
        return Appointment(wait, f"{body}-{self._signature(body)}")

    def expects(self, ticket: str, now_seconds: float) -> bool:
        """Whether this ticket is good now; it stays so."""
        return self._slot_of(ticket, now_seconds) is not None

    def redeem(self, ticket: str, now_seconds: float) -> bool:
        """Whether this ticket is good now. It is good no more after that."""
        found = self._slot_of(ticket, now_seconds)
        if found is None:
            return False
        slot, number, work_seconds = found
        slot.redeemed.add(number)
        slot.came += 1
        slot.came_seconds += work_seconds
        return True

    def _slot_of(self, ticket: str, now_seconds: float) -> tuple[_Slot, int, float] | None:
        """Of a ticket that is good now: the slot, the ticket's number in it, the work that it stands for in seconds."""
        self._settle(now_seconds)
        body, _, signature = ticket.rpartition("-")
        if not secrets.compare_digest(signature.encode(), self._signature(body).encode()):
            return None
        number, due, good_from, work = [int(field, 16) for field in body.split("-")]
        slot = self._slots.get(due // _SLOT_MICROSECONDS)
        if slot is None or now_seconds < good_from / 1e6 or number in slot.redeemed:
            return None
        return slot, number, work / 1e6

    def met(self, let_in: bool) -> None:
        """What became of one that came with a good ticket. Where there was no room, times were too close to each other."""
        factor = 1.0 - _CLOSER if let_in else 1.0 + _APART * self._returning  # where few are expected, that is what was wrong
        self._sparser = min(max(self._sparser * factor, 1.0), _SPARSEST)

    def due_work_seconds(self, now_seconds: float, horizon_seconds: float) -> float:
        """For each worker: work of those who should come until then, as far as they will."""
        self._settle(now_seconds)
        end = int((now_seconds + min(horizon_seconds, _LONGEST_SECONDS)) / _SLOT_SECONDS)
        slots = self._slots
        due = [slot for number in range(self._oldest, end + 1) if (slot := slots.get(number)) is not None]
        return self._returning * sum([slot.told_seconds - slot.came_seconds for slot in due]) / self._workers

    def _settle(self, now_seconds: float) -> None:
        """Forgets the slots whose tickets are good no more, and learns from them how many came; of more than thought, earlier."""
        prompt = int((now_seconds - _PROMPT_SECONDS) / _SLOT_SECONDS)
        for number in range(max(self._judged, prompt - _MOST_JUDGED), prompt):
            slot = self._slots.get(number)
            if slot is not None:
                self._returning += _LEARNING * max(slot.came / slot.told - self._returning, 0.0)
        self._judged = max(self._judged, prompt)
        good = int((now_seconds - _LATE_SECONDS) / _SLOT_SECONDS)
        if good <= self._oldest:
            return
        self._oldest = good
        for number in [number for number in self._slots if number < good]:
            slot = self._slots.pop(number)
            self._returning += _LEARNING * (slot.came / slot.told - self._returning)

    def _signature(self, body: str) -> str:
        return blake2b(body.encode(), key=self._key, digest_size=8).hexdigest()
