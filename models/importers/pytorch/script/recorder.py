"""A program's operations on tensors as they are come across: computed for an example, and written down as calls.

A call of TorchScript is told by torch's own schemas, which name its arguments. Only operations on numbers that are listed are
ever computed. Knows no syntax.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from cellserve.models.importers.pytorch.export.evaluation import ELSEWHERE, NotAllowed, evaluated, widened
from cellserve.models.importers.pytorch.export.program import Call, Named
from cellserve.models.importers.pytorch.export.translation import ALLOWED
from cellserve.models.importers.pytorch.script.values import Count, Missing, NotFollowed, Traced

DTYPES: Final[Mapping[int, torch.dtype]] = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    11: torch.bool,
    15: torch.bfloat16,
}
"""By TorchScript's numbers for them."""

COUNTED: Final[Mapping[str, str]] = {"add": "add", "sub": "sub", "mul": "mul", "floordiv": "floordiv"}
MOST_CALLS: Final = 50_000


@dataclass(frozen=True, slots=True)
class _Argument:
    name: str
    type: str
    required: bool
    default: Any


class Recorder:
    """`calls`: so far; `scope`: of every name its value for the example; `fixed`: names of what no call has made."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.scope: dict[str, Any] = {}
        self.constants: dict[str, torch.Tensor] = {}
        self.places: dict[str, str] = {}
        self.place = ""
        self.kind = ""  # of the module that runs
        self._known: dict[tuple[Any, ...], str] = {}
        self._counts: dict[tuple[str, int], Count] = {}

    def fed(self, name: str, value: torch.Tensor) -> Traced:
        self.scope[name] = value
        return Traced(name, value, fed=True)

    def constant(self, value: torch.Tensor, place: str = "") -> Traced:
        """`place`: in the tree of modules. The very same numbers have one name."""
        view = (value.untyped_storage().data_ptr(), value.storage_offset(), tuple(value.shape), value.stride(), value.dtype)
        if value.numel() == 0 or view not in self._known:
            name = f"c_{len(self.constants)}"
            self._known[view] = name
            self.constants[name], self.places[name] = value, place or name
            self.scope[name] = widened(value).clone()
        name = self._known[view]
        return Traced(name, self.scope[name], fed=False)

    def size(self, x: Traced, axis: int) -> Any:
        axis = axis % max(1, x.value.dim())
        if x.name in self.constants:
            return int(x.value.shape[axis])
        if (x.name, axis) not in self._counts:
            made = self._recorded("aten.sym_size.int", {"self": Named(x.name), "dim": axis}, [int(x.value.shape[axis])])
            self._counts[x.name, axis] = Count(made[0], int(x.value.shape[axis]), frozenset(made))
        return self._counts[x.name, axis]

    def counted(self, operator: str, one: Any, other: Any, value: int) -> Count:
        """Arithmetic with numbers of steps or rows."""
        of = _of(one) | _of(other)
        given = {"a": _given(one), "b": _given(other)}
        if any(isinstance(item, Count) and not item.name for item in (one, other)):
            return Count("", value, of)
        (name,) = self._recorded(f"_operator.{COUNTED[operator]}", given, [value])
        return Count(name, value, of)

    def call(self, operator: str, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """What torch.operator makes. Raises NotFollowed: no such operation takes these, or torch refuses them."""
        values = [*given, *options.values()]
        if (missing := next((one for one in _flat(values) if isinstance(one, Missing)), None)) is not None:
            return missing
        overload, arguments = _bound(operator, given, options)
        operation = f"aten.{operator}.{overload or 'default'}"
        call = Call(f"{operator}_{len(self.calls)}", operation, arguments, ())
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = evaluated(call, self.scope, ALLOWED)
        except NotAllowed:
            return Missing(f"{operation} is no operation that a layer is made of")
        except Exception as error:  # torch raises anything at all for arguments that do not fit
            raise NotFollowed(f"torch.{operator}: {' '.join(str(error).split())[:200]}") from error
        if not all(isinstance(one, torch.Tensor) for one in made):
            return made[0] if len(made) == 1 else made
        fed = any(isinstance(one, Traced) and one.fed for one in _flat(values))
        names = self._recorded(operation, arguments, made)
        traced = [Traced(name, value, fed) for name, value in zip(names, made)]
        return traced[0] if len(traced) == 1 and not _makes_list(operator) else traced

    def _recorded(self, operation: str, given: Mapping[str, Any], made: Sequence[Any]) -> tuple[str, ...]:
        if len(self.calls) >= MOST_CALLS:
            raise NotFollowed(f"it runs more than {MOST_CALLS:,} operations")
        base = f"{operation.split('.')[1]}_{len(self.calls)}"
        names = tuple(base if len(made) == 1 else f"{base}_{place}" for place in range(len(made)))
        self.scope.update(zip(names, made))
        self.calls.append(Call(base, operation, dict(given), names, self.place, self.kind))
        return names


def _makes_list(operator: str) -> bool:
    return operator.removeprefix("unsafe_") in ("split", "chunk", "unbind", "split_with_sizes", "tensor_split")


def _flat(values: Sequence[Any]) -> list[Any]:
    return [item for one in values for item in (_flat(one) if isinstance(one, list) else [one])]


def _of(value: Any) -> frozenset[str]:
    return value.of if isinstance(value, Count) else frozenset()


def _bound(operator: str, given: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The overload whose arguments these are, and they by its names, without those at their defaults."""
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{operator}"):
        arguments = [_Argument(a.name, str(a.type), not a.has_default_value(), a.default_value) for a in schema.arguments]
        said = dict(zip((one.name for one in arguments), given)) | dict(options)
        known = {one.name for one in arguments}
        if len(given) > len(arguments) or not said.keys() <= known or schema.overload_name.endswith("out"):
            continue
        if all(_fits(said[one.name], one.type) if one.name in said else not one.required for one in arguments):
            kept = {one.name: said[one.name] for one in arguments if one.name in said and one.name not in ELSEWHERE}
            return schema.overload_name, {name: _typed(name, value) for name, value in kept.items() if value is not None}
    raise NotFollowed(f"torch.{operator} of these is not understood")


def _typed(name: str, value: Any) -> Any:
    return DTYPES.get(value, value) if name == "dtype" and isinstance(value, int) else _given(value)


def _given(value: Any) -> Any:
    if isinstance(value, list):
        return [_given(one) for one in value]
    if isinstance(value, Count):
        return Named(value.name) if value.name else value.value
    return Named(value.name) if isinstance(value, Traced) else value


def _fits(value: Any, kind: str) -> bool:
    if kind.startswith("Optional["):
        return value is None or _fits(value, kind.removeprefix("Optional[").removesuffix("]"))
    if kind.startswith("List["):
        inner = kind.removeprefix("List[").removesuffix("]")
        return isinstance(value, list) and all(_fits(one, inner) for one in value)
    if kind == "Tensor":
        return isinstance(value, Traced)
    plain = value.value if isinstance(value, Count) else value
    match kind:
        case "bool":
            return isinstance(plain, bool)
        case "int" | "SymInt":
            return isinstance(plain, int) and not isinstance(plain, bool)
        case "float":
            return isinstance(plain, int | float) and not isinstance(plain, bool)
        case "number" | "Scalar":
            return isinstance(plain, int | float | bool)
        case "str":
            return isinstance(plain, str)
    return plain is None or isinstance(plain, int)  # a device, a layout, a generator: where, not what
