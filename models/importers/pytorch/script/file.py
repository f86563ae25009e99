"""TorchScript archives (torch.jit.save) as what they hold: the tree of modules, their arrays, and their programs as syntax trees.

Nothing is run: the pickle is read with stand-ins for every class it may name, the code is parsed and never compiled.
Source: torch/csrc/jit/serialization 2.x. Knows no networks.
"""

from __future__ import annotations

import ast
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from cellserve.models.errors import ImportRefused

MANGLED: Final = re.compile(r"\.___torch_mangle_\d+")
MAX_CODE_BYTES: Final = 4 << 20
STORAGES: Final[Mapping[str, torch.dtype]] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Quantized(Exception):
    """The program's weights are numbers of few bits."""


@dataclass
class ScriptObject:
    """A module of the program: its class and its attributes, tensors and modules among them."""

    kind: str
    attributes: dict[str, Any] = field(default_factory=dict)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"a module of class {self.kind} holds no attributes")
        self.attributes = {str(name): value for name, value in state.items()}


@dataclass(frozen=True, slots=True)
class Script:
    """`classes`, `functions`: by qualified name, "__torch__.Model"; `constants`: tensors that its code calls CONSTANTS.c0 …"""

    root: ScriptObject
    classes: Mapping[str, ast.ClassDef]
    functions: Mapping[str, ast.FunctionDef]
    constants: Sequence[Any]

    @property
    def forward(self) -> ast.FunctionDef | None:
        """Of the root; torch's own recurrent modules have one for tensors and one for packed sequences."""
        body = self.classes.get(self.root.kind)
        functions = {one.name: one for one in body.body if isinstance(one, ast.FunctionDef)} if body is not None else {}
        return functions.get("forward", functions.get("forward__0"))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state dict: parameters and buffers by their places in the tree."""
        return dict(self._tensors(self.root, ""))

    def _tensors(self, module: ScriptObject, place: str) -> Iterator[tuple[str, torch.Tensor]]:
        for name, value in module.attributes.items():
            if isinstance(value, torch.Tensor):
                yield place + name, value
            elif isinstance(value, ScriptObject):
                yield from self._tensors(value, f"{place}{name}.")


def plain_kind(kind: str) -> str:
    """A class without what TorchScript puts into the names of its variants."""
    return MANGLED.sub("", kind).removeprefix("__torch__.")


def read_script(path: Path) -> Script:
    """Raises ImportRefused: damaged, or a pickle that names what no such file names."""
    source = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            top = next(name for name in archive.namelist() if name.endswith("data.pkl")).removesuffix("data.pkl")
            root = _Unpickler(archive, f"{top}data.pkl", f"{top}data/", top).load()
            constants = _Unpickler(archive, f"{top}constants.pkl", f"{top}constants/", top).load()
            code = dict(_code(archive, top))
    except Quantized as error:
        raise ImportRefused(
            source,
            "it holds quantized weights, packed by torch's own kernels, which are not supported; save the program of the model "
            "as it was before quantization, in float32",
        ) from error
    except Exception as error:  # a damaged pickle raises anything at all, as does damaged code
        raise ImportRefused(source, f"the TorchScript archive is damaged or of a form not known here ({error})") from error
    if not isinstance(root, ScriptObject):
        raise ImportRefused(source, "the TorchScript archive holds no module")
    classes = {name: node for name, node in code.items() if isinstance(node, ast.ClassDef)}
    functions = {name: node for name, node in code.items() if isinstance(node, ast.FunctionDef)}
    return Script(root, classes, functions, list(constants))


def _code(archive: zipfile.ZipFile, top: str) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    code = [one for one in archive.infolist() if one.filename.startswith(f"{top}code/") and one.filename.endswith(".py")]
    if sum(entry.file_size for entry in code) > MAX_CODE_BYTES:
        raise ValueError(f"more than {MAX_CODE_BYTES:,} bytes of code")
    for entry in code:
        scope = entry.filename.removeprefix(f"{top}code/").removesuffix(".py").replace("/", ".")
        for node in ast.parse(archive.read(entry)).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield f"{scope}.{node.name}", node


class _Unpickler(pickle.Unpickler):
    """Every name of the pickle stands for something of this file, or is refused: nothing is imported."""

    def __init__(self, archive: zipfile.ZipFile, member: str, folder: str, top: str) -> None:
        super().__init__(BytesIO(archive.read(member)))
        self._archive = archive
        self._folder = folder
        order = f"{top}byteorder"
        self._storages: dict[str, torch.Tensor] = {}  # once each: modules may share them
        self._big = order in archive.namelist() and archive.read(order).strip() == b"big"

    def find_class(self, module: str, name: str) -> Any:
        if "_rebuild_qtensor" in name or module.startswith("__torch__.torch.classes.quantized"):
            raise Quantized
        if module == "__torch__" or module.startswith("__torch__."):
            kind = f"{module}.{name}"
            return type(name, (ScriptObject,), {"__new__": lambda cls: _made(cls, kind), "__init__": lambda self: None})
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _tensor
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return _untagged
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no TorchScript module of numbers does")

    def persistent_load(self, identity: Any) -> torch.Tensor:
        _, dtype, key, _, count = identity
        if key not in self._storages:
            self._storages[key] = self._storage(dtype, key, count)
        return self._storages[key]

    def _storage(self, dtype: object, key: str, count: int) -> torch.Tensor:
        raw = self._archive.read(f"{self._folder}{key}")
        if not isinstance(dtype, torch.dtype) or len(raw) != count * dtype.itemsize:
            raise pickle.UnpicklingError(f"the array {key} is {len(raw)} bytes long, not {count} numbers")
        if self._big:
            raw = np.frombuffer(raw, f"V{dtype.itemsize}").view(np.uint8).reshape(-1, dtype.itemsize)[:, ::-1].tobytes()
        return torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)


def _made(kind: type[ScriptObject], name: str) -> ScriptObject:
    made: ScriptObject = object.__new__(kind)
    made.kind, made.attributes = name, {}
    return made


def _untagged(value: object, tag: object) -> object:
    return value


def _tensor(storage: torch.Tensor, offset: int, shape: Sequence[int], stride: Sequence[int], *_: object) -> torch.Tensor:
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if min((*shape, *stride, offset), default=0) < 0 or (0 not in shape and last >= len(storage)):
        raise pickle.UnpicklingError(f"an array of shape {list(shape)} reaches beyond its {len(storage)} numbers")
    return storage.as_strided(tuple(shape), tuple(stride), offset)
