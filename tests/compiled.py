"""Whether the packed kernel is here: it must be wherever a C++ compiler is."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Final

from cellserve.models.implementations.packed import library

COMPILER: Final = any(map(shutil.which, ("c++", "g++", "clang++"))) or find_spec("ziglang") is not None
MISSING: Final = library.missing() is not None and not COMPILER
BFLOAT16: Final = library.missing() is None and library.bfloat16_path(library.loaded()) is not None
PACKED: Final = () if MISSING else ("packed",)  # what it adds to a list of labels
