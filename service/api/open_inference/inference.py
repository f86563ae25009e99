"""A ModelInferRequest answered, whether it came in a call of its own or on a stream. Messages in, messages out."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Final

from cellserve.service.api.door import CheckedRequest, Door
from cellserve.service.api.open_inference import inference_feed, padded, parameters, replies
from cellserve.service.api.open_inference.parameters import NO_PARAMETERS, RequestParameters
from cellserve.service.api.open_inference.usual import dense, reply_bytes
from cellserve.service.api.open_inference.usual.request_bytes import DenseRequest
from cellserve.service.api.requests import outputs
from cellserve.service.api.requests.implementations import Offer, choose
from cellserve.service.api.requests.outputs import WantedOutputs
from cellserve.service.api.requests.row_inputs import Limits, RunOptions, deadline
from cellserve.service.api.requests.signature import Signature
from cellserve.service.api.requests.tensors import Array, from_bytes, from_values, require_datatype
from cellserve.service.engine.batch import Delivery
from cellserve.service.errors import InvalidInput
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.lease import LoadedVersion

_TYPED_FIELDS: Final = {
    "FP32": "fp32_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
    "FP64": "fp64_contents",
}


def infer_dense(door: Door, request: DenseRequest, remaining_seconds: float | None) -> Awaitable[bytes]:
    """As `infer`; the bytes of the response."""
    ends_seconds = deadline(remaining_seconds, None)
    check = partial(_check_dense, door, request, ends_seconds)
    return door.run(request.model_name, request.model_version, check, partial(_reply_bytes, request.id))


async def infer(door: Door, request: pb.ModelInferRequest, remaining_seconds: float | None) -> pb.ModelInferResponse:
    """remaining_seconds: of the call, None for no limit. Raises what Door.run and feed raise, InvalidInput and NotOffered."""
    asked = parameters.read(request.parameters)
    ends_seconds = deadline(remaining_seconds, asked.timeout_seconds)
    check = partial(_check, door, request, asked, ends_seconds)
    if asked.session is not None:
        return await inference_feed.answer(door, request, asked.session, ends_seconds, check)
    return await door.run(request.model_name, request.model_version, check, partial(_reply, request.id))


def _check(
    door: Door,
    request: pb.ModelInferRequest,
    asked: RequestParameters,
    ends_seconds: float | None,
    version: LoadedVersion,
    signature: Signature,
) -> CheckedRequest:
    limits = door.limits_of(version.key.model)
    tensor = dense.tensor_in(request) if asked is NO_PARAMETERS else None
    checked = dense.check(tensor, signature, limits, ends_seconds)
    return checked or check_any(request, asked, ends_seconds, version, signature, limits)


def _check_dense(
    door: Door, request: DenseRequest, ends_seconds: float | None, version: LoadedVersion, signature: Signature
) -> CheckedRequest:
    limits = door.limits_of(version.key.model)
    checked = dense.check(request.tensor, signature, limits, ends_seconds)
    return checked or check_any(request.parsed(), NO_PARAMETERS, ends_seconds, version, signature, limits)


def check_any(
    request: pb.ModelInferRequest,
    asked: RequestParameters,
    ends_seconds: float | None,
    offer: Offer,
    signature: Signature,
    limits: Limits,
) -> CheckedRequest:
    """offer: the version's. Raises InvalidInput, NotOffered, and what `choose` raises."""
    wanted = _wanted(request, asked, signature)
    rows = padded.rows(signature, _arrays(request, signature), limits)
    outputs.require_reply_fits(signature, wanted, rows, limits)
    implementation = choose(asked.implementation, asked.precision, offer, "parameters.")
    return CheckedRequest(rows, RunOptions(implementation, wanted.want_state, ends_seconds, asked.priority), wanted)


def _reply(
    request_id: str, version: LoadedVersion, signature: Signature, checked: CheckedRequest, done: list[Delivery]
) -> pb.ModelInferResponse:
    return replies.infer_response(request_id, version.key, signature, checked.wanted, checked.rows, done)


def _reply_bytes(
    request_id: str, version: LoadedVersion, signature: Signature, checked: CheckedRequest, done: list[Delivery]
) -> bytes:
    return reply_bytes.infer_response(request_id, version.key, signature, checked.wanted, checked.rows, done)


def _wanted(request: pb.ModelInferRequest, asked: RequestParameters, signature: Signature) -> WantedOutputs:
    asked_for = list(request.outputs)
    for output in asked_for:
        if output.parameters:
            parameters.require_plain_tensor(output.name, output.parameters)
    return WantedOutputs.of(signature, [output.name for output in asked_for], asked.return_state)


def _arrays(request: pb.ModelInferRequest, signature: Signature) -> dict[str, Array]:
    """Every input by name. Raises InvalidInput: names, datatypes, byte counts; NotOffered: shared memory."""
    inputs = list(request.inputs)  # each look at a repeated field makes its objects anew
    for given in inputs:
        if given.parameters:  # before anything is counted: a tensor in shared memory has no entry among the raw ones
            parameters.require_plain_tensor(given.name, given.parameters)
    raw = request.raw_input_contents
    if raw and len(raw) != len(inputs):
        raise InvalidInput(
            f"there are {len(inputs)} inputs, but {len(raw)} entries in raw_input_contents; one belongs to each",
            field="raw_input_contents",
        )
    arrays: dict[str, Array] = {}
    for position, given in enumerate(inputs):
        name = given.name
        field = padded.field_of(name[:64])
        require_datatype(name, given.datatype, padded.datatypes(signature, name), field)
        if name in arrays:
            raise InvalidInput(f"the input {name!r} is given twice", field=field)
        if not raw:
            arrays[name] = _typed(given, field)
        elif given.HasField("contents") and given.contents.ByteSize():
            raise InvalidInput(f"{name!r} has typed contents beside raw_input_contents; send one of the two", field=field)
        else:
            arrays[name] = from_bytes(name, given.datatype, given.shape, raw[position], field)
    return arrays


def _typed(given: pb.ModelInferRequest.InferInputTensor, field: str) -> Array:
    typed = _TYPED_FIELDS.get(given.datatype)
    if typed is None:
        raise InvalidInput(
            f"{given.name!r} is {given.datatype}, which the protocol carries in raw_input_contents only", field=field
        )
    found = [filled.name for filled, _ in given.contents.ListFields()]
    if any(name != typed for name in found):
        raise InvalidInput(
            f"{given.name!r} has values in {' and '.join(found)}; those of {given.datatype} belong into {typed}, none beside",
            field=field,
        )
    values = getattr(given.contents, typed)
    return from_values(given.name, given.datatype, given.shape, values, len(values), field)
