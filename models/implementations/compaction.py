"""A kernel around a call that knows ragged rows but no masks: masked steps are taken out of each row before it.

The outputs are laid back by the count of valid steps, so that what the call computed is exactly what the unmasked steps alone
would give. Where the call is dear on rows of unequal length, they go in as if all were of the longest: a later step changes no
earlier one, so outputs are exact, and `h` is the output at a row's own end; other states are lost there, so only rows whose
states nobody wants may be padded if there are others. Knows no equations and no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cellserve.models.description.layers.recurrent import MaskRule, RecurrentLayer
from cellserve.models.description.state_layout import SEEN
from cellserve.models.implementations.kernel import LayerState, advanced, effective_mask, emitted
from cellserve.models.numerics.row_lengths import RowLengths


class RaggedCall(Protocol):
    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: tuple[int, ...],  # [B], each 1 … T
        states: tuple[Tensor, ...],  # each [B, width], in the layer's order
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(outputs [T, B, output_units], arbitrary beyond each length; the states at each row's own end)."""
        ...


@dataclass(frozen=True, slots=True)
class CompactingKernel:
    """A RecurrentKernel: `call` on the valid steps alone."""

    call: RaggedCall
    state_names: tuple[str, ...]  # h first
    mask_rule: MaskRule
    ragged_cost: float  # of a step, to `call` on unequal rows, against one on equal rows: what padding is weighed against

    @classmethod
    def of(cls, layer: RecurrentLayer, call: RaggedCall, ragged_cost: float = 1.0) -> CompactingKernel:
        return cls(call, tuple(layer.state_widths), layer.mask_rule, ragged_cost)

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: RowLengths,
        mask: Tensor | None,  # [T, B] bool
        state: LayerState,
        ended_states: bool = True,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        states, mask = tuple(state[name] for name in self.state_names), effective_mask(self.mask_rule, inputs, mask)
        if mask is None:
            outputs, states = self._called(inputs, lengths, states, ended_states)
            return outputs, advanced(self.state_names, states, None, state[SEEN])
        valid = mask & lengths.inside
        trajectory, states = self._compacted(inputs, valid, states, lengths, ended_states)
        return emitted(self.mask_rule, trajectory, valid, state[SEEN]), advanced(self.state_names, states, valid, state[SEEN])

    def _called(
        self, inputs: Tensor, lengths: RowLengths, states: tuple[Tensor, ...], short_states: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What `call` gives; without `short_states` those of rows shorter than the batch may be anything, but for h."""
        rows, steps = len(lengths.host), lengths.steps
        dispensable = len(states) == 1 or not short_states
        if not (lengths.ragged and dispensable and rows * steps <= self.ragged_cost * sum(lengths.host)):
            return self.call(inputs, lengths.host, states)
        outputs, ends = self.call(inputs, (steps,) * rows, states)
        return outputs, (lengths.last(outputs), *ends[1:])

    def _compacted(
        self, inputs: Tensor, valid: Tensor, states: tuple[Tensor, ...], lengths: RowLengths, ended_states: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(h after every step, kept over masked ones [T, B, output_units]; the states). Rows without a valid step stay out."""
        ordinal = valid.cumsum(0)  # [T, B]: valid steps so far
        counts: list[int] = ordinal[-1].tolist()
        longest, kept = max(counts), [row for row, count in enumerate(counts) if count]
        start = states[0].unsqueeze(0)
        if not kept:
            return start.expand(len(inputs), -1, -1), states
        rows = torch.tensor(kept, device=inputs.device)
        taken = _steps_by_ordinal(valid, ordinal, longest).index_select(1, rows)
        short_go_on = any(counts[row] < longest and lengths.host[row] == lengths.steps for row in kept)
        outputs, ends = self._called(
            inputs[taken, rows],
            RowLengths([counts[row] for row in kept], longest, inputs.device),
            tuple(state[rows] for state in states),
            ended_states or short_go_on,
        )
        after = start.new_zeros(longest, *states[0].shape).index_copy_(1, rows, outputs)
        positions = ordinal.unsqueeze(2).expand(-1, -1, states[0].shape[1])
        trajectory = torch.cat([start, after]).gather(0, positions)
        return trajectory, tuple(old.index_copy(0, rows, new) for old, new in zip(states, ends))


def _steps_by_ordinal(valid: Tensor, ordinal: Tensor, longest: int) -> Tensor:
    """[longest, B] int64: the step at which each row has its first, second … valid one; any step beyond its last."""
    steps = torch.arange(len(valid), device=valid.device).unsqueeze(1).expand_as(ordinal)
    places = ordinal.new_zeros(longest + 1, valid.shape[1]).scatter_(0, ordinal * valid, steps)  # masked steps fall on place 0
    return places[1:]
