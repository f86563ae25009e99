"""What TorchScript programs do with numbers, lists and sizes. Knows no syntax, and of tensors the sizes alone."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cellserve.models.importers.pytorch.script.recorder import COUNTED, DTYPES, Recorder
from cellserve.models.importers.pytorch.script.values import Count, Missing, NotFollowed, Traced

NUMBERS: Final = {dtype: number for number, dtype in DTYPES.items()}
COMPARING: Final = ("eq", "ne", "lt", "le", "gt", "ge")
ARITHMETIC: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "neg", *COMPARING)},
    "div": operator.truediv,
    "true_divide": operator.truediv,
    "remainder": operator.mod,
    "pow": lambda base, exponent: float(base) ** exponent,
    "__not__": operator.not_,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "__contains__": operator.contains,
    "abs": abs,
    "sqrt": lambda value: value**0.5,
    "floor": lambda value: value // 1,
    "ceil": lambda value: -(-value // 1),
    "Int": int,
    "Float": float,
    "Bool": bool,
}
OF_LISTS: Final = (*COMPARING, "add", "__contains__", "__not__", "Bool")
STORED_OTHERWISE: Final = ("is_cuda", "is_nested", "is_quantized", "is_sparse", "is_mkldnn", "is_meta", "requires_grad")
LONGEST: Final = 100_000
UNKNOWN: Final = object()


def plain(name: str, given: Sequence[Any], options: Mapping[str, Any], recorder: Recorder) -> Any:
    """UNKNOWN: it is an operation on tensors. Raises NotFollowed."""
    first = given[0] if given else None
    if name == "to" and isinstance(first, Traced):
        return _to(first, [*given[1:], *(value for option, value in options.items() if option in ("dtype", "other"))], recorder)
    if (own := OWN.get(name)) is not None:
        return own(recorder, *given)
    if any(isinstance(one, Traced | Missing) or _holds_tensors(one) for one in (*given, *options.values())):
        return UNKNOWN
    if name in ARITHMETIC and isinstance(first, int | float | str | list | Count | type(None)):
        return _arithmetic(name, given, recorder)
    return UNKNOWN


def _to(x: Traced, given: Sequence[Any], recorder: Recorder) -> Any:
    """Of another type; where it is computed does not matter. Numbers that are floats stay float32."""
    like = next((one for one in given if isinstance(one, Traced)), None)
    dtype = next((DTYPES[one] for one in given if isinstance(one, int) and not isinstance(one, bool) and one in DTYPES), None)
    dtype = like.value.dtype if like is not None else dtype
    if dtype is None or dtype == x.value.dtype or (dtype.is_floating_point and x.value.is_floating_point()):
        return x
    return recorder.call("to", [x, NUMBERS[dtype], False, False], {})


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, Traced | Missing) or _holds_tensors(one) for one in value)


def _arithmetic(name: str, given: Sequence[Any], recorder: Recorder) -> Any:
    values = [_value(one) for one in given]
    if name not in OF_LISTS and any(isinstance(one, list | str) for one in values):
        raise NotFollowed(f"torch.{name} of lists is not understood")
    counts = [one for one in _items(given) if isinstance(one, Count)]
    value = ARITHMETIC[name](*values)
    if isinstance(value, list | str) and len(value) > LONGEST:
        raise NotFollowed(f"it makes a list of more than {LONGEST:,} values")
    if not counts:
        return value
    if name in COUNTED and len(given) == 2 and isinstance(value, int) and not any(isinstance(one, list) for one in given):
        return recorder.counted(name, given[0], given[1], value)
    if name in ("eq", "ne") and all(isinstance(one, Count) and one.name and one.name == counts[0].name for one in given):
        return value
    if (
        name in COMPARING
        and len(given) == 2
        and any(_is_size(one) and not _positive(other) for one, other in (given, given[::-1]))
    ):
        return value
    return Count("", value, frozenset[str]().union(*(one.of for one in counts)))


def _is_size(one: Any) -> bool:
    """Of an axis, which is never zero here."""
    return isinstance(one, Count) and one.of == {one.name}


def _positive(one: Any) -> bool:
    return isinstance(one, Count) or one > 0


def _items(values: Sequence[Any]) -> list[Any]:
    return [item for one in values for item in (_items(one) if isinstance(one, list) else [one])]


def _value(one: Any) -> Any:
    if isinstance(one, list):
        return [_value(item) for item in one]
    return one.value if isinstance(one, Count) else one


def _size(recorder: Recorder, x: Any, axis: Any = None) -> Any:
    if not isinstance(x, Traced):
        return x if isinstance(x, Missing) else _stop("the size of something that is no tensor")
    return [recorder.size(x, place) for place in range(x.value.dim())] if axis is None else recorder.size(x, _value(axis))


def _len(recorder: Recorder, x: Any) -> Any:
    return _size(recorder, x, 0) if isinstance(x, Traced) else len(x)


def _append(recorder: Recorder, whole: Any, one: Any) -> Any:
    whole.append(one)
    return whole


def _same(recorder: Recorder, x: Any, *_: Any) -> Any:
    return x


def _slice(recorder: Recorder, x: Any, *given: Any) -> Any:
    """Of a list; of a tensor it is an operation."""
    if not isinstance(x, list):
        return UNKNOWN
    bounds = [_value(one) for one in given]
    return x[slice(*bounds)] if len(bounds) > 1 else x[slice(bounds[0] if bounds else None, None)]


def _element(recorder: Recorder, x: Any, place: Any) -> Any:
    return x[_value(place)] if isinstance(x, list) else UNKNOWN


def _stop(what: str) -> Any:
    raise NotFollowed(f"{what} is not understood")


def _raised(recorder: Recorder, message: Any = "", *_: Any) -> Any:
    raise NotFollowed(f"for these sizes it stops with an error of its own: {message}")


def _constant(recorder: Recorder, value: Any, *_: Any) -> Any:
    """A number as a tensor, which traces make of sizes to compute with them."""
    return value


def _list(recorder: Recorder, x: Any) -> Any:
    return list(x)


OWN: Final[Mapping[str, Callable[..., Any]]] = {
    "size": _size,
    "len": _len,
    "dim": lambda recorder, x: x.value.dim() if isinstance(x, Traced) else x,
    "__is__": lambda recorder, one, other: one is other,
    "__isnot__": lambda recorder, one, other: one is not other,
    "append": _append,
    "list": _list,
    "slice": _slice,
    "__getitem__": _element,
    "format": lambda recorder, form, *given: f"{form} ({', '.join(str(_value(one)) for one in given)})",
    "warn": lambda recorder, *given: None,
    "is_grad_enabled": lambda recorder: False,
    "set_grad_enabled": lambda recorder, on: None,
    "is_floating_point": lambda recorder, x: x.value.is_floating_point(),
    "device": lambda recorder, *given: None,
    "cpu": _same,
    "cuda": _same,
    "__range_length": lambda recorder, start, end, step: _ranged(start, end, step),
    "__derive_index": lambda recorder, place, start, step: _value(start) + _value(place) * _value(step),
    "prim.RaiseException": _raised,
    "prim.NumToTensor": _constant,
    "prim.ImplicitTensorToNum": _same,
    "prim.device": lambda recorder, x: None,
    "prim.layout": lambda recorder, x: None,
    **dict.fromkeys((f"prim.{name}" for name in STORED_OTHERWISE), lambda recorder, x: False),
    "prim.dtype": lambda recorder, x: NUMBERS.get(x.value.dtype) if isinstance(x, Traced) else None,
    "prim.data": _same,
    "prim.min": lambda recorder, *given: min(_items(list(given)), key=_value),
    "prim.max": lambda recorder, *given: max(_items(list(given)), key=_value),
    "prim.unchecked_unwrap_optional": _same,
}


def _ranged(start: Any, end: Any, step: Any) -> Any:
    count = len(range(_value(start), _value(end), _value(step)))
    of = frozenset[str]().union(*(one.of for one in (start, end, step) if isinstance(one, Count)))
    return Count("", count, of) if of else count


def truth(value: Any) -> bool:
    """Raises NotFollowed: it depends on numbers that the program is given."""
    if isinstance(value, Traced):
        if value.fed:
            raise NotFollowed("it does one thing or another by the numbers that it is given")
        return bool(value.value)
    if isinstance(value, Missing):
        raise NotFollowed(value.why)
    return bool(_value(value))


def to_number(kind: type, value: Any) -> Any:
    """int(x), float(x), bool(x)."""
    if isinstance(value, Count):
        made = kind(value.value)
        if kind is bool and _is_size(value):
            return made
        return value if kind is int and isinstance(value.value, int) else Count("", made, value.of)
    if isinstance(value, Traced):
        if value.fed:
            raise NotFollowed("it computes a size or a decision from the numbers that it is given")
        return kind(value.value.item())
    return value if isinstance(value, Missing) else kind(value)
