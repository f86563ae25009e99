"""Runs a golden case through the oracle or through one implementation. Knows no tolerances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellserve.models import reference
from cellserve.models.description.state_layout import SEEN
from cellserve.models.importers import ImportedModel
from cellserve.models.network import Network
from cellserve.models.state import RecurrentState
from tests.golden.cases import GoldenCall, GoldenCase
from tests.models.passing import Feeder

Array = npt.NDArray[Any]
Answer = tuple[tuple[Array, ...], Mapping[str, Array]]

CHUNK_STEPS = 2


def by_oracle(case: GoldenCase, model: ImportedModel) -> list[Answer]:
    answers: list[Answer] = []
    state: Mapping[str, Array] | None = None
    for call in case.calls:
        outputs, state = reference.run(model.spec, model.weights.arrays, call.inputs, _feds(call), state=state)
        answers.append((outputs, state))
    return answers


def by_network(case: GoldenCase, network: Network, implementation: str) -> list[Answer]:
    """Each call as a whole."""
    answers: list[Answer] = []
    state = network.initial_state(len(case.calls[0].inputs[0]))
    for call in case.calls:
        outputs, state = network.run(_inputs(network, call), _feds(call), _new_call(state), implementation=implementation)
        given = tuple(_batch_major(network, i, one, call.lengths) for i, one in enumerate(outputs))
        answers.append((given, _states(state)))
    return answers


def by_network_in_chunks(case: GoldenCase, network: Network, implementation: str) -> list[Answer]:
    """Each call cut into chunks of two steps, as the engine cuts it. Causal networks only."""
    answers: list[Answer] = []
    state = network.initial_state(len(case.calls[0].inputs[0]))
    for call in case.calls:
        (inputs,) = _inputs(network, call)
        state, parts = _new_call(state), []
        for start in range(0, len(inputs), CHUNK_STEPS):
            live = [row for row, length in enumerate(_lengths(call)) if length > start]
            chunk = inputs[start : start + CHUNK_STEPS, live]
            lengths = [min(len(chunk), _lengths(call)[row] - start) for row in live]
            made, advanced = network.advance(chunk, lengths, state.take(live), implementation=implementation)
            state.put(live, advanced)
            parts.append((live, lengths, network.finish(made, list(range(len(live))))))
        outputs = tuple(_joined(network, i, len(inputs[0]), parts) for i in range(len(network.spec.outputs)))
        answers.append((outputs, _states(state)))
    return answers


def by_network_in_calls(case: GoldenCase, network: Network, implementation: str) -> list[Answer]:
    """As by_network_in_chunks, each chunk in one call, if none of its steps is masked.

    Networks that offer it only.
    """
    run = network.chunk_call(implementation)
    assert run is not None
    answers: list[Answer] = []
    state = network.initial_state(len(case.calls[0].inputs[0]))
    for call in case.calls:
        inputs, lengths = _inputs(network, call)[0].numpy(), _lengths(call)
        state, parts = _new_call(state), []
        for start in range(0, len(inputs), CHUNK_STEPS):
            live = [row for row, length in enumerate(lengths) if length > start]
            counts = [min(CHUNK_STEPS, lengths[row] - start) for row in live]
            steps = [inputs[start : start + count, row] for row, count in zip(live, counts)]
            if any(run.refuses(row) for row in steps):
                chunk = torch.from_numpy(inputs[start : start + CHUNK_STEPS, live])
                made, advanced = network.advance(chunk, counts, state.take(live), implementation=implementation)
                state.put(live, advanced)
                parts.append((live, counts, network.finish(made, list(range(len(live))))))
                continue
            answer = run(_padded(steps), counts, state.data.numpy()[live], range(len(live)))
            state.put(live, RecurrentState(state.layout, torch.from_numpy(answer.state)))
            parts.append((live, counts, tuple(_time_major(network, i, output) for i, output in enumerate(answer.outputs))))
        outputs = tuple(_joined(network, i, len(inputs[0]), parts) for i in range(len(network.spec.outputs)))
        answers.append((outputs, _states(state)))
    return answers


def _padded(rows: Sequence[Array]) -> Array:
    """[B, T, …]; beyond the end of a row the first step of all, which every layer can take."""
    padded = np.empty((len(rows), max(map(len, rows)), *rows[0].shape[1:]), rows[0].dtype)
    padded[:] = rows[0][0]
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded


def _time_major(network: Network, index: int, output: Array) -> torch.Tensor:
    """A sequence output [B, T, …] as [T, B, …]; a vector as it is."""
    tensor = torch.from_numpy(output)
    return tensor.transpose(0, 1) if network.shapes[network.spec.outputs[index]].sequence else tensor


def by_network_in_passes(case: GoldenCase, network: Network, implementation: str) -> list[Answer]:
    """Each call pass by pass, in chunks of two steps, as the engine cuts long sequences. Networks that are not causal only."""
    answers: list[Answer] = []
    state = network.initial_state(len(case.calls[0].inputs[0]))
    for call in case.calls:
        feeder = Feeder(network, [(row, None) for row in _rows(network, call)], _new_call(state))
        feeder.finish(lambda low, high: min(high, CHUNK_STEPS) if low else 0, lambda: implementation)
        state = feeder.state
        rows = [feeder.outputs(row) for row in range(len(call.inputs[0]))]
        answers.append((tuple(_side_by_side(pieces) for pieces in zip(*rows)), _states(state)))
    return answers


def _rows(network: Network, call: GoldenCall) -> list[tuple[Array, ...]]:
    """Each row's inputs, cut at its length."""
    kinds = [entry.kind for entry in network.spec.inputs]
    arrays = [array.astype(np.int64) if kind == "ids" else array for kind, array in zip(kinds, call.inputs)]
    return [
        tuple(array[row] if kind == "vector" else array[row, :length] for kind, array, length in zip(kinds, arrays, fed))
        for row, fed in enumerate(_feds(call))
    ]


