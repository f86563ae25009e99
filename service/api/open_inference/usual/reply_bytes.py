"""The bytes of the usual ModelInferResponse, written without making a message: what a version's replies have in common, once.

Parsed, they are the message that replies.py makes of the same deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cellserve.service.api.open_inference import replies
from cellserve.service.api.requests.outputs import WantedOutputs
from cellserve.service.api.requests.row_inputs import RowInputs
from cellserve.service.api.requests.signature import Signature
from cellserve.service.engine.batch import Delivery
from cellserve.service.pb import open_inference_pb2 as pb

_FIELDS: Final = pb.ModelInferResponse.DESCRIPTOR.fields_by_name
_PARAMETERS: Final = pb.ModelInferResponse.ParametersEntry.DESCRIPTOR.fields_by_name
_CHOICES: Final = pb.InferParameter.DESCRIPTOR.fields_by_name
_NUMBER, _BYTES = 0, 2  # how a field's value is written
_MORE: Final = 0x80


def _tag(field: object, kind: int) -> bytes:
    number: int = field.number  # type: ignore[attr-defined]  # of a descriptor
    return bytes((number << 3 | kind,))


_ID, _RAW = _tag(_FIELDS["id"], _BYTES), _tag(_FIELDS["raw_output_contents"], _BYTES)
_PARAMETER, _KEY, _VALUE = (
    _tag(_FIELDS["parameters"], _BYTES),
    _tag(_PARAMETERS["key"], _BYTES),
    _tag(_PARAMETERS["value"], _BYTES),
)
_INTEGER: Final = _tag(_CHOICES["int64_param"], _NUMBER)


def infer_response(
    request_id: str,
    version: tuple[str, int],
    signature: Signature,
    wanted: WantedOutputs,
    rows: RowInputs,
    done: Sequence[Delivery],
) -> bytes:
    """As replies.infer_response."""
    tensors = replies.tensors(signature, wanted, rows, done)
    implementation, *numbers = replies.parameters(done)
    parts = [_about(version, implementation[1])]
    if request_id:
        encoded = request_id.encode()
        parts += (_ID, number(len(encoded)), encoded)
    parts += [_integer(name, value) for name, value in numbers]
    parts.append(_outputs(tuple((name, tuple(shape)) for name, shape, _ in tensors)))
    for _, _, data in tensors:
        parts += (_RAW, number(len(data)), data)
    return b"".join(parts)


@lru_cache(maxsize=4096)
def number(value: int) -> bytes:
    """Of 64 bits, a negative one too, seven at a time."""
    if 0 <= value < _MORE:
        return bytes((value,))
    value &= (1 << 64) - 1
    written = bytearray()
    while value >= _MORE:
        written.append(value & 0x7F | _MORE)
        value >>= 7
    written.append(value)
    return bytes(written)


@lru_cache(maxsize=4096)  # microseconds of requests that wait and compute shortly come again and again
def _integer(name: str, value: int) -> bytes:
    key, written = name.encode(), _INTEGER + number(value)
    entry = _KEY + number(len(key)) + key + _VALUE + number(len(written)) + written
    return _PARAMETER + number(len(entry)) + entry


@lru_cache(maxsize=1024)
def _about(version: tuple[str, int], implementation: str) -> bytes:
    response = pb.ModelInferResponse(model_name=version[0], model_version=str(version[1]))
    response.parameters[replies.IMPLEMENTATION].string_param = implementation
    return response.SerializeToString()


@lru_cache(maxsize=4096)
def _outputs(described: tuple[tuple[str, tuple[int, ...]], ...]) -> bytes:
    """described: names and shapes, in order."""
    response = pb.ModelInferResponse()
    for name, shape in described:
        response.outputs.add(name=name, datatype="FP32", shape=shape)
    return response.SerializeToString()
