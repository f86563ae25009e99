"""What the variables of a TorchScript program stand for while it is followed. Knows no operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from cellserve.models.importers.pytorch.script.file import ScriptObject


class NotFollowed(Exception):
    """What the program does that cannot be followed. `placed`: whether the message names the line."""

    def __init__(self, what: str, *, placed: bool = False) -> None:
        super().__init__(what)
        self.placed = placed


@dataclass(frozen=True, slots=True)
class Traced:
    """A tensor of the program with its value for the example; `fed`: whether it depends on what the program is given."""

    name: str
    value: torch.Tensor
    fed: bool


@dataclass(frozen=True, slots=True)
class Count:
    """A number that depends on sizes of the inputs: on those of the names `of`. `name`: in the program; "": it has none there."""

    name: str
    value: Any
    of: frozenset[str]


@dataclass(frozen=True, slots=True)
class Missing:
    """What an operation would have made that is not run here: nothing may need it. `why`: for whom does."""

    why: str


@dataclass(frozen=True, slots=True)
class Module:
    made: ScriptObject
    place: str  # with a dot behind it, unless it is the root


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the program's own code, by its qualified name."""

    name: str
