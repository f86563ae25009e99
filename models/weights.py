"""Named float32 arrays in the canonical layout (names and shapes: shapes.py), their digest, and their file.

The digest names the numbers, not the file: it is the same on every platform and after every round trip. Knows no torch, and
no framework's own layout.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cellserve.models.description.shapes import expected_weights
from cellserve.models.errors import InvalidWeights
from cellserve.models.spec import ModelSpec

_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")  # how the library tells what the system said
_PART_NUMBERS: Final = 1 << 18  # a millisecond's copying at most


@dataclass(frozen=True)
class Weights:
    """`arrays`: read-only, float32, C-contiguous. Make them with `Weights.of`."""

    arrays: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, arrays: Mapping[str, ArrayLike]) -> Weights:
        """Any arrays of numbers, converted to float32. Raises InvalidWeights for what is not numbers."""
        return cls(MappingProxyType({name: _canonical(name, array) for name, array in arrays.items()}))

    @classmethod
    def load(cls, path: Path) -> Weights:
        """Reads what `save` wrote. Raises InvalidWeights: not a whole safetensors file, or arrays that are not float32."""
        try:
            with safe_open(path, framework="numpy") as file:
                kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - not a mapping
                if foreign := sorted(f"{name} ({kind})" for name, kind in kinds.items() if kind != "F32"):
                    raise InvalidWeights(f"{path}: every array must be float32, these are not: {', '.join(foreign)}")
                return cls.of({name: _read(file, name) for name in kinds})
        except SafetensorError as error:
            raise InvalidWeights(f"{path}: not a complete safetensors file ({error}); publish the model again") from error

    def save(self, path: Path) -> None:
        """One safetensors file. Raises OSError."""
        try:
            save_file(dict(self.arrays), path)
        except SafetensorError as error:
            if (found := _OS_ERROR.search(str(error))) is None:
                raise
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error

    @cached_property
    def digest(self) -> str:
        """ "sha256:…" over the arrays' names, shapes and little-endian bytes, in the order of their names."""
        whole = hashlib.sha256()
        for name, array in sorted(self.arrays.items()):
            whole.update(f"{len(name.encode())}:{name}:{','.join(map(str, array.shape))}:".encode())
            whole.update(array.astype("<f4", copy=False).data)
        return f"sha256:{whole.hexdigest()}"

    def check(self, spec: ModelSpec) -> None:
        """Raises InvalidWeights listing every array that is missing, unexpected, of the wrong shape or not finite."""
        expected = expected_weights(spec)
        problems = [f"{name} {_shape(shape)} is missing" for name, shape in expected.items() if name not in self.arrays]
        for name, array in self.arrays.items():
            if name not in expected:
                problems.append(f"{name} {_shape(array.shape)} is not part of this network")
            elif array.shape != expected[name]:
                problems.append(f"{name} is {_shape(array.shape)}, expected {_shape(expected[name])}")
            elif not np.isfinite(array).all():
                problems.append(
                    f"{name} holds values that are not finite ({np.count_nonzero(~np.isfinite(array))} of {array.size})"
                )
        if problems:
            raise InvalidWeights("the weights do not fit the network: " + "; ".join(problems))


def _read(file: Any, name: str) -> NDArray[np.float32]:
    """In parts, for the library holds the interpreter while it copies one."""
    part = file.get_slice(name)
    shape = part.get_shape()
    rows = max(1, _PART_NUMBERS // max(1, prod(shape[1:]))) if shape else 1
    if not shape or rows >= shape[0]:
        whole: NDArray[np.float32] = file.get_tensor(name)
        return whole
    array = np.empty(shape, np.float32)
    for start in range(0, shape[0], rows):
        end = min(start + rows, shape[0])  # the library takes no slice beyond it
        array[start:end] = part[start:end]
    return array


def _canonical(name: str, array: ArrayLike) -> NDArray[np.float32]:
    values = np.asarray(array)
    if values.dtype.kind not in "fiub":
        raise InvalidWeights(f"{name} holds {values.dtype}, not numbers")
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which `check` names
        canonical = np.require(values, np.float32, "C").view()
    canonical.flags.writeable = False
    return canonical


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
