"""What a pass is: layers that can be fed a chunk at a time, what they read of what is stored, and what they leave. Facts only.

Any network is a list of passes (cutting.py makes it). Within a pass each step of what is made needs only the steps so far of
what is read; the sequences that a later pass reads otherwise are stored whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cellserve.models.description.step_counts import Fed, Order, StepCount
from cellserve.models.spec import LayerSpec


@dataclass(frozen=True, slots=True)
class View:
    """What a pass reads in one order. references: inputs and stored sequences; masks: by the tensors that made them.

    layers: the cheap ones, made again from the inputs among the references.
    """

    order: Order
    references: tuple[str, ...]
    masks: tuple[str, ...]
    layers: tuple[LayerSpec, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """A recurrent layer's state that begins as a vector which the network computes, or is given."""

    layer: str
    state: str
    vector: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Layers of one step count, in an order in which each one's inputs come before it.

    entries: the layers that read stored tensors otherwise than step by step; a recurrent one among them reads its input turned.
    body: those that work step by step (recurrent ones without initial states: these are the `starts`). pooled: those that sum up
    a row step by step. head: those over vectors, for rows that end; `whole` names the stored sequences that they read whole.
    """

    step_count: StepCount
    views: tuple[View, ...]
    entries: tuple[LayerSpec, ...]
    body: tuple[LayerSpec, ...]
    pooled: tuple[LayerSpec, ...]
    head: tuple[LayerSpec, ...]
    starts: tuple[Start, ...]
    vectors: tuple[str, ...]  # read, of the inputs or earlier passes
    whole: tuple[str, ...]
    gathered: tuple[str, ...]  # sequences that entries read whole at each step
    carried: tuple[str, ...]  # vectors made by entries and body that somebody reads
    kept: tuple[str, ...]  # all vectors made here that later passes or the outputs read
    stored: tuple[str, ...]  # sequences made here that later passes, a head or the outputs read
    stored_whole: tuple[str, ...]  # those that the head makes at once, of rows that end
    stored_masks: tuple[str, ...]
    freed: tuple[str, ...]  # sequences, and below masks, that nobody reads any more
    freed_masks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PassPlan:
    """masks: by sequence, the tensor that made its mask. widths: numbers of four bytes per step of every stored one."""

    passes: tuple[Pass, ...]
    masks: Mapping[str, str]
    widths: Mapping[str, int]
    step_counts: Mapping[str, StepCount]

    def steps(self, fed: Fed) -> tuple[int, ...]:
        """The time steps of each pass for a row of `fed`; 0 where the row is too short for a window."""
        return tuple(one.step_count.steps(fed) for one in self.passes)

    def most_stored(self, fed: Fed) -> int:
        """The most numbers of four bytes that a row of `fed` time steps has stored at any time, its inputs not counted."""
        held = most = 0
        for one in self.passes:
            held += sum(self._numbers(reference, fed) for reference in (*one.stored, *one.stored_whole))
            most = max(most, held)
            held -= sum(self._numbers(reference, fed) for reference in one.freed)
        return most

    def _numbers(self, reference: str, fed: Fed) -> int:
        return self.widths[reference] * self.step_counts[reference].steps(fed)
