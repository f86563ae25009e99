"""Why sequences that are gone are gone, for the feeds that still come for them. Bounded: the oldest are forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final, NamedTuple

from cellserve.service.errors import SequenceEvicted, SequenceExpired, SequenceLost, ServiceError, VersionRetired


class Ending(Enum):
    IDLE = "it was fed nothing for longer than this model's idle time-out"
    AGE = "it was older than this server lets a sequence become"
    EVICTED = "the server was full, and it had been idle for longest"
    RETIRED = "the version that it ran on was replaced, and the time to finish has passed"
    CHANGED = "the weights that it ran on are not in the repository any more"
    DAMAGED = "what the session store holds under its id is not a state of it"


_ERRORS: dict[Ending, type[ServiceError]] = {
    Ending.IDLE: SequenceExpired,
    Ending.AGE: SequenceExpired,
    Ending.EVICTED: SequenceEvicted,
    Ending.RETIRED: VersionRetired,
    Ending.CHANGED: VersionRetired,
    Ending.DAMAGED: SequenceLost,
}


_SHOWN_CHARACTERS: Final = 128  # of a name in a sentence


class SessionKey(NamedTuple):
    model: str
    session_id: str

    def __str__(self) -> str:
        return f"sequence {self.session_id!r} of {self.model[:_SHOWN_CHARACTERS]}"


class Tombstones:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._endings: OrderedDict[SessionKey, Ending] = OrderedDict()

    def __len__(self) -> int:
        return len(self._endings)

    def put(self, key: SessionKey, ending: Ending) -> None:
        self._endings[key] = ending
        self._endings.move_to_end(key)
        if len(self._endings) > self._limit:
            self._endings.popitem(last=False)

    def remove(self, key: SessionKey) -> None:
        """A new life begins under this id."""
        self._endings.pop(key, None)

    def error(self, key: SessionKey) -> ServiceError | None:
        """What to tell a feed for `key`; None if nothing is known."""
        ending = self._endings.get(key)
        if ending is None:
            return None
        return _ERRORS[ending](f"{key} is gone: {ending.value}; start it again", field="sequence_id")
