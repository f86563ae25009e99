"""The request parameters of the Open Inference Protocol that name a live sequence, read and checked. Knows no sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cellserve.service.api.feeding import require_position
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
    position, epoch = _position(parameters), _epoch(parameters)
    if not given:
        if not start:
            _require_no_sequence(end, position, epoch)
            return None
        given = int(new_integer_id()) if isinstance(given, int) else new_id()
    return SessionParameters(given, start, end, position, epoch)


def _require_no_sequence(end: bool, position: int | None, epoch: str | None) -> None:
    for name, present in ((_END, end), (_POSITION, position is not None), (_EPOCH, epoch is not None)):
        if present:
            raise InvalidInput(
                f"the request carries {name}, but no sequence_id (an int64 other than 0, or a string): which sequence is meant?",
                field=f"parameters.{name}",
            )


def _id(parameters: Mapping[str, InferParameter]) -> int | str:
    choice = _choice(parameters, _ID, ("int64_param", "string_param"), "an int64 or a string")
    if choice is None:
        return ""
    return int(parameters[_ID].int64_param) if choice == "int64_param" else str(parameters[_ID].string_param)


def _bool(parameters: Mapping[str, InferParameter], name: str) -> bool:
    return _choice(parameters, name, ("bool_param",), "a bool") is not None and bool(parameters[name].bool_param)


def _position(parameters: Mapping[str, InferParameter]) -> int | None:
    if _choice(parameters, _POSITION, ("int64_param",), "an int64") is None:
        return None
    return require_position(parameters[_POSITION].int64_param, f"parameters.{_POSITION}")


def _epoch(parameters: Mapping[str, InferParameter]) -> str | None:
    """None where it is absent or empty."""
    return _choice(parameters, _EPOCH, ("string_param",), "a string") and (parameters[_EPOCH].string_param or None)


def _choice(parameters: Mapping[str, InferParameter], name: str, expected: tuple[str, ...], words: str) -> str | None:
    """Which of the types expected it has; None where it is absent or has no value. Raises InvalidInput: another one.

    Asks only for names that are there: a protobuf map would make others.
    """
    choice: str | None = parameters[name].WhichOneof("parameter_choice") if name in parameters else None
    if choice is not None and choice not in expected:
        raise InvalidInput(
            f"the parameter {name} is {_GIVEN.get(choice, 'of another type')}, expected {words}", field=f"parameters.{name}"
        )
    return choice
