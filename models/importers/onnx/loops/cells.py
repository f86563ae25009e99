"""Which cell a step's equations are: LSTM, GRU with either reset, or a simple RNN, with its arrays in canonical order.

Knows no operators and no graphs: only what the new states are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.importers.onnx.loops.expressions import Affine, Atom, Monomial, expanded

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """`states`: of the loop, in the order of the layer's own."""

    kind: type[Layer]
    options: Mapping[str, Any]
    arrays: Mapping[str, Array]
    states: tuple[str, ...]


def cell_of(step: Affine, states: Mapping[str, Affine], new: Mapping[str, Affine]) -> Cell | None:
    """`step`: what is read; `states`, `new`: before and after, by the loop's names. None: it is none of these."""
    if len(states) == 2:
        first, second = states
        return _lstm(step, states, new, (first, second)) or _lstm(step, states, new, (second, first))
    if len(states) != 1:
        return None
    (name,) = states
    return _gru(step, name, states[name], new[name]) or _simple(step, name, states[name], new[name])


def _simple(step: Affine, name: str, h: Affine, new: Affine) -> Cell | None:
    atom = new.pure
    sums = _sums(atom, step, h)
    if atom is None or sums is None:
        return None
    kernel, recurrent, bias = sums
    return Cell(
        SimpleRnnLayer, {"activation": atom.function}, {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}, (name,)
    )


def _gru(step: Affine, name: str, h: Affine, new: Affine) -> Cell | None:
    """h' = z h + n - z n."""
    state, terms = h.pure, expanded(new)
    if state is None or terms is None or len(terms) != 3:
        return None
    alone = [key[0] for key, count in terms.items() if len(key) == 1 and count == 1]
    gates = [atom for key in terms if len(key) == 2 and state in key for atom in key if atom is not state]
    if len(alone) != 1 or len(gates) != 1 or terms != {_key(gates[0], state): 1, (alone[0],): 1, _key(gates[0], alone[0]): -1}:
        return None
    (candidate,), (z,) = alone, gates
    if candidate.function is None or len(candidate.arguments) != 1:
        return None
    inner = candidate.arguments[0]
    products = [atom for atom in inner.parts if atom.arguments and atom.function is None]
    rest = {atom for atom in inner.parts if atom not in products}
    read = step.pure
    if len(products) != 1 or read is None or not rest <= {read}:
        return None
    found = _reset(products[0], inner.parts[products[0]], state)
    sums = [_sums(gate, step, h) for gate in (z, None if found is None else found.gate)]
    if found is None or sums[0] is None or sums[1] is None or found.gate.function != z.function:
        return None
    x = inner.parts.get(read, np.zeros((read.width, inner.width)))
    kernels, recurrents, biases = zip(*(one for one in sums if one is not None))
    arrays = {
        "kernel": np.concatenate([*kernels, x], axis=1),
        "recurrent_kernel": np.concatenate([*recurrents, found.matrix], axis=1),
        "bias": np.concatenate([*biases, inner.bias]),
    }
    if found.after:
        arrays["recurrent_bias"] = np.concatenate([*(np.zeros_like(bias) for bias in biases), found.bias])
    options = {"activation": candidate.function, "recurrent_activation": z.function, "reset_after": found.after}
    return Cell(GruLayer, options, arrays, (name,))


@dataclass(frozen=True, slots=True)
class _Reset:
    """(r h) U, or `after` r (h U + bias)."""

    gate: Atom
    matrix: Array
    bias: Array
    after: bool


def _reset(product: Atom, matrix: Array, state: Atom) -> _Reset | None:
    for gate, other in (product.arguments, product.arguments[::-1]):
        r = gate.pure
        if r is None or r.function is None:
            continue
        if other.pure is state:
            return _Reset(r, matrix, np.zeros(matrix.shape[1]), after=False)
        if set(other.parts) == {state} and np.array_equal(matrix, np.eye(len(matrix))):
            return _Reset(r, other.parts[state], other.bias, after=True)
    return None


def _lstm(step: Affine, states: Mapping[str, Affine], new: Mapping[str, Affine], names: tuple[str, str]) -> Cell | None:
    """c' = f c + i g; h' = o activation(c')."""
    h, c = (states[name] for name in names)
    kept, shown, carried = expanded(new[names[1]]), expanded(new[names[0]]), c.pure
    if kept is None or shown is None or carried is None or len(kept) != 2 or len(shown) != 1:
        return None
    forget = _beside(kept, carried)
    rest = [key for key in kept if carried not in key]
    outer = next(iter(shown))
    if forget is None or len(rest) != 1 or len(rest[0]) != 2 or len(outer) != 2 or {*kept.values(), *shown.values()} != {1}:
        return None
    for i, g in (rest[0], rest[0][::-1]):
        for o, output in (outer, outer[::-1]):
            functions = {i.function, forget.function, o.function}
            if len(functions) != 1 or output.function is None or expanded(output.arguments[0]) != kept:
                continue
            sums = [_sums(gate, step, h) for gate in (i, forget, g, o)]
            if all(one is not None for one in sums):
                kernels, recurrents, biases = zip(*(one for one in sums if one is not None))
                arrays = {"kernel": np.concatenate(kernels, axis=1), "recurrent_kernel": np.concatenate(recurrents, axis=1)}
                options: dict[str, Any] = {"activation": g.function, "recurrent_activation": i.function}
                if output.function != g.function:
                    options["output_activation"] = output.function
                return Cell(LstmLayer, options, arrays | {"bias": np.concatenate(biases)}, names)
    return None


def _beside(terms: Mapping[Monomial, float], state: Atom) -> Atom | None:
    found = [atom for key in terms if len(key) == 2 and state in key for atom in key if atom is not state]
    return found[0] if len(found) == 1 and found[0].function is not None else None


def _sums(gate: Atom | None, step: Affine, h: Affine) -> tuple[Array, Array, Array] | None:
    """What goes into a function of the step and the state: (kernel, recurrent kernel, bias)."""
    read, state = step.pure, h.pure
    if gate is None or gate.function is None or len(gate.arguments) != 1 or read is None or state is None:
        return None
    inner = gate.arguments[0]
    if not set(inner.parts) <= {read, state}:
        return None
    none = [np.zeros((atom.width, inner.width)) for atom in (read, state)]
    return inner.parts.get(read, none[0]), inner.parts.get(state, none[1]), inner.bias


def _key(*atoms: Atom) -> Monomial:
    return tuple(sorted(atoms, key=id))
