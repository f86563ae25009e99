"""The request parameters of the Open Inference Protocol, read and checked. Unknown ones are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cellserve.service.api.open_inference import session_parameters
from cellserve.service.api.open_inference.session_parameters import SessionParameters
from cellserve.service.errors import InvalidInput, NotOffered
from cellserve.service.pb.open_inference_pb2 import InferParameter

Value = bool | int | float | str | None

_UNSUPPORTED_ON_TENSORS: Final = ("shared_memory_region", "classification")


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """implementation, precision: as asked, "" for none. timeout_seconds: longest wait, or None. session: None for none."""

    implementation: str = ""
    precision: str = ""
    return_state: bool = False
    timeout_seconds: float | None = None
    priority: int = 0
    session: SessionParameters | None = None


NO_PARAMETERS: Final = RequestParameters()


def read(parameters: Mapping[str, InferParameter]) -> RequestParameters:
    """Raises InvalidInput: a parameter of the wrong type or range."""
    if not parameters:
        return NO_PARAMETERS
    values = {name: _value(parameter) for name, parameter in parameters.items()}
    return RequestParameters(
        implementation=_implementation(values.get("implementation")),
        precision=_string("precision", values.get("precision")),
        return_state=_bool("return_state", values.get("return_state")),
        timeout_seconds=_timeout_seconds(values.get("timeout")),
        priority=_integer("priority", values.get("priority")),
        session=session_parameters.read(parameters),
    )


def require_plain_tensor(name: str, parameters: Mapping[str, InferParameter]) -> None:
    """Raises NotOffered: a tensor in shared memory, or an output as classes."""
    for parameter in _UNSUPPORTED_ON_TENSORS:
        if parameter in parameters:
            raise NotOffered(
                f"{name[:64]!r} carries {parameter}, which this server does not offer; send and receive tensors in the messages",
                field=f"{name[:64]}.parameters.{parameter}",
            )


def _value(parameter: InferParameter) -> Value:
    choice = parameter.WhichOneof("parameter_choice")
    value: Value = None if choice is None else getattr(parameter, choice)
    return value


def _implementation(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)  # clients that send 2 mean "2"
    raise _wrong_type("implementation", value, "a string")


def _string(name: str, value: Value) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise _wrong_type(name, value, "a string")


def _bool(name: str, value: Value) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _wrong_type(name, value, "a bool")


def _integer(name: str, value: Value) -> int:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value or 0
    raise _wrong_type(name, value, "an integer")


def _timeout_seconds(value: Value) -> float | None:
    microseconds = _integer("timeout", value)
    if microseconds < 0:
        raise InvalidInput(f"timeout is {microseconds}, expected 0 (none) or more microseconds", field="parameters.timeout")
    return microseconds / 1e6 if microseconds else None


def _wrong_type(name: str, value: Value, expected: str) -> InvalidInput:
    given = {bool: "a bool", int: "an integer", float: "a float", str: "a string"}.get(type(value), "nothing")
    return InvalidInput(f"the parameter {name} is {given}, expected {expected}", field=f"parameters.{name}")
