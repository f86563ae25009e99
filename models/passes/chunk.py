"""The next time steps of several sequences in the same pass, side by side: gathered from their memories, and put back there.

How rows are laid side by side in memory is the caller's business. Knows no layers' equations and no queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cellserve.models.description.step_counts import Order
from cellserve.models.passes.memory import Array, PassMemory
from cellserve.models.passes.plan import Pass

Key = tuple[Literal["sequence", "mask"], Order, str]
Stage = Callable[[Key, Sequence[Array], int], Tensor]
"""(what, rows each [length, *features], T) -> [T, B, *features] on the device, anything finite beyond each length."""


@dataclass(frozen=True, slots=True)
class PassChunk:
    """sequences [T, B, …] by order and reference, or all that windows reach over [P, B, …]; masks [T, B] where any row has one.

    firsts: by order, for layers with windows, (where the first window begins, the steps of the row) of each row. vectors,
    totals: [B, …]. starts: the step of the pass at which each row's chunk begins. wholes: sequences whole, [T, B, …] with zeros
    beyond each row's length, and these lengths.
    """

    lengths: tuple[int, ...]
    starts: tuple[int, ...]
    sequences: Mapping[tuple[Order, str], Tensor]
    masks: Mapping[tuple[Order, str], Tensor]
    firsts: Mapping[Order, Sequence[tuple[int, int]]]
    vectors: Mapping[str, Tensor]
    totals: Mapping[str, Tensor]
    wholes: Mapping[str, tuple[Tensor, tuple[int, ...]]] = field(default_factory=dict)

    @property
    def starting(self) -> tuple[bool, ...]:
        """Whether it is the row's first chunk of the pass."""
        return tuple(start == 0 for start in self.starts)


@dataclass(frozen=True, slots=True)
class PassAdvance:
    """What a chunk made: sequences [T, B, …] and masks [T, B] to be stored; totals so far, vectors at each row's end [B, …]."""

    sequences: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    vectors: Mapping[str, Tensor]
    totals: Mapping[str, Tensor]


def gather(
    one: Pass, memories: Sequence[PassMemory], starts: Sequence[int], lengths: Sequence[int], stage: Stage, device: torch.device
) -> PassChunk:
    """Steps starts[b] … starts[b] + lengths[b] of the pass, for each row."""
    rows = list(zip(memories, starts, lengths))
    sequences: dict[tuple[Order, str], Tensor] = {}
    masks: dict[tuple[Order, str], Tensor] = {}
    firsts: dict[Order, list[tuple[int, int]]] = {}
    for view in one.views:
        order, steps = view.order, max(lengths)
        if not isinstance(order, str):
            steps = order.span(steps)
            firsts[order] = [memory.first(view.references[0], order, start) for memory, start, _ in rows]
        for reference in view.references:
            pieces = [memory.sequence(reference, order, start, length) for memory, start, length in rows]
            sequences[order, reference] = stage(("sequence", order, reference), pieces, steps)
        for source in view.masks:
            found = [memory.mask(source, order, start, length) for memory, start, length in rows]
            if any(piece is not None for piece in found):
                valid = [np.ones(length, np.bool_) if piece is None else piece for piece, length in zip(found, lengths)]
                masks[order, source] = stage(("mask", order, source), valid, steps)
    return PassChunk(
        tuple(lengths),
        tuple(starts),
        sequences,
        masks,
        firsts,
        {name: _stacked([memory.vectors[name] for memory in memories], device) for name in one.vectors},
        {layer.name: _stacked([memory.totals[layer.name] for memory in memories], device) for layer in one.pooled},
        {name: _whole([memory.sequences[name] for memory in memories], device) for name in one.gathered},
    )


def scatter(
    made: PassAdvance, memories: Sequence[PassMemory], starts: Sequence[int], lengths: Sequence[int], steps: Sequence[int]
) -> None:
    """Puts what a chunk made into each row's memory. steps: of the pass, for each row."""
    rows = list(zip(memories, starts, lengths, steps))
    for name, tensor in made.sequences.items():
        array = tensor.numpy(force=True)
        for column, (memory, start, length, whole) in enumerate(rows):
            memory.put(name, start, array[:length, column], whole)
    for name, tensor in made.masks.items():
        array = tensor.numpy(force=True)
        for column, (memory, start, length, whole) in enumerate(rows):
            memory.put_mask(name, start, array[:length, column], whole)
    for name, tensor in made.totals.items():
        for memory, total in zip(memories, tensor.numpy(force=True)):
            memory.totals[name] = total


def _whole(rows: Sequence[Array], device: torch.device) -> tuple[Tensor, tuple[int, ...]]:
    lengths = tuple(len(row) for row in rows)
    padded = np.zeros((max(lengths), len(rows), *rows[0].shape[1:]), rows[0].dtype)
    for column, row in enumerate(rows):
        padded[: len(row), column] = row
    return torch.from_numpy(padded).to(device), lengths


def _stacked(rows: Sequence[Array], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(rows)).to(device)
