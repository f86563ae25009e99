"""Recurrences that were taken apart into single operations, put together again: by the modules that the calls say they are of.

What a module of torch's would make of the same arrays is computed for one example, and must be what its calls make there. Cells
in a loop of the program's own stay apart, each its step.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import torch

from cellserve.models.importers.pytorch.export.evaluation import NotAllowed, evaluated, is_ignored, widened
from cellserve.models.importers.pytorch.export.program import Call, Named, Program, names_in
from cellserve.models.importers.pytorch.export.recurrent import RECURRENT
from cellserve.models.importers.pytorch.export.translation import ALLOWED

CELLS: Final[Mapping[str, tuple[str, ...]]] = {
    "LSTMCell": ("lstm_cell",),
    "GRUCell": ("gru_cell",),
    "RNNCell": ("rnn_tanh_cell", "rnn_relu_cell"),
}
MODULES: Final[Mapping[str, tuple[str, ...]]] = {"LSTM": ("lstm",), "GRU": ("gru",), "RNN": ("rnn_tanh", "rnn_relu")}
"""Of each class of torch's, the operations that it may be."""

SIDES: Final = ("", "_reverse")
ARRAYS: Final = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
EXAMPLE: Final = 8  # rows, or steps, where the program takes any number
MOST_CHOICES: Final = 64


@dataclass(frozen=True, slots=True)
class _Group:
    """`calls`: by their numbers; `reads`: tensors from elsewhere that are none of its arrays; `shown`: what others read of it."""

    place: str
    kind: str
    calls: tuple[int, ...]
    reads: tuple[str, ...]
    shown: tuple[str, ...]


def regrouped(program: Program) -> Program:
    """The same program, where nothing was taken apart or what was cannot be put together."""
    apart = {call.kind.rpartition(".")[2] for call in program.calls} & {*CELLS, *MODULES}
    if not apart or any(call.operator in RECURRENT for call in program.calls):
        return program
    values = _values(program)
    if values is None:
        return program
    calls: dict[int, Call | None] = dict(enumerate(program.calls))
    inner = set[int]()
    for group in _groups(program):
        whole = next(_wholes(group, program, values), None)
        if whole is not None:
            made = set(whole.made)
            replaced = [number for number in group.calls if made & set(program.calls[number].made)]
            calls |= dict.fromkeys(replaced)
            calls[replaced[0]] = whole
            inner.update(group.calls)
    return replace(program, calls=tuple(_without_dead(calls, inner, program.outputs)))


def _without_dead(calls: Mapping[int, Call | None], inner: Set[int], outputs: Sequence[str]) -> list[Call]:
    """`inner`: calls that stay only if what they make is read."""
    wanted, kept = set(outputs), []
    for number, call in sorted(calls.items(), key=lambda item: -item[0]):
        if call is not None and (number not in inner or wanted & set(call.made)):
            kept.append(call)
            wanted.update(names_in(call.given.values()))
    return kept[::-1]


def _values(program: Program) -> dict[str, Any] | None:
    """Of every name, for one example; None: it does not run."""
    generator = torch.Generator().manual_seed(0)
    scope: dict[str, Any] = {name: widened(tensor).clone() for name, tensor in program.constants.items()}
    for entry in program.inputs:
        sizes = [EXAMPLE if size is None else size for size in entry.sizes]
        floats = entry.dtype.is_floating_point
        scope[entry.name] = torch.randn(sizes, generator=generator) if floats else torch.zeros(sizes, dtype=entry.dtype)
    try:
        for call in program.calls:
            if not is_ignored(call):
                scope.update(zip(call.made, _computed(call, scope)))
    except NotAllowed:
        return None
    except Exception:
        return None
    return scope


def _computed(call: Call, scope: Mapping[str, Any]) -> list[Any]:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluated(call, scope, ALLOWED)


def _groups(program: Program) -> Iterator[_Group]:
    """Of a module all its calls, of a cell those of each of its steps."""
    fed = {entry.name for entry in program.inputs}
    open_: dict[str, tuple[list[int], set[str]]] = {}
    found: list[tuple[str, str, list[int]]] = []
    for number, call in enumerate(program.calls):
        names = set(names_in(call.given.values()))
        if names & fed:
            fed |= set(call.made)
        kind = call.kind.rpartition(".")[2]
        if kind not in CELLS and kind not in MODULES:
            continue
        own = {name for name in names if program.places.get(name, "").startswith(f"{call.place}.weight")}
        if call.place not in open_ or (kind in CELLS and own & open_[call.place][1]):
            open_[call.place] = [], set()
            found.append((call.place, kind, open_[call.place][0]))
        if names & fed or kind in MODULES:
            open_[call.place][0].append(number)
            open_[call.place][1].update(own)
    for place, kind, numbers in found:
        if numbers:
            yield _group(program, place, kind, numbers)


