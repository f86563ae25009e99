"""Archives of torch.export as what they hold: the graph as text, the state dict and the constants as tensors.

Three layouts: `models/` and `data/` with raw arrays (torch 2.9 and newer), the same with arrays that torch.save wrote (2.8), and
`serialized_*` files (2.1 to 2.7). Nothing is run: JSON is parsed, pickles are read by torch's reader that knows tensors alone.
Source: torch/export/pt2_archive, torch/_export/serde 2.x. Knows no graphs.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, Final

import torch

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_ARRAY_BYTES, Allowance
from cellserve.models.importers.names import listed

LEGACY: Final = "serialized_exported_program.json"
MODELS: Final = "models/"
COMPILED: Final = "data/aotinductor/"
EXECUTORCH: Final = "data/executorch/"
LARGEST_GRAPH_BYTES: Final = 256 << 20
DTYPES: Final[Mapping[int, torch.dtype]] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""By the numbers that the format has for them."""

Tensors = dict[str, torch.Tensor]


class Damaged(Exception):
    """An archive that does not hold what it says; the message says what."""


@dataclass(frozen=True, slots=True)
class Archive:
    """`document`: the exported program, parsed; `tensors`: parameters, buffers and constants by their places in the module."""

    document: Mapping[str, Any]
    tensors: Tensors


def read_archive(path: Path) -> Archive:
    """Raises ImportRefused: damaged, compiled code alone, several models, or weights of a kind that is not read."""
    source = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if LEGACY in names:
                return _legacy(archive)
            top = next(name for name in names if name.rpartition("/")[2] == "archive_format").removesuffix("archive_format")
            return _current(archive, top, [name.removeprefix(top) for name in names if name.startswith(top)], source)
    except ImportRefused:
        raise
    except Exception as error:  # damaged JSON, pickles and zip members raise anything at all
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImportRefused(
            source, f"the archive of torch.export is damaged or of a form not known here ({what}); copy the file again"
        ) from error


def _current(archive: zipfile.ZipFile, top: str, names: Sequence[str], source: str) -> Archive:
    models = [name.removeprefix(MODELS).removesuffix(".json") for name in names if name.startswith(MODELS)]
    if not models:
        raise ImportRefused(source, _why_no_model(names))
    if len(models) > 1:
        raise ImportRefused(
            source,
            f"the archive holds {len(models)} models ({listed(models, 3)}); save each in a file of its own and import that",
        )
    (model,) = models
    document = _parsed(archive, f"{top}{MODELS}{model}.json")
    big = f"{top}byteorder" in archive.namelist() and archive.read(f"{top}byteorder").strip() == b"big"
    allowance, tensors = Allowance(source), Tensors()
    for kind in ("weights", "constants"):
        saved, folder = f"data/{kind}/{model}.pt", f"{top}data/{kind}/"
        if saved in names:
            tensors |= _pickled(_content(archive, top + saved))
            continue
        entries = _parsed(archive, f"{folder}{model}_{kind}_config.json")["config"]
        raw: dict[str, bytes] = {}
        for name, entry in entries.items():
            meta = entry.get("tensor_meta")
            if entry.get("use_pickle") or meta is None:
                tensors |= _alone(archive, folder, name, entry, source)
                continue
            key = entry["path_name"]
            if key not in raw:
                raw[key] = _content(archive, folder + key)
            tensors[name] = _tensor(name, meta, raw[key], allowance, big=big)
    return Archive(document, tensors)


def _why_no_model(names: Sequence[str]) -> str:
    way_out = (
        "Import the program that it was made from (torch.export.save(torch.export.export(model, inputs), path)), or the weights: "
        "torch.save(model.state_dict(), path)"
    )
    if any(name.startswith(COMPILED) for name in names):
        return f"this is a package of AOTInductor: code that was compiled for one machine, which is never run. {way_out}"
    if any(name.startswith(EXECUTORCH) for name in names):
        return f"this is a package of ExecuTorch: a program for a device's own runtime, which is not read. {way_out}"
    return f"this archive of torch.export holds no model. {way_out}"


def _legacy(archive: zipfile.ZipFile) -> Archive:
    """The first releases named what torch.save had written .json."""
    tensors = Tensors()
    for kind, ending in product(("state_dict", "constants"), ("pt", "json")):
        name = f"serialized_{kind}.{ending}"
        if name in archive.namelist() and (content := _content(archive, name)):
            tensors |= _pickled(content)
    return Archive(_parsed(archive, LEGACY), tensors)


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_ARRAY_BYTES:
        raise Damaged(f"{name} is larger than {MAX_ARRAY_BYTES:,} bytes")
    return archive.read(name)


def _parsed(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    if archive.getinfo(name).file_size > LARGEST_GRAPH_BYTES:
        raise Damaged(f"{name} is larger than {LARGEST_GRAPH_BYTES:,} bytes")
    document = json.loads(archive.read(name))
    if not isinstance(document, dict):
        raise Damaged(f"{name} holds no object")
    return document


def _pickled(content: bytes) -> Tensors:
    """What torch.save wrote, through the reader that knows tensors and plain values only."""
    found = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping):
        raise Damaged("its weights are no state dict")
    return {str(name): value.detach() for name, value in found.items() if isinstance(value, torch.Tensor)}


def _alone(archive: zipfile.ZipFile, folder: str, name: str, entry: Mapping[str, Any], source: str) -> Tensors:
    """Of an entry that was pickled by itself: a tensor subclass, a scripted object."""
    try:
        value = torch.load(BytesIO(_content(archive, folder + entry["path_name"])), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises anything at all
        raise ImportRefused(
            source,
            "it is stored as a pickled object, which reading would run; export the model with plain tensors in float32",
            layer=name,
        ) from error
    return {name: value.detach()} if isinstance(value, torch.Tensor) else {}


def _tensor(name: str, meta: Mapping[str, Any], raw: bytes, allowance: Allowance, *, big: bool) -> torch.Tensor:
    dtype = DTYPES.get(meta["dtype"])
    if dtype is None:
        raise Damaged(f"the array {name} is of the type {meta['dtype']}, which no network here computes with")
    sizes, strides = ([int(one["as_int"]) for one in meta[key]] for key in ("sizes", "strides"))
    offset = int(meta["storage_offset"]["as_int"])
    allowance.array(name, tuple(sizes), dtype.itemsize)
    flat = _numbers(raw, dtype, big=big)
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if min((*sizes, *strides, offset), default=0) < 0 or (0 not in sizes and last >= len(flat)):
        raise Damaged(f"the array {name} of shape {sizes} reaches beyond the {len(flat)} numbers that are stored")
    return flat.as_strided(sizes, strides, offset)


def _numbers(raw: bytes, dtype: torch.dtype, *, big: bool) -> torch.Tensor:
    if len(raw) % dtype.itemsize:
        raise Damaged(f"{len(raw)} bytes are no whole number of {dtype}")
    content = bytearray(raw)
    if big:
        width = dtype.itemsize
        for place in range(width // 2):
            content[place::width], content[width - 1 - place :: width] = raw[width - 1 - place :: width], raw[place::width]
    return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
