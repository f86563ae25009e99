"""The bytes of a usual ModelInferRequest, read without making a message of them: one dense tensor, raw, at their end.

Whatever stands before the tensor's own bytes, a client's requests have in common, but for their ids and lengths; so it is parsed
once and remembered. Any other request is parsed as a message, and so is whoever is wrong: every answer is the one of that way.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from cellserve.service.api.open_inference.usual.dense import DenseTensor, tensor_in
from cellserve.service.pb import open_inference_pb2 as pb

_FIELDS: Final = pb.ModelInferRequest.DESCRIPTOR.fields_by_name


def _tag(name: str) -> int:
    """Of a field whose values have lengths."""
    return _FIELDS[name].number << 3 | 2


_ID: Final = _tag("id")
_RAW: Final = _tag("raw_input_contents")
_BEFORE: Final = frozenset(map(_tag, ("model_name", "model_version", "inputs")))
_MOST_HEAD_BYTES: Final = 512
_MOST_HEADS: Final = 4096
_MORE: Final = 0x80  # of a byte of a number: another one follows
_MOST_SHIFT: Final = 28  # a message has less than 2 GiB


class _Head(NamedTuple):
    model_name: str
    model_version: str
    name: str
    shape: tuple[int, ...]


class DenseRequest(NamedTuple):
    """What is asked of a ModelInferRequest that asks for nothing beside its outputs. message: all of it."""

    model_name: str
    model_version: str
    id: str
    tensor: DenseTensor
    message: bytes

    def parsed(self) -> pb.ModelInferRequest:
        return pb.ModelInferRequest.FromString(self.message)


class RequestReader:
    """Of all clients: what they send before their tensors is remembered, but no more than a few thousand different ones."""

    def __init__(self) -> None:
        self._heads: dict[bytes, _Head | None] = {}  # None: of another kind

    def read(self, message: bytes) -> DenseRequest | pb.ModelInferRequest:
        """Raises DecodeError."""
        return self._dense(message) or pb.ModelInferRequest.FromString(message)

    def _dense(self, message: bytes) -> DenseRequest | None:
        try:
            at, id_begin, id_end = _places(message)
            if at < 0:
                return None
            data = _last_value(message, at)
        except IndexError:  # it ends too early
            return None
        head = message[:at] if not id_end else message[:id_begin] + message[id_end:at]
        known = self._heads[head] if head in self._heads else self._learn(head)
        if known is None or data is None:
            return None
        request_id = "" if not id_end else _id(message[id_begin:id_end])
        if request_id is None:
            return None
        return DenseRequest(
            known.model_name, known.model_version, request_id, DenseTensor(known.name, known.shape, data), message
        )

    def _learn(self, head: bytes) -> _Head | None:
        if len(head) > _MOST_HEAD_BYTES:
            return None
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        made = self._heads[head] = _read(head)
        return made


def _read(head: bytes) -> _Head | None:
    try:
        request = pb.ModelInferRequest.FromString(head)
    except DecodeError:
        return None
    request.raw_input_contents.append(b"")
    tensor = tensor_in(request)
    return None if tensor is None else _Head(request.model_name, request.model_version, tensor.name, tensor.shape)


def _places(message: bytes) -> tuple[int, int, int]:
    """Where the tensor's bytes have their tag, and the id its field, 0 and 0 for none; -1 where something else stands before."""
    at = id_begin = id_end = 0
    while (tag := message[at]) != _RAW:
        size, begin = message[at + 1], at + 2
        if size & _MORE:
            size, begin = size & 0x7F | message[begin] << 7, begin + 1
            if size >= 1 << 14:  # its second byte is not its last
                return -1, 0, 0
        if tag == _ID:
            if id_end:
                return -1, 0, 0
            id_begin, id_end = at, begin + size
        elif tag not in _BEFORE:
            return -1, 0, 0
        at = begin + size
    return at, id_begin, id_end


def _last_value(message: bytes, at: int) -> bytes | None:
    """Of the field there; None if anything comes behind it."""
    at += 1
    size = shift = 0
    while (byte := message[at]) & _MORE:
        size |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > _MOST_SHIFT:
            return None
    size |= byte << shift
    return message[at + 1 :] if at + 1 + size == len(message) else None


def _id(field: bytes) -> str | None:
    """None: it is no text."""
    try:
        return field[2 if not field[1] & _MORE else 3 :].decode()
    except UnicodeDecodeError:
        return None
