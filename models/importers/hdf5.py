"""Reading HDF5 files of strangers: damage becomes one sentence, and no array comes from outside the file or out of proportion.

Knows no Keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_EXPANSION, SMALL_BYTES, Allowance


@contextmanager
def opened(content: Path | BytesIO, source: str) -> Iterator[h5py.File]:
    """The file; whatever HDF5 finds wrong inside the block is an ImportRefused."""
    try:
        with h5py.File(content, "r") as file:
            yield file
    except ImportRefused:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ImportRefused(source, f"the HDF5 data are damaged or cut short ({error}); copy the file again") from error


class ArrayReader:
    """Reads the arrays of one file, counting what they take."""

    def __init__(self, file: h5py.File, source: str) -> None:
        self._filename = file.filename
        self._source = source
        self._allowance = Allowance(source)

    def read(self, found: Any, name: str, layer: str) -> npt.NDArray[Any]:
        """The array `found` under `name`. Raises ImportRefused: missing, too large, or stored outside the file."""
        dataset = self.dataset(found, name, layer)
        size = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
        self._allowance.array(f"{layer}/{name}", tuple(dataset.shape), dataset.dtype.itemsize)
        if size > SMALL_BYTES and size > MAX_EXPANSION * dataset.id.get_storage_size():
            raise ImportRefused(
                self._source,
                f"its array {name!r} unpacks to {size:,} bytes, which is not believable for what is stored",
                layer=layer,
            )
        return np.asarray(dataset[()])

    def dataset(self, found: Any, name: str, layer: str) -> h5py.Dataset:
        if not isinstance(found, h5py.Dataset):
            raise ImportRefused(self._source, f"its array {name!r} is missing from the file", layer=layer)
        if found.file.filename != self._filename or found.external or found.is_virtual:
            raise ImportRefused(self._source, f"its array {name!r} lies in another file, which is not followed", layer=layer)
        return found
