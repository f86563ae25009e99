"""What the arrays of a module may be in a description: layers that read and make so many features, from names and shapes alone.

Where shapes leave it open (groups, a table or a matrix, the bands of a spectrum) there are several. Knows no order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy.typing as npt

from cellserve.models.importers.pytorch.modules import GATES, RECURRENT_NAME

Arrays = Mapping[str, npt.NDArray[Any]]
CELL: Final = re.compile(r"weight_ih|weight_hh|bias_ih|bias_hh")
OWN: Final = frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})
WINDOWS: Final = "padding, strides, dilation, groups, activation?"


@dataclass(frozen=True, slots=True)
class Candidate:
    """`reads`, `makes`: widths; None where any will do. `lines`: its layers, as YAML, in which @ is the tensor that it reads.

    `names`: the modules that it stands for; `output`: the name of its last layer. `planes`: of convolutions over time and bands,
    whose number of bands is told by what reads them.
    """

    names: tuple[str, ...]
    reads: int | None
    makes: int | None
    lines: tuple[str, ...]
    output: str
    question: str = ""
    ids: bool = False
    planes: Planes | None = None

    def read_by(self, width: int | None) -> Candidate | None:
        """Of planes, as they are where the next one reads so many features; None: it does not fit."""
        if self.planes is None or width is None or width % self.planes.channels:
            return None
        return self.planes.with_bands(width // self.planes.channels)


@dataclass(frozen=True, slots=True)
class Planes:
    """Convolutions over time and bands, one after the other; `norms`: by the place in `convolutions` behind which each stands."""

    convolutions: tuple[tuple[str, tuple[int, ...], bool], ...]  # name, shape of the weight, whether it has a bias
    norms: Mapping[int, str]

    @property
    def channels(self) -> int:
        return self.convolutions[-1][1][0]

    @property
    def names(self) -> tuple[str, ...]:
        return (*(name for name, _, _ in self.convolutions), *self.norms.values())

    def with_bands(self, bands: int) -> Candidate:
        """`bands`: that come out."""
        first, _, _ = self.convolutions[0]
        inputs = self.convolutions[0][1][1]
        before = bands + sum(shape[3] - 1 for _, shape, _ in self.convolutions if not shape[3] % 2)
        lines = [f"{{kind: reshape, name: {first}_planes, inputs: [@], features: [{before}, {inputs}]}}"]
        for place, (name, shape, bias) in enumerate(self.convolutions):
            units, _, *size = shape
            margin, padding = (size[1] // 2 if size[1] % 2 else 0), "same" if size[0] % 2 else "valid"
            own = _names(name, ["weight", "bias"] if bias else ["weight"])
            options = f"kernel_size: {size}, band_margin: [{margin}, {margin}], padding: {padding}"
            options += "" if bias else ", use_bias: false"
            lines.append(f"{{kind: conv2d, name: {name}, units: {units}, {options}, arrays: [{own}]}}")
            if place in self.norms:
                lines.append(f"{{{_batch_normalization(self.norms[place], True)}}}")
        made = self.channels * bands
        last = f"{first}_flat"
        lines.append(f"{{kind: reshape, name: {last}, axes: 2, permutation: [1, 0], features: [{made}]}}")
        question = f"pools, {WINDOWS.removesuffix('?')}, and bands_first: true of each where the program has time last?"
        return Candidate(self.names, before * inputs, made, tuple(lines), last, question)


def planes(owned: Mapping[str, Arrays]) -> Candidate | None:
    """Of the convolutions over two axes that follow each other, with batch normalizations of their widths beside them."""
    found: list[tuple[str, tuple[int, ...], bool]] = []
    norms: dict[int, str] = {}
    for name, own in owned.items():
        weight = own.get("weight")
        if weight is None or weight.ndim != 4 or (found and weight.shape[1] != found[-1][1][0]):
            continue
        found.append((name, weight.shape, "bias" in own))
        parent = name.rpartition(".")[0]
        beside = (
            other
            for other, its in owned.items()
            if "running_var" in its
            and other not in norms.values()
            and other.rpartition(".")[0] == parent
            and len(its["running_var"]) == len(weight)
        )
        if (norm := next(beside, None)) is not None:
            norms[len(found) - 1] = norm
    if not found:
        return None
    made = Planes(tuple(found), norms)
    return Candidate(made.names, None, None, (), "", planes=made)


def candidates(name: str, own: Arrays) -> list[Candidate]:
    """None: it is nothing that is known."""
    if all(RECURRENT_NAME.fullmatch(array) for array in own):
        stack = _stack(name, own)
        return [] if stack is None else [stack]
    if {"weight_ih", "weight_hh"} <= set(own) and all(CELL.fullmatch(array) for array in own):
        return [_cell(name, own)]
    weight = own.get("weight")
    if weight is None or not set(own) <= OWN:
        return []
    bias, label = "bias" in own, name or "top"
    listed = _names(name, [array for array in ("weight", "bias") if array in own])
    if "running_var" in own:
        return [_one(name, len(weight), len(weight), _batch_normalization(name, bias), "epsilon, if not 1e-5")] if bias else []
    if weight.ndim == 1 and bias:
        line = f"kind: layer_normalization, name: {label}, arrays: [{listed}]"
        return [_one(name, len(weight), len(weight), line, "epsilon, if not 1e-5")]
    if weight.ndim == 1:
        same = len(weight) if len(weight) > 1 else None
        return [_one(name, same, same, f"kind: prelu, name: {label}, arrays: [{listed}]")]
    if weight.ndim == 2:
        return list(_matrix(name, weight.shape, bias=bias))
    return list(_convolution(name, weight.shape, bias=bias)) if weight.ndim == 3 else []


def _batch_normalization(name: str, bias: bool) -> str:
    arrays = f"{_names(name, ['weight', 'bias'])}, {_names(name, ['running_mean', 'running_var'])}"
    return f"kind: batch_normalization, name: {name or 'top'}, arrays: [{arrays}]"


def _matrix(name: str, shape: tuple[int, ...], *, bias: bool) -> Iterator[Candidate]:
    """Without a bias it may be the table of an embedding; one that is called so is nothing else."""
    makes, reads = shape
    label = name or "top"
    listed = _names(name, ["weight", "bias"] if bias else ["weight"])
    unbiased = "" if bias else ", use_bias: false"
    called = not bias and "emb" in name.lower()
    if not called:
        line = f"kind: dense, name: {label}, units: {makes}{unbiased}, arrays: [{listed}]"
        yield _one(name, reads, makes, line, "activation?")
    if not bias:
        line = f"kind: embedding, name: {label}, vocabulary: {makes}, units: {reads}, arrays: [{listed}]"
        yield replace(_one(name, None, reads, line, "" if called else "a table, or a Linear?"), ids=True)


def _convolution(name: str, shape: tuple[int, ...], *, bias: bool) -> Iterator[Candidate]:
    """Of one group first."""
    makes, inside, size = shape
    listed = _names(name, ["weight", "bias"] if bias else ["weight"])
    for groups in (one for one in range(1, makes + 1) if makes % one == 0):
        options = f"kernel_size: {size}, padding: {'same' if size % 2 else 'valid'}{'' if bias else ', use_bias: false'}"
        options += f", groups: {groups}" if groups > 1 else ""
        line = f"kind: conv1d, name: {name or 'top'}, units: {makes}, {options}, arrays: [{listed}]"
        yield _one(name, inside * groups, makes, line, WINDOWS)


def _one(name: str, reads: int | None, makes: int | None, line: str, question: str = "") -> Candidate:
    return Candidate((name,), reads, makes, (f"{{{line}}}",), name or "top", question)


def _names(owner: str, arrays: Sequence[str]) -> str:
    return ", ".join(f"{owner}.{array}".lstrip(".") for array in arrays)


def _stack(name: str, own: Arrays) -> Candidate | None:
    slots: dict[int, dict[str, list[str]]] = {}
    for array in own:
        if (match := RECURRENT_NAME.fullmatch(array)) is not None:
            slots.setdefault(int(match[2]), {}).setdefault(match[3] or "", []).append(array)
    lines, source, width = list[str](), "@", 0
    for depth, sides in sorted(slots.items()):
        at = f"{name or 'rnn'}_{depth}"
        for side, arrays in sorted(sides.items()):
            if not {f"weight_ih_l{depth}{side}", f"weight_hh_l{depth}{side}"} <= set(arrays):
                return None
            lines.append(_recurrent(f"{at}{side}", name, {array: own[array] for array in arrays}, source, side))
        width = len(sides) * own[f"weight_hh_l{depth}"].shape[1]
        source = at
        if len(sides) == 2:
            source = f"{at}_both"
            lines.append(f"{{kind: reverse, name: {at}_in_time, inputs: [{at}_reverse]}}")
            lines.append(f"{{kind: merge, name: {source}, mode: concat, inputs: [{at}, {at}_in_time]}}")
    return Candidate((name,), own["weight_ih_l0"].shape[1], width, tuple(lines), source) if "weight_ih_l0" in own else None


def _cell(name: str, own: Arrays) -> Candidate:
    line = _recurrent(name or "cell", name, own, "@", "")
    widths = own["weight_ih"].shape[1], own["weight_hh"].shape[1]
    return Candidate((name,), *widths, (line,), name or "cell", "the program's own loop, over every step")


def _recurrent(label: str, owner: str, arrays: Arrays, source: str, side: str) -> str:
    by_role = {re.sub(r"_l\d+(_reverse)?$", "", array): array for array in arrays}
    rows, columns = arrays[by_role["weight_hh"]].shape
    projected = "weight_hr" in by_role
    kind = "lstm" if projected else next((kind for kind, gates in GATES.items() if rows == gates * columns), "lstm")
    options = [
        f"kind: {kind}",
        f"name: {label}",
        f"inputs: [{source}]",
        f"units: {rows // GATES[kind]}",
        "return_sequences: true",
    ]
    options += ["reset_after: true"] if kind == "gru" else []
    options += [f"projection_units: {columns}"] if projected else []
    options += ["go_backwards: true"] if side else []
    options += [] if "bias_ih" in by_role else ["use_bias: false"]
    roles = [role for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr") if role in by_role]
    return f"{{{', '.join(options)}, arrays: [{_names(owner, [by_role[role] for role in roles])}]}}"
