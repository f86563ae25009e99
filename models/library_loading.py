"""torch's shared library loaded before torch is imported, so that nobody waits for it meanwhile.

An import keeps the interpreter while the system maps and links some hundred MB, and a server's event loop stands still for a
quarter of a second. A foreign function is called without it, and the import finds what is loaded. Knows no networks.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def load_torch_library() -> None:
    """Nothing happens where torch is imported already, is not there, or is built for a GPU, which has an order of its own."""
    library = None if "torch" in sys.modules or not sys.platform.startswith("linux") else _library()
    if library is not None:
        ctypes.CDLL(None).dlopen(os.fsencode(library), os.RTLD_LAZY)  # what fails here the import says better


def _library() -> Path | None:
    found = find_spec("torch")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "lib"
    return None if (folder / "libtorch_cuda.so").exists() else folder / "libtorch_cpu.so"
