"""A description of a state dict's modules that fits their shapes, for a person to read and edit: layers in a likely order.

What no array tells (padding, strides, functions, where the last step is taken) stands beside the layer as a question. Reads
names and shapes alone; knows no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy.typing as npt

from cellserve.models.importers.pytorch.modules import GATES, RECURRENT_NAME

Arrays = Mapping[str, npt.NDArray[Any]]
HEADER: Final = """\
# Proposed from the names and shapes of the arrays. A state dict does not say how the program wires its modules: read every line,
# answer what is asked behind it, put in what has no arrays ({kind: activation, activation: relu}, {kind: last_step},
# {kind: padding_1d, before: 1, after: 1}, {kind: pooling_1d, mode: max, pool_size: 2, strides: 2}), and hold the import against
# the program's own answers (--expect)."""
CELL: Final = re.compile(r"weight_ih|weight_hh|bias_ih|bias_hh")
INPUT: Final = "x"
MOST_TRIES: Final = 2_000  # of chains


@dataclass(frozen=True, slots=True)
class _Module:
    """`reads`, `makes`: widths; None where any will do. `lines`: its layers, as YAML, in which @ is the tensor that it reads.

    `output`: the name of the last of them.
    """

    name: str
    reads: int | None
    makes: int | None
    lines: tuple[str, ...]
    output: str
    question: str = ""
    ids: bool = False


def proposal(arrays: Arrays) -> str:
    """YAML of a description. What fits nowhere stands in it as a remark."""
    owned: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, array in arrays.items():
        owner, _, own = name.rpartition(".")
        owned.setdefault(owner, {})[own] = array
    modules = [module for name, own in owned.items() if (module := _module(name, own)) is not None]
    unknown = [name for name in owned if name not in {module.name for module in modules}]
    ordered = _ordered(modules)
    left = [module.name for module in modules if module not in ordered]
    first = ordered[0] if ordered else None
    entry = (
        f"{{name: {INPUT}, kind: ids}}"
        if first is not None and first.ids
        else f"{{name: {INPUT}, width: {first.reads if first else '?'}}}"
    )
    said = [f"# No place was found for: {', '.join([*left, *unknown])}"] if left or unknown else []
    lines = list[str]()
    source = INPUT
    for module in ordered:
        lines += _written(module, source)
        source = module.output
    return "\n".join([HEADER, f"inputs: [{entry}]", "layout: torch", "layers:", *lines, *said]) + "\n"


def _written(module: _Module, source: str) -> Iterator[str]:
    for number, line in enumerate(module.lines):
        question = f"  # {module.question}" if module.question and not number else ""
        yield f"  - {line.replace('@', source)}{question}"


def _module(name: str, own: Arrays) -> _Module | None:
    if all(RECURRENT_NAME.fullmatch(array) for array in own):
        return _stack(name, own)
    if {"weight_ih", "weight_hh"} <= set(own) and all(CELL.fullmatch(array) for array in own):
        return _cell(name, own)
    weight = own.get("weight")
    if weight is None:
        return None
    bias, label = "bias" in own, name or "top"
    listed = _names(name, [array for array in ("weight", "bias") if array in own])
    unbiased = "" if bias else ", use_bias: false"
    width, makes = (weight.shape[1] if weight.ndim > 1 else len(weight)), len(weight)
    if "running_var" in own:
        line = f"kind: batch_normalization, name: {label}, arrays: [{listed}, {_names(name, ['running_mean', 'running_var'])}]"
        return _one(name, width, makes, line, "epsilon, if not 1e-5")
    if weight.ndim == 1 and bias:
        line = f"kind: layer_normalization, name: {label}, arrays: [{listed}]"
        return _one(name, width, makes, line, "epsilon, if not 1e-5")
    if weight.ndim == 1:
        same = width if width > 1 else None
        return _one(name, same, same, f"kind: prelu, name: {label}, arrays: [{listed}]")
    if weight.ndim == 2 and not bias and "emb" in name.lower():
        line = f"kind: embedding, name: {label}, vocabulary: {makes}, units: {width}, arrays: [{listed}]"
        return replace(_one(name, None, width, line), ids=True)
    if weight.ndim == 2:
        return _one(
            name, width, makes, f"kind: dense, name: {label}, units: {makes}{unbiased}, arrays: [{listed}]", "activation?"
        )
    if weight.ndim == 3:
        size = weight.shape[2]
        options = f"kernel_size: {size}, padding: {'same' if size % 2 else 'valid'}{unbiased}"
        line = f"kind: conv1d, name: {label}, units: {makes}, {options}, arrays: [{listed}]"
        return _one(name, width, makes, line, "padding, strides, dilation, groups, activation?")
    return None


def _one(name: str, reads: int | None, makes: int | None, line: str, question: str = "") -> _Module:
    return _Module(name, reads, makes, (f"{{{line}}}",), name or "top", question)


def _names(owner: str, arrays: Sequence[str]) -> str:
    return ", ".join(f"{owner}.{array}".lstrip(".") for array in arrays)


def _stack(name: str, own: Arrays) -> _Module | None:
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
    return _Module(name, own["weight_ih_l0"].shape[1], width, tuple(lines), source) if "weight_ih_l0" in own else None


def _cell(name: str, own: Arrays) -> _Module:
    line = _recurrent(name or "cell", name, own, "@", "")
    widths = own["weight_ih"].shape[1], own["weight_hh"].shape[1]
    return _Module(name, *widths, (line,), name or "cell", "the program's own loop, over every step")


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


def _ordered(modules: Sequence[_Module]) -> list[_Module]:
    """The longest chain in which each reads as much as the one before it makes; of equal ones that nearest to the file."""
    best: list[_Module] = []
    tries = 0

    def grow(chain: list[_Module], rest: list[_Module], width: int | None) -> None:
        nonlocal best, tries
        tries += 1
        if len(chain) > len(best):
            best = list(chain)
        if tries > MOST_TRIES or len(best) == len(modules):
            return
        for place, module in enumerate(rest):
            fits = not chain or (not module.ids and (module.reads is None or width is None or module.reads == width))
            if fits:
                grow([*chain, module], [*rest[:place], *rest[place + 1 :]], module.makes if module.makes is not None else width)

    starts = sorted(modules, key=lambda module: not module.ids)
    grow([], starts, None)
    return best
