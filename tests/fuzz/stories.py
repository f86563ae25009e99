"""Stories of one live sequence: it is begun and fed, then comes a message that is right or not, and what must hold after it.

Told in calls, on one typed stream, or by the Open Inference Protocol. Knows no channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from cellserve.service.pb import cellserve_pb2 as typed
from tests.fuzz import infer_feeds, infer_requests, sequence_requests
from tests.fuzz.cases import FEED, GET, INFER, OPEN, PERMITTED, PERMITTED_OF_SEQUENCES, STREAMS, TYPED, Case, Story
from tests.fuzz.damage import damaged
from tests.fuzz.infer_requests import OK, UNKNOWN
from tests.fuzz.sequence_requests import BEFORE, Mutation
from tests.fuzz.targets import Target
from tests.fuzz.tensor_mutations import are_sound

_MUTATIONS: Final = (0, 1, 1, 1, 1, 2, 3)
_FIELDS: Final = {OPEN: 5, FEED: 6, f"{TYPED}Snapshot": 7, f"{TYPED}Close": 8}  # of StreamRequest
_GONE: Final = -1


class _Event(NamedTuple):
    """What happens to the sequence. stands: where it must be afterwards, _GONE, or None where that is not known."""

    case: Case
    stands: int | None


@st.composite
def stories(draw: st.DrawFn, target: Target) -> Story:
    if draw(st.sampled_from((True, False, False))):
        return draw(_by_inference(target))
    event = draw(_event(target))
    cases = [*_begun(target), event.case, *_aftermath(target, event.stands)]
    if not target.causal:
        return Story(tuple(replace(case, codes=_of_no_sequence(case), position=None) for case in cases))
    if all(case.method in _FIELDS for case in cases) and draw(st.booleans()):
        return Story((_on_one_stream(cases),))
    return Story(tuple(cases))


@st.composite
def _event(draw: st.DrawFn, target: Target) -> _Event:
    """A message about the live sequence, mutated up to three times. What one mutation may lead to is known exactly."""
    kind = draw(st.sampled_from(sequence_requests.kinds(target)))
    message, codes, stands = kind.good(draw, target)
    method = TYPED + kind.method
    if draw(st.sampled_from((False,) * 7 + (True,))):
        return _Event(Case(method, (draw(damaged(message.SerializeToString())),), ("damaged",), PERMITTED_OF_SEQUENCES), None)
    led_to, what = _mutated(draw, message, kind.mutations, are_sound)
    after: int | None = _GONE if stands is None else stands
    if len(led_to) == 1:
        codes = led_to[0] if codes == OK else codes | led_to[0]
        after = None if codes & OK else BEFORE
    elif led_to:
        codes, after = PERMITTED_OF_SEQUENCES, None
    position = None if led_to or after == _GONE else after
    return _Event(Case(method, (message.SerializeToString(),), (kind.method, *what), codes, position=position), after)


def _mutated(
    draw: st.DrawFn, message: Any, mutations: Sequence[Mutation], is_sound: Callable[[Any], bool]
) -> tuple[list[frozenset[str]], list[str]]:
    led_to: list[frozenset[str]] = []
    what: list[str] = []
    for _ in range(draw(st.sampled_from(_MUTATIONS))):
        if not is_sound(message):
            break
        mutate = draw(st.sampled_from(mutations))
        codes = mutate(draw, message)
        if codes:
            what.append(mutate.__name__.removeprefix("_"))
            led_to.append(codes)
    return led_to, what or ["good"]


def _begun(target: Target) -> list[Case]:
    before = sequence_requests.before(target).SerializeToString()
    return [
        Case(OPEN, (sequence_requests.opening(target).SerializeToString(),), ("begun",), OK),
        Case(FEED, (before,), ("begun",), OK, position=BEFORE),
    ]


def _aftermath(target: Target, stands: int | None) -> list[Case]:
    end = Case(f"{TYPED}Close", (sequence_requests.closing(target).SerializeToString(),), ("end",), OK | UNKNOWN)
    if stands is None:
        return [end]
    if stands == _GONE:
        get = typed.GetRequest(model=target.model, sequence_id=sequence_requests.NAME)
        return [Case(GET, (get.SerializeToString(),), ("gone",), UNKNOWN)]
    standing = typed.FeedRequest(model=target.model, sequence_id=sequence_requests.NAME, position=stands)
    return [Case(FEED, (standing.SerializeToString(),), ("aftermath",), OK, position=stands), replace(end, codes=OK)]


def _on_one_stream(cases: Sequence[Case]) -> Case:
    messages = []
    for number, case in enumerate(cases):
        (message,) = case.messages
        envelope = typed.StreamRequest(id=str(number)).SerializeToString()
        messages.append(envelope + varint(_FIELDS[case.method] << 3 | 2) + varint(len(message)) + message)
    what = tuple(word for case in cases for word in case.what)
    if "damaged" in what:
        return Case(STREAMS[1], tuple(messages), what)
    return Case(STREAMS[1], tuple(messages), what, OK, answers=tuple(case.codes for case in cases))


def _of_no_sequence(case: Case) -> frozenset[str]:
    """Of a model that needs whole sequences no sequence is ever live; only the list of none is an answer."""
    return frozenset(("FAILED_PRECONDITION", "NOT_FOUND", "INVALID_ARGUMENT")) | (
        OK if case.method.endswith("List") else frozenset()
    )


@st.composite
def _by_inference(draw: st.DrawFn, target: Target) -> Story:
    start = draw(infer_feeds.start(target))
    stood = infer_feeds.steps(start)
    feed = draw(infer_feeds.feed(target, stood))
    stands: int | None = stood + infer_feeds.steps(feed)
    led_to, what = _mutated(draw, feed, infer_feeds.MUTATIONS, infer_requests.is_sound)
    codes = OK
    if led_to:
        codes = led_to[0] if len(led_to) == 1 else PERMITTED
        stands = None if codes & OK else stood
    messages = start.SerializeToString(), feed.SerializeToString()
    if draw(st.sampled_from((True, False, False))):
        return Story((Case(STREAMS[0], messages, ("stream", *what)),))
    begun, fed = Case(INFER, messages[:1], ("begun",), OK), Case(INFER, messages[1:], ("ModelInfer", *what), codes)
    if not target.causal:
        return Story((replace(begun, codes=_of_no_sequence(begun)), replace(fed, codes=PERMITTED)))
    return Story((begun, fed, *_aftermath(target, stands)))


def varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(data) + bytes((number,))
