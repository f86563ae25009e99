"""Feeds a network that is not causal the way an engine does: pass by pass, each row with its own chunks and batch-mates, anything
finite wherever nothing is fed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from cellserve.models.network import Network
from cellserve.models.passes.chunk import Key, gather, scatter
from cellserve.models.passes.memory import Array, PassMemory
from cellserve.models.passes.network import PassNetwork
from cellserve.models.state import RecurrentState
from tests.models.networks import Case, agree

NONSENSE = 3  # finite, and an id of every vocabulary here


def staged(key: Key, rows: Sequence[Array], steps: int) -> torch.Tensor:
    area = np.full((steps, len(rows), *rows[0].shape[1:]), NONSENSE).astype(rows[0].dtype)
    for column, row in enumerate(rows):
        area[: len(row), column] = row
    return torch.from_numpy(area)


class Feeder:
    """Rows of one network; `most_bytes` is the most that any row had stored after a chunk."""

    def __init__(self, network: Network, rows: Sequence[tuple[Sequence[Array], Array | None]], state: RecurrentState) -> None:
        assert network.passes is not None
        self.passes: PassNetwork = network.passes
        self.network = network
        self.state = state
        self.memories = [self.passes.memory(inputs, mask) for inputs, mask in rows]
        fed = [tuple(map(len, inputs)) for inputs, _ in rows]
        self.left = [list(enumerate(self.passes.steps(length))) for length in fed]
        self.position = [0] * len(rows)
        self.most_bytes = [0] * len(rows)

    def feed(self, rows: Sequence[int], counts: Sequence[int], label: str, ended_states: bool = True) -> None:
        """Advances rows of the same pass by so many steps each."""
        (index, starts), memories = (
            (self.left[rows[0]][0][0], [self.position[row] for row in rows]),
            [self.memories[r] for r in rows],
        )
        one = self.passes.passes[index]
        steps = [self.left[row][0][1] for row in rows]
        chunk = gather(one, memories, starts, counts, self._staged, self.network.device)
        made, state = self.passes.advance(index, chunk, self.state.take(rows), implementation=label, ended_states=ended_states)
        self.state.put(rows, state)
        scatter(made, memories, starts, counts, steps)
        ending = [i for i, (start, count, whole) in enumerate(zip(starts, counts, steps)) if start + count == whole]
        self._note(rows)
        if ending:
            vectors = self.passes.finish(index, made, chunk, [memories[i] for i in ending], ending)
            for place, i in enumerate(ending):
                self.passes.end_pass(index, memories[i], {name: made[place].numpy(force=True) for name, made in vectors.items()})
        for i, row in enumerate(rows):
            self.position[row] += counts[i]
            if i in ending:
                self.left[row].pop(0)
                self.position[row] = 0

    def finish(self, draw: Callable[[int, int], int], label: Callable[[], str], ended_states: bool = True) -> None:
        """Everybody to the end; `draw(low, high)` says how many rows and steps go next. Without `ended_states` cuts are even."""
        while live := [row for row, left in enumerate(self.left) if left]:
            index = self.left[live[draw(0, len(live) - 1)]][0][0]
            rows = [row for row in live if self.left[row][0][0] == index]
            rows = rows[: draw(1, len(rows))]
            most = [self.left[row][0][1] - self.position[row] for row in rows]
            common = draw(1, max(most))
            counts = [draw(1, one) if ended_states else min(common, one) for one in most]
            self.feed(rows, counts, label(), ended_states)

    def outputs(self, row: int) -> list[Array]:
        return self.passes.outputs(self.memories[row])

    def _staged(self, key: Key, rows: Sequence[Array], steps: int) -> torch.Tensor:
        return staged(key, rows, steps).to(self.network.device)

    def _note(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.most_bytes[row] = max(self.most_bytes[row], self.memories[row].stored_bytes)


def stored(memory: PassMemory) -> set[str]:
    return {*memory.sequences, *memory.masks}


def feeder(case: Case, network: Network) -> Feeder:
    """The rows of a case, each cut at its length."""
    rows = [
        ((case.inputs[row, :length],), None if case.mask is None else case.mask[row, :length])
        for row, length in enumerate(case.lengths)
    ]
    return Feeder(network, rows, case.start(network))


def passes_agree_with_oracle(case: Case, made: Feeder, label: str) -> None:
    expected, _ = case.expected()
    for row, length in enumerate(case.lengths):
        for name, actual, oracle in zip(case.spec.outputs, made.outputs(row), expected, strict=True):
            shape = made.network.shapes[name]
            right = oracle[row, : shape.step_count.steps(length)] if shape.sequence else oracle[row]
            assert actual.shape == right.shape
            agree(actual, right, f"implementation {label}: output {name}, row {row}")
