"""A call as the function that translates it sees it: its arguments as tensors, numbers and constants. Knows no operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cellserve.models.importers.pytorch.export.drawing import Drawing, Size
from cellserve.models.importers.pytorch.export.program import Call, Named


class NotDrawn(Exception):
    """An operation, or a use of one, that has no translation; the message says what."""


@dataclass(frozen=True, slots=True)
class Site:
    """`scope`: of every name so far the tensor of the drawing, a constant of torch's, or a whole number.

    `shapes`: of every tensor, as far as it is fixed. `example_sizes`: those that the program's inputs had, the likeliest to be a
    number of steps first.
    """

    call: Call
    drawing: Drawing
    scope: Mapping[str, Any]
    shapes: Mapping[str, Sequence[int | None]]
    example_sizes: Sequence[int] = ()

    def value(self, argument: str, default: Any = None) -> Any:
        found = self.call.given.get(argument, default)
        return self.scope[found.name] if isinstance(found, Named) else found

    def tensor(self, argument: str) -> str:
        """Raises NotDrawn: it has none of this name."""
        return self.drawn(self.call.given.get(argument))

    def tensors(self, argument: str) -> list[str]:
        found = self.call.given.get(argument)
        if not isinstance(found, list):
            raise NotDrawn(f"its {argument} is no list of tensors")
        return [self.drawn(one) for one in found]

    def drawn(self, one: Any) -> str:
        """As a tensor of the drawing, numbers in float32 as well."""
        value = self.scope[one.name] if isinstance(one, Named) else one
        if isinstance(value, str):
            return value
        if isinstance(value, torch.Tensor):
            return self.drawing.constant(value.numpy())
        if isinstance(value, int | float):
            return self.drawing.constant(np.array(value, np.float32))
        raise NotDrawn("a tensor that it needs is left out")

    def constant(self, argument: str) -> np.ndarray[Any, Any] | None:
        """None: left out. Raises NotDrawn: computed from the program's inputs."""
        value = self.value(argument)
        if value is None:
            return None
        if not isinstance(value, torch.Tensor):
            raise NotDrawn(f"its {argument} is computed from the program's inputs")
        return value.numpy()

    def shape(self, argument: str) -> Sequence[int | None]:
        return self.shape_of(self.call.given.get(argument), argument)

    def shape_of(self, one: Any, what: str) -> Sequence[int | None]:
        if not isinstance(one, Named):
            raise NotDrawn(f"its {what} is no tensor")
        value = self.scope[one.name]
        return tuple(value.shape) if isinstance(value, torch.Tensor) else self.shapes[one.name]

    def rank(self, argument: str) -> int:
        return len(self.shape(argument))

    def number(self, argument: str, default: float | None = None) -> float:
        value = self.value(argument, default)
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        if not isinstance(value, int | float):
            raise NotDrawn(f"its {argument} is no number that is known")
        return value

    def whole(self, argument: str, default: int | None = None) -> int:
        return int(self.number(argument, default))

    def size(self, argument: str, default: Size | None = None) -> Size:
        value = self.value(argument, default)
        if not isinstance(value, int | str):
            raise NotDrawn(f"its {argument} is no whole number")
        return value

    def sizes(self, argument: str) -> list[Size]:
        found = self.call.given.get(argument)
        listed = found if isinstance(found, list) else [found]
        sizes: list[Any] = [self.scope[one.name] if isinstance(one, Named) else one for one in listed]
        if not all(isinstance(one, int | str) for one in sizes):
            raise NotDrawn(f"its {argument} are no whole numbers")
        return sizes

    def wholes(self, argument: str, default: Sequence[int] = (), count: int | None = None) -> list[int]:
        """`count`: how many there are where one stands for all. Raises NotDrawn: they depend on shapes."""
        found = self.call.given.get(argument)
        listed = list(default) if found is None else (found if isinstance(found, list) else [found])
        if not all(isinstance(one, int) for one in listed):
            raise NotDrawn(f"its {argument} depends on what the program is given")
        return listed * count if count is not None and len(listed) == 1 else listed

    def axis(self, argument: str, of: str = "self", default: int | None = None) -> int:
        return self.whole(argument, default) % max(1, self.rank(of))
