"""Which modules a state dict belongs to, told from the names and shapes of its arrays. Knows no ModelSpec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.pytorch.records import BY_KIND

Arrays = Mapping[str, npt.NDArray[Any]]
RECURRENT_NAME: Final = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?")
GATES: Final = {kind: len(record.order) for kind, record in BY_KIND.items()}


class UnknownModule(ImportRefused):
    """A module whose place in the network a person has to say."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix, perhaps with a bias; without one it may as well be the table of an nn.Embedding."""

    name: str
    arrays: Arrays  # weight [out, in] ([vocabulary, units] of an Embedding), bias [out]

    @property
    def input_width(self) -> int:
        return int(self.arrays["weight"].shape[1])

    @property
    def output_width(self) -> int:
        return int(self.arrays["weight"].shape[0])

    @property
    def output_width_as_table(self) -> int:
        return int(self.arrays["weight"].shape[1])


@dataclass(frozen=True, slots=True)
class RecurrentStack:
    """torch.nn.LSTM, GRU or RNN. `directions[k]`: the arrays of layer k, forward first, by torch's names without suffix."""

    name: str
    kind: str
    units: int
    directions: tuple[tuple[Arrays, ...], ...]

    @property
    def input_width(self) -> int:
        return int(self.directions[0][0]["weight_ih"].shape[1])

    @property
    def output_width(self) -> int:
        return sum(int(direction["weight_hh"].shape[1]) for direction in self.directions[-1])


Module = Linear | RecurrentStack


def modules(arrays: Arrays, order: Sequence[str] | None, source: str) -> tuple[list[Module], dict[str, tuple[int, ...]]]:
    """The modules in the order of the file, or as `order` names them; and the arrays of those that it does not name, by name.

    Raises ImportRefused naming the module that is not known.
    """
    owned: dict[str, dict[str, npt.NDArray[Any]]] = {}
    left: dict[str, tuple[int, ...]] = {}
    for name, array in arrays.items():
        owner, _, own = name.rpartition(".")
        owned.setdefault(owner, {})[own] = array
        if order is not None and owner not in order:
            left[name] = array.shape
    found = {owner: _module(owner, own, source) for owner, own in owned.items() if order is None or owner in order}
    for name in order or ():
        if name not in found:
            raise ImportRefused(
                source, f"the state dict holds no module of this name; it holds {_listed(owned)}", layer=name, option="order"
            )
    return [found[name] for name in order or found], left


def _module(name: str, own: dict[str, npt.NDArray[Any]], source: str) -> Module:
    if all(RECURRENT_NAME.fullmatch(array) for array in own):
        return _recurrent(name, own, source)
    shown = name or "(top)"
    if set(own) <= {"weight", "bias"} and "weight" in own and own["weight"].ndim == 2:
        return Linear(name, own)
    if transitions := sorted(array for array in own if "transitions" in array):
        raise ImportRefused(
            source,
            f"this is a CRF ({', '.join(transitions)}), which chooses labels for a whole sequence behind the network. "
            f"The network's answers, its emissions, are served with `ignore: [{f'{name}.*' if name else ', '.join(own)}]` in a "
            "--description; decode them where they are read",
            layer=shown,
        )
    raise UnknownModule(
        source,
        f"this module ({', '.join(sorted(own))}) is {_what(own)}, and a state dict does not say how such a one is wired; a "
        "--description with `layers` does, and `cellserve inspect` proposes one that fits the shapes, to be edited. Modules that "
        "the recurrent model does not use can be left out by naming the others with `order`, single arrays by `ignore`",
        layer=shown,
    )


def _what(own: Mapping[str, Any]) -> str:
    """By its arrays, what it is beside the recurrent stacks, embeddings and matrices that are wired without being told."""
    if {"weight_ih", "weight_hh"} <= set(own):
        return "a single cell (nn.LSTMCell, nn.GRUCell, nn.RNNCell), whose loop is the program's own"
    if "running_var" in own:
        return "a batch normalization"
    if "weight" in own and own["weight"].ndim > 2:
        return f"a convolution over {own['weight'].ndim - 2} axes"
    return "a normalization or a function" if set(own) <= {"weight", "bias"} else "none that is known here"


def _recurrent(name: str, own: dict[str, npt.NDArray[Any]], source: str) -> RecurrentStack:
    slots: dict[tuple[int, int], dict[str, npt.NDArray[Any]]] = {}
    for array_name, array in own.items():
        match = RECURRENT_NAME.fullmatch(array_name)
        if match is not None:
            slots.setdefault((int(match[2]), 1 if match[3] else 0), {})[match[1]] = array
    depth = 1 + max(layer for layer, _ in slots)
    width = 1 + max(direction for _, direction in slots)
    if sorted(slots) != [(layer, direction) for layer in range(depth) for direction in range(width)]:
        raise ImportRefused(source, f"layers or directions are missing: it holds {_listed(own)}", layer=name or "(top)")
    for slot in slots.values():
        _check_slot(name, slot, source)
    first = slots[0, 0]
    kind = _kind(name, first, source)
    units = first["weight_ih"].shape[0] // GATES[kind]
    return RecurrentStack(name, kind, units, tuple(tuple(slots[layer, side] for side in range(width)) for layer in range(depth)))


def _check_slot(name: str, slot: Arrays, source: str) -> None:
    biases = {"bias_ih", "bias_hh"} & set(slot)
    if not {"weight_ih", "weight_hh"} <= set(slot) or len(biases) == 1:
        raise ImportRefused(source, f"arrays of a layer are missing: it holds {_listed(slot)}", layer=name or "(top)")
    if any(slot[array].ndim != 2 for array in ("weight_ih", "weight_hh")):
        raise ImportRefused(source, "its weight_ih or weight_hh is not a matrix; the file is damaged", layer=name or "(top)")


def _kind(name: str, slot: Arrays, source: str) -> str:
    """By the rows over the hidden units: 4 gates, 3, or 1. Only an LSTM has a projection, which narrows weight_hh."""
    rows, columns = slot["weight_hh"].shape
    if "weight_hr" in slot:
        return "lstm"
    for kind, gates in GATES.items():
        if rows == gates * columns:
            return kind
    raise ImportRefused(
        source, f"its weight_hh [{rows}, {columns}] is neither that of an LSTM, a GRU nor an RNN", layer=name or "(top)"
    )


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(name or "(top)" for name in names))
