"""A feed of a live sequence, whichever protocol it came in: checked against the sequence's own version, applied, answered.

Knows no messages. Takes its place among the feeds of its sequence before it first waits, so that feeds are applied in the order
in which they were begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from cellserve.models.description.step_counts import steps_of
from cellserve.service.api.calls import CURRENT
from cellserve.service.api.door import CheckedRequest, Door
from cellserve.service.api.requests.row_inputs import steps_in
from cellserve.service.api.requests.signature import Signature
from cellserve.service.errors import InvalidInput, Overloaded
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.feed import CheckedFeed, Feed, FeedReply

Reply = TypeVar("Reply")


def require_position(position: int, field: str) -> int:
    """Raises InvalidInput: no sequence can have consumed fewer than 0 steps."""
    if position < 0:
        raise InvalidInput(f"position is {position}; expected the time steps consumed so far, 0 or more", field=field)
    return position


class FeedAsk(NamedTuple):
    """Which sequence, and what of it: all but `model` and `session_id` as in Feed."""

    model: str
    session_id: str
    start: bool = False
    end: bool = False
    restart: bool = False
    version: str = ""
    position: int | None = None
    epoch: str | None = None
    deadline_seconds: float | None = None


class FeedRequest(NamedTuple):
    """A request checked against the sequence's version. checked: None for one of no time steps."""

    feed: CheckedFeed
    checked: CheckedRequest | None = None

    @classmethod
    def of_one_row(cls, checked: CheckedRequest, field: str) -> FeedRequest:
        """field: what to blame where there are more rows. Raises InvalidInput."""
        rows, options = checked.rows, checked.options
        if len(rows.lengths) != 1:
            raise InvalidInput(f"a live sequence is fed one row at a time; the request has {len(rows.lengths)}", field=field)
        if steps_of(rows.lengths[0], 0) == 0:
            raise InvalidInput("a live sequence is fed one time step or more", field=field)
        feed = CheckedFeed(
            inputs=tuple(column[0] for column in rows.inputs),
            mask=None if rows.masks is None else rows.masks[0],
            initial_state=None if rows.states is None else rows.states[0],
            implementation=options.implementation,
            priority=options.priority,
            want_state=options.want_state,
        )
        return cls(feed, checked)


class FeedDone(NamedTuple):
    """What a reply is made from."""

    fed: FeedReply
    signature: Signature
    checked: CheckedRequest | None


async def feed(
    door: Door,
    ask: FeedAsk,
    check: Callable[[LoadedVersion, Signature], FeedRequest],
    reply: Callable[[FeedDone], Reply],
) -> Reply:
    """Raises what `check`, Sessions.feed and the engine raise."""
    call = CURRENT.get()
    call.sequence = ask.session_id
    door.execution.require_open()
    if (use := call.use()) is not None:
        use.require_model(ask.model)
    seen: list[tuple[Signature, FeedRequest]] = []

    def check_version(version: LoadedVersion) -> CheckedFeed:
        call.version = version.key
        signature = door.signatures.of(version)
        began = time.perf_counter()
        request = check(version, signature)
        call.input_seconds = time.perf_counter() - began
        call.implementation = request.feed.implementation or version.default_implementation
        if use is not None and request.checked is not None and not seen:
            use.spend(steps_in(request.checked.rows))
        seen.append((signature, request))
        return request.feed

    asked = Feed(
        check=check_version,
        start=ask.start,
        end=ask.end,
        restart=ask.restart,
        version=ask.version,
        position=ask.position,
        epoch=ask.epoch,
        deadline_seconds=ask.deadline_seconds,
        request_id=call.proxied_id(),
    )
    try:
        fed = await door.sessions.feed(ask.model, ask.session_id, asked)
    except Overloaded:
        if use is not None and seen and (checked := seen[0][1].checked) is not None:
            use.give_back(steps_in(checked.rows))
        raise
    signature, request = seen[-1]
    began = time.perf_counter()
    if fed.delivery is not None:
        call.implementation = fed.delivery.implementation
        call.queue_seconds, call.compute_seconds = fed.delivery.queue_seconds, fed.delivery.compute_seconds
    answer = reply(FeedDone(fed, signature, request.checked))
    call.output_seconds = time.perf_counter() - began
    return answer
