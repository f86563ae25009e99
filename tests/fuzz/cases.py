"""One case: bytes for a method, and the statuses it may end with. Judges what came back. Knows no strategy and no channel."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Final

from cellserve.service.api.status import CODES
from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as oip

INFERENCE: Final = "/inference.GRPCInferenceService/"
TYPED: Final = "/cellserve.v1.Sequences/"
INFER: Final = f"{INFERENCE}ModelInfer"
RUN: Final = f"{TYPED}Run"
OPEN: Final = f"{TYPED}Open"
FEED: Final = f"{TYPED}Feed"
GET: Final = f"{TYPED}Get"
STREAMS: Final = (f"{INFERENCE}ModelStreamInfer", f"{TYPED}Stream")

NAMELESS: Final = b"#" * 32
CUT: Final = "CUT"  # a stream that ended while the client still sent, with a status that the client has lost

# What a request of any kind may end with. Everything else is a fault of the server.
PERMITTED: Final = frozenset(
    (
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "UNIMPLEMENTED",
        "FAILED_PRECONDITION",
        "RESOURCE_EXHAUSTED",
        "DEADLINE_EXCEEDED",
    )
)
PERMITTED_OF_SEQUENCES: Final = PERMITTED | {"ALREADY_EXISTS"}
_PERMITTED_ON_STREAMS: Final = PERMITTED_OF_SEQUENCES | {"CANCELLED"}
_LEAKS: Final = ("Traceback", "object at 0x", "<class ", "grpc.aio", "numpy", "torch", 'File "')
_REASON: Final = re.compile(r"\[([A-Z_]+)\] \S")
_SHOWN_BYTES: Final = 500
_OF_GRPC_ITSELF: Final = ("larger than max", "Method not found")  # said before the server's own code sees the call


@dataclass(frozen=True, slots=True)
class Case:
    """messages: one, or on a stream any number. what: how it was made, for whoever reads a failure.

    answers: on a typed stream, the statuses that the request whose id is its place may be answered with. position: time steps
    that the live sequence has consumed, as the reply must say; None where that is not known.
    """

    method: str
    messages: tuple[bytes, ...]
    what: tuple[str, ...]
    codes: frozenset[str] = field(default=PERMITTED)
    answers: tuple[frozenset[str], ...] = ()
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Cases about one live sequence, sent one after the other. Its messages call it NAMELESS."""

    cases: tuple[Case, ...]

    def named(self, name: bytes) -> Story:
        """name: as long as NAMELESS, since messages count their bytes."""
        return Story(
            tuple(replace(case, messages=tuple(each.replace(NAMELESS, name) for each in case.messages)) for case in self.cases)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. replies: serialized."""

    code: str
    details: str
    replies: tuple[bytes, ...] = ()


def fault(case: Case, outcome: Outcome) -> str | None:
    """What is wrong with the server, if anything is."""
    if outcome.code == CUT and case.method in STREAMS and not case.answers:
        return None
    if outcome.code not in case.codes:
        return f"ended with {outcome.code}, expected {' or '.join(sorted(case.codes))}"
    if outcome.code != "OK":
        return _fault_of_refusal(case, outcome.code, outcome.details)
    if case.method == INFER:
        return _fault_of_infer(
            oip.ModelInferRequest.FromString(case.messages[0]).id, oip.ModelInferResponse.FromString(outcome.replies[0])
        )
    if case.method == RUN:
        return _fault_of_run(typed.RunReply.FromString(outcome.replies[0]))
    if case.method == FEED:
        return _fault_of_feed(case, typed.FeedReply.FromString(outcome.replies[0]))
    if case.method == GET:
        return _fault_of_position(case, typed.SequenceInfo.FromString(outcome.replies[0]).position)
    return _fault_of_stream(case, outcome.replies) if case.method in STREAMS else None


def told(case: Case, outcome: Outcome, wrong: str) -> str:
    """A failure for a person; of long messages the beginning."""
    messages = "\n".join(f"  {message[:_SHOWN_BYTES]!r}" for message in case.messages)
    return f"{case.method} {', '.join(case.what)}: {wrong}\n  {outcome.code}: {outcome.details}\n{messages}"


def _fault_of_refusal(case: Case, code: str, details: str) -> str | None:
    for leak in _LEAKS:
        if leak in details and not any(leak.encode() in message for message in case.messages):
            return f"the sentence shows {leak!r}"
    if any(words in details for words in _OF_GRPC_ITSELF):
        return None
    reason = _REASON.match(details)
    if reason is None:
        return "the sentence begins with no reason"
    if CODES[reason[1]].name != code:
        return f"the reason {reason[1]} does not belong to {code}"
    return None


def _fault_of_infer(request_id: str, reply: oip.ModelInferResponse) -> str | None:
    if reply.id != request_id:
        return f"the id {request_id!r} came back as {reply.id!r}"
    sizes = [4 * math.prod(output.shape) for output in reply.outputs]
    given = [len(raw) for raw in reply.raw_output_contents]
    return None if sizes == given else f"outputs of {given} bytes under shapes that need {sizes}"


def _fault_of_stream(case: Case, replies: tuple[bytes, ...]) -> str | None:
    """Errors of single requests travel in replies, and are judged like those of calls."""
    if len(replies) > len(case.messages) or (case.answers and len(replies) < len(case.messages)):
        return f"{len(replies)} replies to {len(case.messages)} requests"
    for reply in replies:
        if case.method == STREAMS[0]:
            sentence = oip.ModelStreamInferResponse.FromString(reply).error_message
            permitted = _PERMITTED_ON_STREAMS
        else:
            answer = typed.StreamReply.FromString(reply)
            sentence = f"[{answer.error.reason}] {answer.error.message}" if answer.error.reason else ""
            permitted = case.answers[int(answer.id)] if case.answers else _PERMITTED_ON_STREAMS
        reason = _REASON.match(sentence)
        code = "OK" if not sentence else CODES[reason[1]].name if reason else "UNKNOWN"
        if code not in permitted:
            return f"a reply on the stream is {code}, expected {' or '.join(sorted(permitted))}: {sentence[:_SHOWN_BYTES]}"
        wrong = _fault_of_refusal(case, code, sentence) if sentence else None
        if wrong is not None:
            return f"{wrong}: {sentence[:_SHOWN_BYTES]}"
    return None


def _fault_of_run(reply: typed.RunReply) -> str | None:
    tensors = [output.tensor for output in reply.outputs] + list(reply.state.values())
    sizes = [4 * math.prod(tensor.shape) for tensor in tensors]
    given = [len(tensor.data) for tensor in tensors]
    return None if sizes == given else f"tensors of {given} bytes under shapes that need {sizes}"


def _fault_of_feed(case: Case, reply: typed.FeedReply) -> str | None:
    return _fault_of_position(case, reply.position) or _fault_of_run(reply.answer)


def _fault_of_position(case: Case, position: int) -> str | None:
    if case.position in (None, position):
        return None
    return f"the sequence stands at {position}, expected {case.position}"
