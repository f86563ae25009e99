"""What a causal network does with a chunk: its layers over sequences, and what they leave for those that come once at the end.

Knows no device, no implementation's reasons, and not whether its steps are computed now or recorded to be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from cellserve.models.description.causal_plan import CausalPlan
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.graph import Graph
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value
from cellserve.models.state import RecurrentState


@dataclass(frozen=True, slots=True)
class Advance:
    """What a chunk left for the head: sequences [T, B, …] and vectors [B, …] at each row's own end, by tensor reference."""

    sequences: Mapping[str, Tensor]
    vectors: Mapping[str, Tensor]


Advanced = tuple[Advance, RecurrentState]


@dataclass(frozen=True, slots=True)
class ChunkBody:
    graph: Graph
    plan: CausalPlan
    input_name: str
    layout: StateLayout

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F] float32, or ids [T, B] int64
        lengths: RowLengths,
        state: RecurrentState,
        mask: Tensor | None,  # [T, B] bool, True = valid
        implementation: str,
        ended_states: bool,
    ) -> Advanced:
        """As `Network.advance`, which says what each of these is."""
        values = {self.input_name: Value(inputs, lengths, mask)}
        states = self.graph.evaluate(self.plan.body, values, state, implementation, ended_states)
        carried = {reference: values[reference] for reference in self.plan.carried}
        made = Advance(
            {reference: value.tensor for reference, value in carried.items() if value.lengths is not None},
            {reference: value.tensor for reference, value in carried.items() if value.lengths is None},
        )
        return made, RecurrentState.joined(self.layout, states, inputs.shape[1], inputs.device)
