"""What the variables of a TorchScript program stand for while it is followed on paper. Knows no operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from cellserve.models.importers.pytorch.script.file import ScriptObject

Step = tuple[Literal["embedding", "recurrent", "linear", "function", "last"], str]
"""What happens, and to it: the module's place; of a function its name."""


class NotFollowed(Exception):
    """What the program does that cannot be told in layers."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A tensor: what has been done to the input so far. `axes`: "f" for features, numbers for the input's first two."""

    steps: tuple[Step, ...] = ()
    axes: tuple[object, ...] = (0, 1, "f")
    time: int | None = None  # which of the axes it is, once a recurrent module has said it
    nonlinearity: str | None = None  # of nn.RNN, which a state dict does not record


@dataclass(frozen=True, slots=True)
class FinalState:
    """[layers, batch, units] after a recurrent module; `last` is its top layer's output at the end, if one state says that."""

    last: Flow | None
    layers: int


@dataclass(frozen=True, slots=True)
class Array:
    """A parameter or buffer, by its place."""

    place: str


@dataclass(frozen=True, slots=True)
class Module:
    made: ScriptObject
    place: str  # with a dot behind it, unless it is the root


@dataclass(frozen=True, slots=True)
class Function:
    """A function of torch.nn.functional, by its name there."""

    name: str


class Unknown:
    """A number or an option that does not matter to what is computed."""


class Zeros:
    """What a state is before the first step."""


UNKNOWN: Final = Unknown()
ZEROS: Final = Zeros()


def are_zeros(value: Any) -> bool:
    return all(map(are_zeros, value)) if isinstance(value, list) else value is ZEROS


def matters(value: Any) -> bool:
    """Whether what is computed depends on it."""
    return isinstance(value, Flow | FinalState | Array) or (isinstance(value, list) and any(map(matters, value)))


def flows(value: Any) -> bool:
    """Whether it is, or holds, a tensor that layers have made."""
    return isinstance(value, Flow) or (isinstance(value, list) and any(map(flows, value)))
