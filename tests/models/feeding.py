"""Feeds a network the way an engine does: rows in and out of batches, each with its own chunks, NaN wherever nothing is fed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st

from cellserve.models.network import Network
from cellserve.models.state import RecurrentState
from tests.models.networks import Array, Case, batch_major, public_states, time_major


def in_chunks(
    case: Case, network: Network, label: Callable[[], str], data: st.DataObject, *, ended_states: bool = True
) -> tuple[list[Array], dict[str, Array]]:
    """Outputs (batch-major, joined over the chunks) and states, like `run_whole`. `label` is asked for every chunk.

    Without `ended_states` only rows at their ends are shorter than a chunk, and the states of these are NaN.
    """
    device = str(network.device)
    pool = case.start(network)
    position = [0] * len(case.lengths)
    answers: list[list[list[Array]]] = [[] for _ in case.lengths]  # row, chunk, output
    while rows := [row for row, length in enumerate(case.lengths) if position[row] < length]:
        left = [case.lengths[row] - position[row] for row in rows]
        if ended_states:
            counts = [data.draw(st.integers(1, most)) for most in left]
        else:
            common = data.draw(st.integers(1, max(left)))
            counts = [min(common, most) for most in left]
        inputs, mask = _chunk(case, rows, [position[row] for row in rows], counts, max(counts) + ended_states)
        advance, state = network.advance(
            time_major(inputs, device),
            counts,
            pool.take(rows),
            mask=None if mask is None else time_major(mask, device),
            implementation=label(),
            ended_states=ended_states,
        )
        if not ended_states:
            short = torch.tensor(counts, device=device) < max(counts)
            state = RecurrentState(state.layout, torch.where(short.unsqueeze(1), torch.nan, state.data))
        pool.put(rows, state)
        outputs = batch_major(case.spec, network.finish(advance, range(len(rows))))
        for place, (row, count) in enumerate(zip(rows, counts)):
            position[row] += count
            answers[row].append([out[place, :count] if seq else out[place] for out, seq in zip(outputs, _sequences(network))])
    return [_joined(answers, index, seq) for index, seq in enumerate(_sequences(network))], public_states(pool)


def _sequences(network: Network) -> list[bool]:
    return [network.shapes[name].sequence for name in network.spec.outputs]


def _chunk(case: Case, rows: list[int], starts: list[int], counts: list[int], steps: int) -> tuple[Array, np.ndarray | None]:
    nothing = np.nan if case.inputs.dtype == np.float32 else 10**9
    inputs = np.full((len(rows), steps, *case.inputs.shape[2:]), nothing, dtype=case.inputs.dtype)
    mask = None if case.mask is None else np.ones((len(rows), steps), dtype=bool)
    for place, (row, start, count) in enumerate(zip(rows, starts, counts)):
        inputs[place, :count] = case.inputs[row, start : start + count]
        if mask is not None and case.mask is not None:
            mask[place, :count] = case.mask[row, start : start + count]
    return inputs, mask


def _joined(answers: list[list[list[Array]]], index: int, sequence: bool) -> Array:
    if not sequence:
        return np.stack([chunks[-1][index] for chunks in answers])
    rows = [np.concatenate([chunk[index] for chunk in chunks]) for chunks in answers]
    padded = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), np.nan, dtype=np.float32)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded


def in_chunk_calls(case: Case, network: Network, label: str, data: st.DataObject) -> tuple[list[Array], dict[str, Array]]:
    """As `in_chunks`, by one call for each; vectors are asked for only where rows end."""
    call = network.chunk_call(label)
    assert call is not None
    pool = case.start(network).data.numpy().copy()
    position = [0] * len(case.lengths)
    answers: list[list[list[Array]]] = [[] for _ in case.lengths]
    while left := [row for row, length in enumerate(case.lengths) if position[row] < length]:
        rows = data.draw(st.permutations(left))[: data.draw(st.integers(1, len(left)))]
        counts = [data.draw(st.integers(1, case.lengths[row] - position[row])) for row in rows]
        windows = [slice(position[row], position[row] + count) for row, count in zip(rows, counts)]
        ending = [place for place, row in enumerate(rows) if windows[place].stop == case.lengths[row]]
        steps = np.ones((len(rows), max(counts), *case.inputs.shape[2:]), case.inputs.dtype)
        for place, (row, window) in enumerate(zip(rows, windows)):
            steps[place, : counts[place]] = case.inputs[row, window]
        before = pool[rows]
        answer = call(steps, counts, before, ending)
        np.testing.assert_array_equal(before, pool[rows])
        pool[rows] = answer.state
        for place, (row, count) in enumerate(zip(rows, counts)):
            position[row] += count
            at_end = ending.index(place) if place in ending else None
            answers[row].append(
                [
                    out[place, :count] if sequence else np.zeros(0) if at_end is None else out[at_end]
                    for out, sequence in zip(answer.outputs, _sequences(network))
                ]
            )
    outputs = [_joined(answers, index, sequence) for index, sequence in enumerate(_sequences(network))]
    return outputs, public_states(RecurrentState(network.state_layout, torch.from_numpy(pool)))
