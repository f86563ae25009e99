"""Applies feeds: each once, in the order of arrival, on the version that its sequence began on. All or nothing.

A sequence changes only after its feed has been computed: a feed that is refused, fails or is cancelled leaves it as it was.
Runs on the event loop; knows no protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import numpy.typing as npt

from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import InvalidInput, NotCausal, SequenceExists, SequencePosition
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.capacity import Capacity
from cellserve.service.sessions.feed import CheckedFeed, Feed, FeedReply
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.observer import SessionObserver
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.states import States
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.stores.own import lost
from cellserve.service.sessions.stores.truth import Applied, Truth
from cellserve.service.sessions.versions import Versions

Run = Callable[[Sequence[Work]], Awaitable[list[Delivery]]]


class Feeding:
    """Every method is called in the turn of its sequence."""

    def __init__(
        self,
        run: Run,
        versions: Versions,
        live: LiveSessions,
        states: States,
        capacity: Capacity,
        truth: Truth,
        observer: SessionObserver,
    ) -> None:
        self._run = run
        self._versions = versions
        self._live = live
        self._states = states
        self._capacity = capacity
        self._truth = truth
        self._observer = observer

    async def start(self, session: Session, feed: Feed) -> FeedReply:
        """Raises SequenceExists, NotCausal, Overloaded, InvalidInput, and what the catalog and the engine raise."""
        again = self.repeated(session, feed)
        if again is not None:
            return again
        if session.pin is not None and not feed.restart:
            raise SequenceExists(
                f"{session.key} is live, after {session.position} time steps; restart it, or take another id", field="sequence_id"
            )
        if feed.position:
            raise InvalidInput(f"a sequence starts at position 0, and this start says {feed.position}", field="position")
        key = session.key
        pin = self._live.pins.hold(await self._versions.acquire(key.model, feed.version, lambda: key.session_id))
        try:
            return await self._begin(session, pin, feed)
        finally:
            self._live.pins.drop(pin)

    async def go_on(self, session: Session, pin: Pin, feed: Feed) -> FeedReply:
        """Raises SequenceLost, SequencePosition, InvalidInput, and what the engine raises."""
        epoch = self._live.epoch(session)
        self._require_epoch(session, feed, epoch)
        if feed.request_id is not None or (feed.position != session.position and feed.position is not None):
            again = self.repeated(session, feed)
            if again is not None:
                return again
        require_position(session, feed, epoch)
        checked = feed.check(pin.version)
        if checked.initial_state is not None:
            raise InvalidInput("an initial state can only be given with the start of a sequence", field="state")
        steps, delivery = checked.steps, None
        if steps:
            state = await self._states.bring_back(session)
            delivery = await self._compute(pin, checked, state, feed, want_state=checked.want_state or not feed.end)
        before = session.position
        reply = self._reply(session, checked, before + steps, epoch, pin.version, delivery)
        if feed.end:
            await self._truth.end(session, Applied(feed, checked, before, reply))
        elif delivery is not None:
            await self._truth.advance(session, pin, delivery.state, steps, Applied(feed, checked, before, reply))
        else:
            session.confirmed = True  # an empty feed hides no answer
        return reply

    def repeated(self, session: Session, feed: Feed) -> FeedReply | None:
        """The answer given before to the very same feed."""
        known = feed.position is not None or feed.request_id is not None
        reply = self._truth.repeated(session, feed) if known else None
        if reply is not None:
            self._observer.on_session_event(reply.version.key, "repeated")
        return reply

    async def _begin(self, session: Session, pin: Pin, feed: Feed) -> FeedReply:
        require_causal(pin.version)
        checked = feed.check(pin.version)
        if feed.end:
            return await self._run_at_once(session, pin, feed, checked)
        async with self._capacity.place(pin):
            state, delivery = checked.initial_state, None
            if checked.steps:
                delivery = await self._compute(pin, checked, state, feed, want_state=True)
                state = delivery.state
            restarted, life = session.pin is not None, self._live.epochs.new_life()
            reply = self._reply(session, checked, checked.steps, self._live.epochs.of(life), pin.version, delivery)
            begun = pin.version.state_layout.first_rows(1)[0] if state is None else state
            await self._truth.begin(session, pin, begun, checked.steps, life, Applied(feed, checked, 0, reply))
        self._observer.on_session_event(pin.key, "restarted" if restarted else "started")
        return reply

    async def _run_at_once(self, session: Session, pin: Pin, feed: Feed, checked: CheckedFeed) -> FeedReply:
        """A start that is the end as well: nothing is kept of it but the answer."""
        delivery = None
        if checked.steps:
            delivery = await self._compute(pin, checked, checked.initial_state, feed, want_state=checked.want_state)
        epoch = self._live.epochs.of(self._live.epochs.new_life())
        reply = self._reply(session, checked, checked.steps, epoch, pin.version, delivery)
        restarted = session.pin is not None
        await self._truth.replace(session, Applied(feed, checked, 0, reply))
        self._observer.on_session_event(pin.key, "restarted" if restarted else "started")
        self._observer.on_session_event(pin.key, "ended")
        return reply

    async def _compute(
        self, pin: Pin, checked: CheckedFeed, state: npt.NDArray[np.float32] | None, feed: Feed, *, want_state: bool
    ) -> Delivery:
        work = Work(
            version=pin.key,
            inputs=checked.inputs,
            mask=checked.mask,
            state=state,
            implementation=checked.implementation,
            want_state=want_state,
            deadline_seconds=feed.deadline_seconds,
            priority=checked.priority,
        )
        (delivery,) = await self._run((work,))
        return delivery

    def _reply(
        self, session: Session, checked: CheckedFeed, position: int, epoch: str, version: LoadedVersion, delivery: Delivery | None
    ) -> FeedReply:
        shown = delivery if delivery is None or checked.want_state else delivery._replace(state=None)
        return FeedReply(session.key.session_id, position, epoch, version, shown)

    def _require_epoch(self, session: Session, feed: Feed, epoch: str) -> None:
        if feed.epoch is None or feed.epoch == epoch or feed.epoch in session.former:
            return
        self._observer.on_session_event(None, "lost")
        raise lost(f"the {session.key} that this feed means is gone; one of that id was started later", epoch)


def require_causal(version: LoadedVersion) -> None:
    """Raises NotCausal."""
    if not version.causal:
        raise NotCausal(
            f"{version.key} needs whole sequences (a layer of it looks ahead), so nothing can be fed to it step by step; "
            "send whole sequences",
            field="model",
        )


def require_position(session: Session, feed: Feed, epoch: str) -> None:
    """epoch: of `session` now; that of the feed is one of its epochs, or None.

    Raises SequencePosition: the feed belongs elsewhere, or cannot show that it belongs here.
    """
    metadata = {"position": str(session.position), "epoch": epoch}
    if feed.position not in (None, session.position):
        raise SequencePosition(
            f"{session.key} stands at position {session.position} (time steps consumed); this feed belongs at {feed.position}; "
            f"feed on from {session.position}",
            field="position",
            metadata=metadata,
        )
    if not session.confirmed and feed.epoch != epoch and (feed.epoch is None or feed.position is None):
        raise SequencePosition(
            f"the server ended unexpectedly and has restored {session.key} at position {session.position} (time steps consumed), "
            f"which may be earlier than its last answer; feed on from there with epoch {epoch}, or start it again",
            field="position",
            metadata=metadata,
        )
