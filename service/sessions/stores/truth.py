"""What feeding asks of whoever knows where sequences stand: may this be so? Every method in the sequence's turn.

Whatever changes a sequence goes through here, so that a feed counts only once the truth has it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import ServiceError
from cellserve.service.sessions.feed import CheckedFeed, Feed, FeedReply
from cellserve.service.sessions.info import SessionInfo
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.tombstones import SessionKey

Result = TypeVar("Result")


class Conflict(Exception):
    """The sequence is not where it was thought to be: look again, and decide again."""


class Applied(NamedTuple):
    """A feed that was computed, from `position` on, with the answer that it gets once it counts."""

    feed: Feed
    checked: CheckedFeed
    position: int
    reply: FeedReply


class Truth(Protocol):
    shared: bool
    """Whether other replicas may know more of a sequence than this one."""

    async def hold(self, session: Session, act: Callable[[], Awaitable[Result]], *, look: bool | None = None) -> Result:
        """What `act` gives, done on what is true: again, where that has changed meanwhile.

        look: whether others are asked first; None: where nothing is known of the sequence here.

        Raises what `act` raises, and StoreUnavailable.
        """

    def repeated(self, session: Session, feed: Feed) -> FeedReply | None:
        """The answer given before to the very same feed; None: there is none. Raises what `feed.check` raises."""

    async def begin(
        self, session: Session, pin: Pin, state: npt.NDArray[np.float32], position: int, life: int, applied: Applied | None = None
    ) -> None:
        """A life begins, in the place of any before it. state: [width]. Raises Conflict."""

    async def advance(
        self, session: Session, pin: Pin, state: npt.NDArray[np.float32] | None, steps: int, applied: Applied
    ) -> None:
        """state: None: as it was. Raises Conflict."""

    async def end(self, session: Session, applied: Applied | None = None) -> None:
        """By its client, with a feed or without. Raises Conflict."""

    async def replace(self, session: Session, applied: Applied) -> None:
        """Whatever life there was is over: another has begun and ended in one feed. Raises Conflict."""

    def missing(self, key: SessionKey, epoch: str | None) -> ServiceError | None:
        """Why it is not live; None: nothing is known of it. epoch: as the client knows it."""

    def on_retired(self, key: VersionKey, ends_seconds: float) -> None:
        """A version is on its way out: its sequences have until then."""

    def on_kept(self, key: VersionKey) -> None:
        """A version is here, for now or after all."""

    async def listed(self, infos: Sequence[SessionInfo]) -> list[SessionInfo]:
        """All live sequences, of which this replica knows `infos`."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """No feed is under way."""
