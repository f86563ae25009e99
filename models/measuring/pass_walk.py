"""Takes whole rows through all passes of a network, side by side and cut: what an engine does, without a queue and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from cellserve.models.description.step_counts import Fed, steps_of
from cellserve.models.network import Network
from cellserve.models.passes.chunk import Key, gather, scatter
from cellserve.models.passes.memory import Array
from cellserve.models.passes.network import PassNetwork
from cellserve.models.state import RecurrentState

Cuts = Callable[[int], Iterator[tuple[int, int]]]
"""The time steps of the longest row -> (start, stop) of every chunk."""


def walk(
    network: Network,
    passes: PassNetwork,
    inputs: Sequence[Array],  # as the spec lists them: [B, T, F], ids [B, T], or vectors [B, width]
    lengths: Sequence[Fed],  # [B]
    cuts: Cuts,
    implementation: str,
) -> tuple[list[list[Array]], RecurrentState]:
    """(the outputs of each row, cut at its length; the final states), without masks, from states of zeros."""
    named = list(zip([entry.kind for entry in network.spec.inputs], inputs))
    memories = [
        passes.memory([a[row] if kind == "vector" else a[row, : steps_of(fed, i)] for i, (kind, a) in enumerate(named)], None)
        for row, fed in enumerate(lengths)
    ]
    state, device = network.initial_state(len(memories)), torch.device(network.device)
    for index, one in enumerate(passes.passes):
        steps = [passes.steps(length)[index] for length in lengths]
        for start, stop in cuts(max(steps)):
            rows = [row for row, whole in enumerate(steps) if whole > start]
            held, starts = [memories[row] for row in rows], [start] * len(rows)
            counts = [min(stop, steps[row]) - start for row in rows]
            chunk = gather(one, held, starts, counts, _staged_on(device), device)
            made, advanced = passes.advance(index, chunk, state.take(rows), implementation=implementation)
            state.put(rows, advanced)
            scatter(made, held, starts, counts, [steps[row] for row in rows])
            ending = [place for place, row in enumerate(rows) if steps[row] <= stop]
            vectors = passes.finish(index, made, chunk, [held[place] for place in ending], ending) if ending else {}
            for number, place in enumerate(ending):
                kept = {name: vector[number].numpy(force=True) for name, vector in vectors.items()}
                passes.end_pass(index, held[place], kept)
    return [passes.outputs(memory) for memory in memories], state


def _staged_on(device: torch.device) -> Callable[[Key, Sequence[Array], int], Tensor]:
    def stage(key: Key, rows: Sequence[Array], steps: int) -> Tensor:
        area = np.zeros((steps, len(rows), *rows[0].shape[1:]), rows[0].dtype)
        for column, row in enumerate(rows):
            area[: len(row), column] = row
        return torch.from_numpy(area).to(device)

    return stage
