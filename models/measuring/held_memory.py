"""What a network holds of memory: the arrays that can be reached from it, each counted once, however many parts share it.

Counted are NumPy arrays, tensors and bytes in host memory; of sessions of ONNX Runtime and packed layers the numbers that they
were given, without what pads them; of a session of a whole file that file, which Python keeps, and as many bytes once more.
Exact but for those two, and for the objects around the numbers, which are little beside them. What lies on another device is not
counted. Knows no implementations and no versions.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

_CLOSED: Final = (type, ModuleType, BuiltinFunctionType, str, int, float, complex)  # nothing of a network is behind these


@runtime_checkable
class HoldsUnseen(Protocol):
    """What has numbers in memory that Python does not see."""

    unseen_bytes: int


def held_bytes(root: object) -> int:
    """In host memory. Any thread, while others use it. Takes a millisecond or so."""
    seen: set[int] = set()
    places: dict[Any, int] = {}
    todo = [root]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, _CLOSED):
            continue
        seen.add(id(one))
        kind = type(one)
        if isinstance(one, np.ndarray):
            base = _owner(one)
            places[id(base)] = base.nbytes
        elif isinstance(one, bytes):
            places[id(one)] = len(one)
        elif kind.__module__.partition(".")[0] == "torch" and hasattr(one, "untyped_storage"):
            _count_tensor(one, places)
        elif kind.__module__.startswith("onnxruntime."):
            content = getattr(one, "_model_bytes", None)
            if isinstance(content, bytes):
                places["session", id(one)] = len(content)
                todo.append(content)
        else:
            if isinstance(one, HoldsUnseen):
                places["unseen", id(one)] = one.unseen_bytes
            todo.extend(_behind(one))
    return sum(places.values())


def _behind(one: object) -> Iterable[object]:
    """Of a function what it closes over, not the module that it was written in."""
    if isinstance(one, FunctionType):
        return (one.__closure__ or (), one.__defaults__ or (), one.__kwdefaults__ or {})
    return gc.get_referents(one)


def _owner(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _count_tensor(tensor: Any, places: dict[Any, int]) -> None:
    if tensor.device.type == "cpu":
        storage = tensor.untyped_storage()
        places["tensor", storage.data_ptr()] = storage.nbytes()
