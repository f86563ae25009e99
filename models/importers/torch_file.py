"""PyTorch state dicts as named arrays, from .pt (zip) or .safetensors. Runs no pickle's code. Knows no networks."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_EXPANSION, MAX_TOTAL_BYTES, SMALL_BYTES, Allowance

Arrays = dict[str, npt.NDArray[Any]]
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net")  # what training scripts file their state dict under


def read_torch_zip(path: Path) -> Arrays:
    """What torch.save(model.state_dict(), path) wrote since PyTorch 1.6. Raises ImportRefused."""
    source = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        packed = sum(entry.compress_size for entry in entries)
        if unpacked > MAX_TOTAL_BYTES or (unpacked > SMALL_BYTES and unpacked > MAX_EXPANSION * max(packed, 1)):
            raise ImportRefused(
                source, f"the archive unpacks to {unpacked:,} bytes, which is not believable for a model; it is refused"
            )
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ImportRefused(
            source,
            "the file holds more than weights: reading it would run code, which is never done. Save the weights alone with "
            "torch.save(model.state_dict(), path)",
        ) from error
    except ImportRefused:
        raise
    except Exception as error:  # a damaged pickle makes torch's reader raise anything at all, a TypeError as well as a KeyError
        raise ImportRefused(source, f"the archive is damaged or cut short ({_first_line(error)}); copy the file again") from error
    return _arrays(_state_dict(content, source), source)


def read_safetensors(path: Path) -> Arrays:
    """Raises ImportRefused: not a whole safetensors file."""
    source = str(path)
    try:
        with safe_open(path, framework="pt") as file:
            return _arrays({name: file.get_tensor(name) for name in file.keys()}, source)  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ImportRefused(source, f"the safetensors file is damaged or cut short ({error}); copy the file again") from error


def _state_dict(content: object, source: str) -> Mapping[str, torch.Tensor]:
    """The tensors by name: the content itself, or what a training script filed them under."""
    if isinstance(content, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                return _state_dict(content[wrapper], source)
        tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        if tensors:
            return tensors
    raise ImportRefused(source, "the file holds no state dict; save one with torch.save(model.state_dict(), path)")


def _arrays(tensors: Mapping[str, torch.Tensor], source: str) -> Arrays:
    allowance = Allowance(source)
    arrays: Arrays = {}
    for name, tensor in tensors.items():
        allowance.array(name, tuple(tensor.shape), tensor.element_size())
        if tensor.is_sparse or tensor.is_quantized:
            raise ImportRefused(source, "sparse and quantized tensors are not supported; save the weights as float32", layer=name)
        exact = tensor.detach().to(torch.float32) if tensor.is_floating_point() else tensor.detach()
        arrays[name.removeprefix("module.")] = exact.numpy()
    return arrays


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