def _side_by_side(rows: Sequence[Array]) -> Array:
    """[B, …]; zeros where a row has fewer steps than others."""
    joined = np.zeros((len(rows), *np.max([row.shape for row in rows], axis=0)), rows[0].dtype)
    for place, row in enumerate(rows):
        joined[(place, *map(slice, row.shape))] = row
    return joined


def _joined(network: Network, index: int, rows: int, parts: list[tuple[list[int], list[int], tuple[torch.Tensor, ...]]]) -> Array:
    """One output of every chunk, joined: a sequence with zeros where a row has ended, or the vector at each row's end."""
    pieces = [(live, _batch_major(network, index, outputs[index], lengths)) for live, lengths, outputs in parts]
    if network.shapes[network.spec.outputs[index]].sequence:
        padded = [np.zeros((rows, *piece.shape[1:]), dtype=piece.dtype) for _, piece in pieces]
        for whole, (live, piece) in zip(padded, pieces):
            whole[live] = piece
        return np.concatenate(padded, axis=1)
    last = np.zeros((rows, *pieces[0][1].shape[1:]), dtype=np.float32)
    for live, piece in pieces:
        last[live] = piece
    return last


def pairs(case: GoldenCase, answers: list[Answer]) -> list[tuple[str, Array, Array]]:
    """(what, expected, found) for every output and every known state of every call."""
    listed: list[tuple[str, Array, Array]] = []
    for number, (call, (outputs, states)) in enumerate(zip(case.calls, answers, strict=True)):
        for index, (expected, found) in enumerate(zip(call.outputs, outputs, strict=True)):
            listed.append((f"call {number}, output {index}", expected, found))
        listed += [(f"call {number}, state {key}", expected, states[key]) for key, expected in call.states.items()]
    return listed


def _new_call(state: RecurrentState) -> RecurrentState:
    """What a framework keeps between calls: the states, but not what was emitted last."""
    kept = RecurrentState(state.layout, state.data.clone())
    for columns in state.layout.columns:
        if columns.state == SEEN:
            kept.view(columns.layer_index, SEEN).zero_()
    return kept


def _feds(call: GoldenCall) -> list[tuple[int, ...]]:
    """The time steps of each row of each input."""
    if call.lengths is not None:
        return [(length,) * len(call.inputs) for length in call.lengths]
    return [tuple(array.shape[1] for array in call.inputs)] * len(call.inputs[0])


def _lengths(call: GoldenCall) -> list[int]:
    return [call.inputs[0].shape[1]] * len(call.inputs[0]) if call.lengths is None else list(call.lengths)


def _inputs(network: Network, call: GoldenCall) -> tuple[torch.Tensor, ...]:
    tensors = []
    for entry, array in zip(network.spec.inputs, call.inputs, strict=True):
        tensor = torch.from_numpy(array.astype(np.int64) if entry.kind == "ids" else array)
        tensors.append(tensor if entry.kind == "vector" else tensor.transpose(0, 1).contiguous())
    return tuple(tensors)


def _batch_major(network: Network, index: int, tensor: torch.Tensor, lengths: Sequence[int] | None) -> Array:
    """Zeros beyond each row's length where lengths are given: a network leaves anything there."""
    if not network.shapes[network.spec.outputs[index]].sequence:
        return tensor.numpy()
    rows = tensor.transpose(0, 1).clone().numpy()
    for row, length in zip(rows, lengths or ()):
        row[length:] = 0
    return rows


def _states(state: RecurrentState) -> dict[str, Array]:
    return {one.key: state.view(one.layer_index, one.state).numpy() for one in state.layout.public}
