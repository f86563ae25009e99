"""A ModelInferRequest that feeds a live sequence. Messages in, messages out; how the request is read is the caller's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cellserve.service.api.door import CheckedRequest, Door
from cellserve.service.api.feeding import FeedAsk, FeedDone, FeedRequest, feed
from cellserve.service.api.open_inference import padded, replies
from cellserve.service.api.open_inference.session_parameters import SessionParameters
from cellserve.service.api.requests.signature import STATE_PREFIX, Signature
from cellserve.service.errors import InvalidInput
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.lease import LoadedVersion

_SEQUENCE_ID: Final = "sequence_id"
_POSITION: Final = "position"
_EPOCH: Final = "epoch"


async def answer(
    door: Door,
    request: pb.ModelInferRequest,
    session: SessionParameters,
    ends_seconds: float | None,
    check: Callable[[LoadedVersion, Signature], CheckedRequest],
) -> pb.ModelInferResponse:
    """A start on a live id restarts it, as Triton has it, so that a start may be sent again. Raises what `feed` raises."""

    def check_feed(version: LoadedVersion, signature: Signature) -> FeedRequest:
        _require_no_second_state(request, session)
        return FeedRequest.of_one_row(check(version, signature), padded.field_of(signature.inputs[0].name))

    def reply(done: FeedDone) -> pb.ModelInferResponse:
        return _reply(request.id, session.sequence_id, done)

    ask = FeedAsk(
        model=request.model_name,
        session_id=session.key,
        start=session.start,
        end=session.end,
        restart=session.start,
        version=request.model_version,
        position=session.position,
        epoch=session.epoch,
        deadline_seconds=ends_seconds,
    )
    return await feed(door, ask, check_feed, reply)


def _require_no_second_state(request: pb.ModelInferRequest, session: SessionParameters) -> None:
    for given in request.inputs:
        if given.name.startswith(STATE_PREFIX) and not session.start:
            raise InvalidInput(
                f"{given.name[:64]!r} is given, but a live sequence has a state of its own; send it with sequence_start",
                field=padded.field_of(given.name[:64]),
            )


def _reply(request_id: str, sequence_id: int | str, done: FeedDone) -> pb.ModelInferResponse:
    fed, checked = done.fed, done.checked
    if fed.delivery is None or checked is None:
        raise RuntimeError("a feed of time steps was answered without outputs")
    response = replies.infer_response(request_id, fed.version.key, done.signature, checked.wanted, checked.rows, [fed.delivery])
    if isinstance(sequence_id, int):
        response.parameters[_SEQUENCE_ID].int64_param = sequence_id
    else:
        response.parameters[_SEQUENCE_ID].string_param = sequence_id
    response.parameters[_POSITION].int64_param = fed.position
    response.parameters[_EPOCH].string_param = fed.epoch
    return response
