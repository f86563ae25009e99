"""Tensors of ONNX files as arrays: of every type that holds numbers, in the file or beside it. Knows no graphs."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import Allowance

Array = npt.NDArray[Any]
NARROW: Final = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.DOUBLE: "float64"}
"""Types of numbers in which a file may compute, but for float32, in which everything is served."""


class TensorReader:
    """Reads the tensors of one file within one allowance. `folder`: where data lie that the file keeps beside itself."""

    def __init__(self, source: str, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._allowance = Allowance(source)

    def afresh(self) -> TensorReader:
        """Another one for the same file with its whole allowance: each way to follow the graph reads its constants."""
        return TensorReader(self._source, self._folder)

    def read(self, tensor: TensorProto) -> Array:
        """Narrower floats widened to float32. Raises ImportRefused: damaged, too large, no numbers, its data elsewhere."""
        name, shape = tensor.name or "a constant", tuple(tensor.dims)
        if min(shape, default=0) < 0:
            raise ImportRefused(self._source, f"the tensor {name!r} claims the shape {list(shape)}; the file is damaged")
        try:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        except (KeyError, TypeError) as error:
            raise ImportRefused(self._source, f"the tensor {name!r} is of the unknown type {tensor.data_type}") from error
        if dtype.kind == "O" or tensor.data_type == TensorProto.STRING:
            raise ImportRefused(self._source, f"the tensor {name!r} holds text, which no network computes with")
        self._allowance.array(name, shape, max(4, dtype.itemsize))
        try:
            if tensor.data_location == TensorProto.EXTERNAL:
                tensor = self._loaded(tensor, name, prod(shape) * dtype.itemsize)
            array: Array = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise ImportRefused(
                self._source, f"the tensor {name!r} does not hold what its shape {list(shape)} promises: {error}"
            ) from error
        return array.astype(np.float32) if array.dtype.kind not in "fiub" or array.dtype == np.float16 else array

    def _loaded(self, tensor: TensorProto, name: str, size: int) -> TensorProto:
        """The same with its data in it, read from a file in the same folder or below it, and from nowhere else."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        beside = (self._folder / location).resolve()
        where = f"the data of the tensor {name!r}"
        if not location or not beside.is_relative_to(self._folder.resolve()):
            raise ImportRefused(
                self._source, f"{where} are said to be in {location!r}, which is not beside the file; only its own folder is read"
            )
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or size)
        if length != size or offset < 0:
            raise ImportRefused(self._source, f"{where} are {length} bytes where {size} are expected")
        try:
            if not beside.is_file():
                raise ImportRefused(
                    self._source, f"{where} are in {location!r}, which is missing; copy it into the same folder as the model"
                )
            with beside.open("rb") as file:
                file.seek(offset)
                raw = file.read(size)
        except OSError as error:
            raise ImportRefused(self._source, f"{where}, in {location!r}, cannot be read: {error.strerror or error}") from error
        if len(raw) != size:
            raise ImportRefused(
                self._source, f"{where} end too early: {location!r} holds {len(raw)} of {size} bytes from {offset}; copy it again"
            )
        return TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=raw)
