"""PyTorch state dicts as named arrays, from .pt (zip) or .safetensors. Runs no pickle's code. Knows no networks."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_EXPANSION, MAX_TOTAL_BYTES, SMALL_BYTES, Allowance
from cellserve.models.importers.names import natural
from cellserve.models.importers.pytorch.objects import refuse_objects
from cellserve.models.importers.stored_arrays import StoredArrays

WRAPPERS: Final = ("state_dict", "model_state_dict", "model_state", "model", "net")  # what scripts file their state dict under
PARALLEL: Final = "module."  # what DataParallel puts before every name
PARAMETER: Final = re.compile(r"(weight|bias)(_\w+)?")
DAMAGE: Final = (zipfile.BadZipFile, OSError, NotImplementedError, ValueError)
DEEPEST: Final = 8  # levels of a training checkpoint

Tensors = dict[str, torch.Tensor]


def require_believable(path: Path) -> None:
    """Raises ImportRefused: an archive that is damaged, or of sizes that are not believable."""
    source = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except DAMAGE as error:
        raise ImportRefused(source, f"the archive is damaged or cut short ({_first_line(error)}); copy the file again") from error
    unpacked, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if unpacked > MAX_TOTAL_BYTES or (unpacked > SMALL_BYTES and unpacked > MAX_EXPANSION * max(packed, 1)):
        raise ImportRefused(
            source, f"the archive unpacks to {unpacked:,} bytes, which is not believable for a model; it is refused"
        )


def read_torch_zip(path: Path) -> StoredArrays:
    """What torch.save(model.state_dict(), path) wrote since PyTorch 1.6. Raises ImportRefused."""
    require_believable(path)
    source = str(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refuse_objects(path, error)
    except ImportRefused:
        raise
    except Exception as error:  # a damaged pickle makes torch's reader raise anything at all, a TypeError as well as a KeyError
        raise ImportRefused(source, f"the archive is damaged or cut short ({_first_line(error)}); copy the file again") from error
    place, tensors = _state_dict(content, (), source)
    named = {".".join(at): tensor for at, tensor in _tensors(content, ()) if at[:-1] != place or at[-1] not in tensors}
    beside = {name: tuple(tensor.shape) for name, tensor in named.items()}
    return stored_tensors(tensors, beside, source)


def read_safetensors(path: Path) -> StoredArrays:
    """Raises ImportRefused: not a whole safetensors file, or one that names an array which it does not hold."""
    source = str(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            aliases = _aliases(file.metadata() or {}, tensors, source)
    except SafetensorError as error:
        raise ImportRefused(source, f"the safetensors file is damaged or cut short ({error}); copy the file again") from error
    tensors |= {alias: tensors[name] for alias, name in aliases.items()}
    groups = [(name, *(alias for alias, kept in aliases.items() if kept == name)) for name in dict.fromkeys(aliases.values())]
    notes = tuple(f"The file holds {alias} under the name {name}: they are the same array." for alias, name in aliases.items())
    ordered = {name: tensors[name] for name in sorted(tensors, key=natural)}
    return replace(_stored(ordered, groups, {}, source), by_name=True, notes=notes)


def _aliases(metadata: Mapping[str, str], tensors: Tensors, source: str) -> dict[str, str]:
    """Names that the file leaves out because another array is the same one (safetensors.torch.save_model), with that one's."""
    aliases: dict[str, str] = {}
    for alias, name in metadata.items():
        if alias in tensors:
            continue
        if name in tensors:
            aliases[alias] = name
        elif PARAMETER.fullmatch(alias.rpartition(".")[2]) and PARAMETER.fullmatch(name.rpartition(".")[2]):
            raise ImportRefused(source, f"it says that this array is stored as {name!r}, which it does not hold", layer=alias)
    return aliases


def _groups(tensors: Tensors) -> list[tuple[str, ...]]:
    """Names of tensors that are one and the same in memory, as torch.load restores them."""
    views: dict[tuple[Any, ...], list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.layout is torch.strided and tensor.numel():
            view = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
            views.setdefault(view, []).append(name)
    return [tuple(names) for names in views.values() if len(names) > 1]


def _state_dict(content: object, place: tuple[str, ...], source: str) -> tuple[tuple[str, ...], Tensors]:
    """The tensors by name, the content itself or what a training script filed them under, and where they were."""
    if isinstance(content, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                return _state_dict(content[wrapper], (*place, wrapper), source)
        tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        if tensors:
            return place, tensors
        filed = [name for name, value in content.items() if _is_state_dict(value)]
        if len(filed) == 1:
            return _state_dict(content[filed[0]], (*place, str(filed[0])), source)
        if filed:
            raise ImportRefused(
                source,
                f"the file holds several state dicts ({', '.join(map(str, filed))}); save the one that is to be served alone: "
                f"torch.save(torch.load(path)[{filed[0]!r}], other_path)",
            )
    raise ImportRefused(source, "the file holds no state dict; save one with torch.save(model.state_dict(), path)")


def _is_state_dict(value: object) -> bool:
    """Whether it holds parameters by the names that modules give them; what an optimizer keeps has numbers for names."""
    return isinstance(value, Mapping) and any(
        isinstance(array, torch.Tensor) and PARAMETER.fullmatch(str(name).rpartition(".")[2]) for name, array in value.items()
    )


def _tensors(content: object, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    """All of a checkpoint, with where each is."""
    if isinstance(content, torch.Tensor):
        yield place, content
    elif len(place) < DEEPEST and isinstance(content, Mapping):
        for name, value in content.items():
            yield from _tensors(value, (*place, str(name)))
    elif len(place) < DEEPEST and isinstance(content, Sequence) and not isinstance(content, str | bytes):
        for index, value in enumerate(content):
            yield from _tensors(value, (*place, str(index)))


def stored_tensors(tensors: Tensors, beside: Mapping[str, tuple[int, ...]], source: str) -> StoredArrays:
    """`beside`: shapes of what is not imported. Raises ImportRefused: sparse or quantized, too large, one name twice."""
    return _stored(tensors, _groups(tensors), beside, source)


def _stored(
    tensors: Tensors, groups: Sequence[tuple[str, ...]], beside: Mapping[str, tuple[int, ...]], source: str
) -> StoredArrays:
    allowance = Allowance(source)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in tensors.items():
        allowance.array(name, tuple(tensor.shape), tensor.element_size())
        if tensor.is_sparse or tensor.is_quantized:
            raise ImportRefused(source, "sparse and quantized tensors are not supported; save the weights as float32", layer=name)
        narrow = tensor.is_floating_point() and tensor.element_size() < torch.float32.itemsize
        exact = tensor.detach().to(torch.float32) if narrow else tensor.detach()
        own = name.removeprefix(PARALLEL)
        if own in arrays:
            raise ImportRefused(source, f"it holds both {own} and {PARALLEL}{own}; save one of them", layer=own)
        arrays[own] = exact.numpy()
    same = tuple(tuple(name.removeprefix(PARALLEL) for name in group) for group in groups)
    precisions = frozenset(str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point())
    return StoredArrays(arrays, same, beside, precisions)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
