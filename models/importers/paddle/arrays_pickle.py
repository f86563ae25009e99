"""Pickles of NumPy arrays and plain values, by a reader that imports nothing: what a pickle names stands for something here.

Source: numpy._core.multiarray, pickle protocols 2 to 5. Knows no networks.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_TOTAL_BYTES, Allowance

SAVE: Final = (
    "Load it where it was made and save the weights as safetensors, with paddle.save(model.state_dict(), path), or with "
    "torch.save(model.state_dict(), path) of PyTorch 1.6 or newer"
)
PLAIN: Final = f"this is a plain pickle, which can run code when it is read, so none is opened but of arrays by name. {SAVE}"
NUMBERS: Final = "fiub"
ARRAYS: Final = frozenset(
    (module, name) for module in ("numpy._core.multiarray", "numpy.core.multiarray") for name in ("_reconstruct", "scalar")
)
BUFFERS: Final = ("numpy._core.numeric", "numpy.core.numeric")


class Foreign(pickle.UnpicklingError):
    """It names something that is no array and no plain value; the message is its name."""


@dataclass
class PickledType:
    """A dtype. `code`: "f4"; `order`: "<", ">", or "|" where there is none."""

    code: str
    order: str = "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Raises ValueError: of anything but numbers."""
        made = np.dtype(self.code).newbyteorder("=" if self.order == "|" else self.order)  # type: ignore[arg-type]
        if made.kind not in NUMBERS:
            raise ValueError(f"it holds an array of {made}, which are no numbers")
        return made


@dataclass
class PickledArray:
    """An array as its pickle has it."""

    shape: tuple[int, ...] = ()
    type: PickledType = field(default_factory=lambda: PickledType("f4"))
    fortran: bool = False
    content: bytes = b""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, PickledType) or not isinstance(content, bytes):
            raise ValueError("it holds an array of objects, which are no numbers")
        self.shape, self.type = tuple(int(size) for size in shape), kind
        self.fortran, self.content = bool(fortran), content

    def array(self, name: str, allowance: Allowance) -> npt.NDArray[Any]:
        """Raises ImportRefused: larger than a model's array may be. ValueError: its bytes are not what its shape promises."""
        dtype = self.type.dtype
        allowance.array(name, self.shape, dtype.itemsize)
        if min(self.shape, default=0) < 0 or prod(self.shape) * dtype.itemsize != len(self.content):
            raise ValueError(f"the array {name!r} of shape {list(self.shape)} holds {len(self.content):,} bytes")
        made = np.frombuffer(self.content, dtype).reshape(self.shape, order="F" if self.fortran else "C")
        return made.astype(dtype.newbyteorder("="))


def read_pickle(path: Path) -> Any:
    """Raises ImportRefused: damaged, or a pickle of more than arrays and plain values, which would run code to be read."""
    source = str(path)
    try:
        if path.stat().st_size > MAX_TOTAL_BYTES:
            raise ImportRefused(source, f"it is larger than {MAX_TOTAL_BYTES:,} bytes, the limit for one model")
        with path.open("rb") as file:
            return _Unpickler(file).load()
    except ImportRefused:
        raise
    except Foreign as error:
        raise ImportRefused(
            source,
            f"this is a pickle of more than arrays: it names {error}, and reading it would run code, which is never done. {SAVE}",
        ) from error
    except Exception as error:  # a damaged pickle raises anything at all
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImportRefused(source, f"the pickle is damaged or cut short ({what}); copy the file again") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ARRAYS:
            return _made if name == "_reconstruct" else _scalar
        if module in BUFFERS and name == "_frombuffer":
            return _of_buffer
        if (module, name) == ("numpy", "ndarray"):
            return PickledArray
        if (module, name) == ("numpy", "dtype"):
            return _type
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (("builtins", "tuple"), ("__builtin__", "tuple")):
            return _tuple
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise Foreign(f"{module}.{name}")

    def persistent_load(self, identity: Any) -> Any:
        raise Foreign("data outside of it")


def _made(*_: object) -> PickledArray:
    return PickledArray()


def _of_buffer(content: Any, kind: Any, shape: Any, order: str) -> PickledArray:
    """As protocol 5 writes it."""
    made = PickledArray()
    made.__setstate__((1, shape, kind, order == "F", bytes(content)))
    return made


def _type(code: object, *_: object) -> PickledType:
    return PickledType(str(code))


def _scalar(kind: PickledType, content: bytes) -> float:
    return float(np.frombuffer(content, kind.dtype)[0])


def _tuple(values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)


def _encoded(text: str, *_: object) -> bytes:
    """Bytes as pickles of protocol 2 write them."""
    return text.encode("latin-1")
