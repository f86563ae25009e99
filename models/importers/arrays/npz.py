"""NumPy .npz files: arrays by name, without NumPy's own loading, which may unpickle or allocate what a header claims.

Source: numpy.lib.format. Knows no networks.
"""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_EXPANSION, SMALL_BYTES, Allowance

SUFFIX: Final = ".npy"
HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
DAMAGE: Final = (  # what zipfile, its decompressors and NumPy's parser of headers raise
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, MemoryError),
)


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Raises ImportRefused: damaged, Python objects in it, sizes that are not believable."""
    source, allowance = str(path), Allowance(str(path))
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(SUFFIX)
                if entry.file_size > SMALL_BYTES and entry.file_size > MAX_EXPANSION * max(entry.compress_size, 1):
                    what = f"the array {name!r} unpacks to {entry.file_size:,} bytes, which is not believable"
                    raise ImportRefused(source, f"{what}; the file is refused")
                with archive.open(entry) as member:
                    arrays[name] = _read(member, name, entry.file_size, allowance, source)
    except DAMAGE as error:
        raise ImportRefused(source, f"the file is damaged or cut short ({error}); copy it again") from error
    return arrays


def _read(member: IO[bytes], name: str, size: int, allowance: Allowance, source: str) -> npt.NDArray[Any]:
    version = np.lib.format.read_magic(member)
    if version not in HEADERS:
        raise ImportRefused(source, f"the array {name!r} is of the format {version}; save it again with numpy.savez")
    shape, fortran_order, dtype = HEADERS[version](member)
    if dtype.hasobject or dtype.kind not in "fiub":
        raise ImportRefused(
            source, f"the array {name!r} holds {dtype}, not plain numbers, and Python objects are never read; save float32 arrays"
        )
    allowance.array(name, shape, dtype.itemsize)
    count = int(np.prod(shape, dtype=object))
    if count < 0 or count * dtype.itemsize > size:
        raise ImportRefused(source, f"the array {name!r} claims the shape {list(shape)}, but only {size:,} bytes are there")
    data = member.read(count * dtype.itemsize)
    return np.frombuffer(data, dtype=dtype, count=count).reshape(shape, order="F" if fortran_order else "C")
