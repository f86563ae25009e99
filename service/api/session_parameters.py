"""The request parameters of the Open Inference Protocol that name a live sequence, read and checked. Knows no sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cellserve.service.errors import InvalidInput
from cellserve.service.pb.open_inference_pb2 import InferParameter
from cellserve.service.sessions.ids import new_id, new_integer_id

_ID: Final = "sequence_id"
_START: Final = "sequence_start"
_END: Final = "sequence_end"
_POSITION: Final = "position"
_EPOCH: Final = "epoch"
_NAMES: Final = (_ID, _START, _END, _POSITION, _EPOCH)

_GIVEN: Final = {
    "bool_param": "a bool",
    "int64_param": "an int64",
    "uint64_param": "a uint64",
    "double_param": "a double",
    "string_param": "a string",
    None: "empty",
}


@dataclass(frozen=True, slots=True)
class SessionParameters:
    """What a request says of its live sequence.

    sequence_id: as the client named it, or as it is named here for a client that begins one without an id; replies repeat it
    in this type. position: time steps consumed before this request, None where the client does not count.
    """

    sequence_id: int | str
    start: bool
    end: bool
    position: int | None
    epoch: str | None

    @property
    def key(self) -> str:
        """What the server calls the sequence: 5 and "5" are the same."""
        return str(self.sequence_id)


def read(parameters: Mapping[str, InferParameter]) -> SessionParameters | None:
    """None: the request belongs to no live sequence. Raises InvalidInput: a parameter of the wrong type, or without an id."""
    if not any(name in parameters for name in _NAMES):
        return None
    given = _id(parameters)
    start, end = _bool(parameters, _START), _bool(parameters, _END)
    position, epoch = _position(parameters), _string(parameters, _EPOCH)
    if not given:
        if not start:
            _require_no_sequence(end, position, epoch)
            return None
        given = int(new_integer_id()) if _choice(parameters, _ID) == "int64_param" else new_id()
    return SessionParameters(given, start, end, position, epoch)


def _require_no_sequence(end: bool, position: int | None, epoch: str | None) -> None:
    for name, present in ((_END, end), (_POSITION, position is not None), (_EPOCH, epoch is not None)):
        if present:
            raise InvalidInput(
                f"the request carries {name}, but no sequence_id (an int64 other than 0, or a string): which sequence is meant?",
                field=f"parameters.{name}",
            )


def _id(parameters: Mapping[str, InferParameter]) -> int | str:
    choice = _choice(parameters, _ID)
    if choice == "int64_param":
        return int(parameters[_ID].int64_param)
    if choice == "string_param":
        return str(parameters[_ID].string_param)
    if _ID not in parameters:
        return ""
    raise _wrong_type(parameters, _ID, "an int64 or a string")


def _bool(parameters: Mapping[str, InferParameter], name: str) -> bool:
    if name in parameters and _choice(parameters, name) != "bool_param":
        raise _wrong_type(parameters, name, "a bool")
    return name in parameters and bool(parameters[name].bool_param)


def _position(parameters: Mapping[str, InferParameter]) -> int | None:
    if _POSITION not in parameters:
        return None
    if _choice(parameters, _POSITION) != "int64_param":
        raise _wrong_type(parameters, _POSITION, "an int64")
    return require_position(parameters[_POSITION].int64_param, f"parameters.{_POSITION}")


def require_position(position: int, field: str) -> int:
    """Raises InvalidInput: no sequence can have consumed fewer than 0 steps."""
    if position < 0:
        raise InvalidInput(f"position is {position}; expected the time steps consumed so far, 0 or more", field=field)
    return position


def _string(parameters: Mapping[str, InferParameter], name: str) -> str | None:
    """None where it is absent or empty."""
    if name not in parameters:
        return None
    if _choice(parameters, name) != "string_param":
        raise _wrong_type(parameters, name, "a string")
    return parameters[name].string_param or None


def _choice(parameters: Mapping[str, InferParameter], name: str) -> str | None:
    """Which type it has. Asks only for names that are there: a protobuf map would make others."""
    return parameters[name].WhichOneof("parameter_choice") if name in parameters else None


def _wrong_type(parameters: Mapping[str, InferParameter], name: str, expected: str) -> InvalidInput:
    given = _GIVEN.get(_choice(parameters, name), "something else")
    return InvalidInput(f"the parameter {name} is {given}, expected {expected}", field=f"parameters.{name}")
