"""The compiled kernel, if it is there: found beside this file, where the installation puts it, and loaded once.

Knows its functions' types and how to say what is missing; knows no layers.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from cellserve.models.implementations.packed.description import CellDescription
from cellserve.models.implementations.packed.operations import ChunkCallDescription, ChunkDescription, OperationDescription

FILE: Final = Path(__file__).with_name("libpacked.so")
VERSION: Final = 3  # PACKED_VERSION of native/packed.h
_AGAIN: Final = "install cellserve again where there is a C++ compiler (g++ or clang++) or the package ziglang"

_HANDLE, _ARRAY, _LONG = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long


def missing(file: Path = FILE) -> str | None:
    """None, or why there is no kernel here, as the end of a sentence about a layer."""
    if not file.exists():
        return f"the packed kernel was not compiled: {_AGAIN}"
    try:
        loaded(file)
    except OSError as error:
        return f"the packed kernel cannot be loaded ({error}): {_AGAIN}"
    return None


@cache
def loaded(file: Path = FILE) -> ctypes.CDLL:
    """Raises OSError: it cannot be loaded, or was made of other sources than these."""
    library = ctypes.CDLL(str(file))
    if not hasattr(library, "packed_version") or library.packed_version() != VERSION:
        raise OSError(f"{file} was compiled from other sources")
    library.packed_path.restype, library.packed_path.argtypes = ctypes.c_char_p, [ctypes.c_int]
    library.packed_bfloat16_path.restype, library.packed_bfloat16_path.argtypes = ctypes.c_char_p, []
    library.packed_new_layer.restype = _HANDLE
    library.packed_new_layer.argtypes = [ctypes.c_char_p, ctypes.POINTER(CellDescription)]
    library.packed_free_layer.restype, library.packed_free_layer.argtypes = None, [_HANDLE]
    library.packed_run_layer.restype = ctypes.c_int
    library.packed_run_layer.argtypes = [
        *(_HANDLE, ctypes.c_int, _ARRAY),  # lengths
        *(_ARRAY, _LONG, _LONG),  # inputs
        *(_ARRAY, _LONG, _ARRAY, _LONG),  # h, c
        *(_ARRAY, _LONG, _LONG),  # outputs
    ]
    library.packed_new_chunk.restype = _HANDLE
    library.packed_new_chunk.argtypes = [ctypes.c_char_p, ctypes.POINTER(ChunkDescription), ctypes.POINTER(OperationDescription)]
    library.packed_free_chunk.restype, library.packed_free_chunk.argtypes = None, [_HANDLE]
    library.packed_run_chunk.restype = ctypes.c_int
    library.packed_run_chunk.argtypes = [_HANDLE, ctypes.POINTER(ChunkCallDescription)]
    return library


def address(array: NDArray[Any]) -> int:
    """Of a contiguous array's first number. NumPy's own way takes four times as long, as long as a call of a small network."""
    if array.flags.writeable and array.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    return int(array.ctypes.data)


def paths(library: ctypes.CDLL) -> tuple[bytes, ...]:
    """The instruction sets that it can use here, the fastest first."""
    made: list[bytes] = []
    while (name := library.packed_path(len(made))) is not None:
        made.append(name)
    return tuple(made)


def bfloat16_path(library: ctypes.CDLL) -> bytes | None:
    """The instruction set that multiplies in bfloat16, if the processor has it."""
    name: bytes | None = library.packed_bfloat16_path()
    return name