def _group(program: Program, place: str, kind: str, numbers: Sequence[int]) -> _Group:
    inside = [program.calls[number] for number in numbers]
    made = {name for call in inside for name in call.made}
    reads = [name for call in inside for name in names_in(call.given.values()) if name not in made and name not in program.places]
    elsewhere = [call for number, call in enumerate(program.calls) if number not in numbers]
    asked = {*program.outputs, *(name for call in elsewhere for name in names_in(call.given.values()))}
    return _Group(place, kind, tuple(numbers), tuple(dict.fromkeys(reads)), tuple(name for name in made if name in asked))


def _wholes(group: _Group, program: Program, values: Mapping[str, Any]) -> Iterator[Call]:
    """The one call that makes all that is shown of a group."""
    arrays = {place.rpartition(".")[2]: name for name, place in program.places.items() if place.rpartition(".")[0] == group.place}
    made_inside = [name for number in group.calls for name in program.calls[number].made]
    tensors = [name for name in (*group.reads, *made_inside) if isinstance(values.get(name), torch.Tensor)]
    choices = _cell_calls(group, arrays, tensors, values) if group.kind in CELLS else _calls(group, arrays, tensors, values)
    for number, call in enumerate(choices):
        if number >= MOST_CHOICES:
            return
        try:
            made = _computed(call, values)
        except Exception:
            continue
        names = [next((own for own in group.shown if _same(values[own], one)), "") for one in made]
        if set(group.shown) == set(names) - {""}:
            yield replace(call, made=tuple(names))


def _same(one: Any, other: torch.Tensor) -> bool:
    return isinstance(one, torch.Tensor) and one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def _cell_calls(group: _Group, arrays: Mapping[str, str], tensors: Sequence[str], values: Mapping[str, Any]) -> Iterator[Call]:
    if not {"weight_ih", "weight_hh"} <= arrays.keys():
        return
    width, units = values[arrays["weight_ih"]].shape[1], values[arrays["weight_hh"]].shape[1]
    given = {name: Named(arrays[own]) for name, own in zip(("w_ih", "w_hh", "b_ih", "b_hh"), ARRAYS) if own in arrays}
    inputs = [name for name in tensors if name in group.reads and values[name].dim() == 2]
    x, states = ([name for name in inputs if values[name].shape[1] == size] for size in (width, units))
    for operator in CELLS[group.kind]:
        for name, *begin in product(x, *[states] * (2 if operator == "lstm_cell" else 1)):
            hx: Any = [Named(one) for one in begin] if operator == "lstm_cell" else Named(begin[0])
            yield _call(group, f"aten.{operator}.default", {"input": Named(name), "hx": hx, **given})


def _calls(group: _Group, arrays: Mapping[str, str], tensors: Sequence[str], values: Mapping[str, Any]) -> Iterator[Call]:
    if "weight_ih_l0" not in arrays:
        return
    layers = next(number for number in range(1, 1 + len(arrays)) if f"weight_ih_l{number}" not in arrays)
    sides = SIDES[: 2 if "weight_ih_l0_reverse" in arrays else 1]
    own = [f"{name}_l{layer}{side}" for layer in range(layers) for side in sides for name in (*ARRAYS, "weight_hr")]
    width = values[arrays["weight_ih_l0"]].shape[1]
    inputs = [name for name in tensors if name in group.reads and values[name].dim() == 3 and values[name].shape[2] == width]
    states = [name for name in tensors if values[name].dim() == 3 and values[name].shape[0] == layers * len(sides)]
    given = {
        "params": [Named(arrays[name]) for name in own if name in arrays],
        "has_biases": "bias_ih_l0" in arrays,
        "num_layers": layers,
        "dropout": 0.0,
        "train": False,
        "bidirectional": len(sides) == 2,
    }
    for operator in MODULES[group.kind]:
        for name, *begin in product(inputs, *[states] * (2 if operator == "lstm" else 1)):
            hx: Any = [Named(one) for one in begin] if operator == "lstm" else Named(begin[0])
            own_inputs = {"input": Named(name), "hx": hx, **given}
            for batch_first in (True, False):
                yield _call(group, f"aten.{operator}.input", {**own_inputs, "batch_first": batch_first})


def _call(group: _Group, operation: str, given: Mapping[str, Any]) -> Call:
    return Call(f"{group.place}_{group.calls[0]}", operation, given, (), group.place, group.kind)
