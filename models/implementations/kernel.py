"""What every implementation offers, and the mask rules that all of them obey in the same words.

An implementation prepares a kernel for each layer that it does not refuse; a kernel runs one recurrent layer forward in time over
a ragged, perhaps masked, batch. Knows no arrangement of products and no other layer kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from cellserve.models.description.layers.recurrent import MaskRule
from cellserve.models.description.state_layout import SEEN
from cellserve.models.numerics.row_lengths import RowLengths

LayerState = Mapping[str, Tensor]  # the named states, each [B, width], and "seen" [B, 1]


class RecurrentKernel(Protocol):
    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: RowLengths,
        mask: Tensor | None,  # [T, B] bool, True = valid
        state: LayerState,
        ended_states: bool = True,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(outputs [T, B, output_units], new state): exact for each row at its own length, arbitrary beyond it.

        Without `ended_states` a kernel may leave anything in the states of rows shorter than T, but for `h` and `seen`.
        """
        ...


def effective_mask(rule: MaskRule, inputs: Tensor, mask: Tensor | None) -> Tensor | None:  # [T, B, F], [T, B] bool
    """[T, B] bool: the mask as the layer takes it; None where it takes none."""
    if mask is None or rule == "ignore":
        return None
    return mask & (inputs != 0).any(dim=-1) if rule == "zero_or_empty" else mask


def valid_steps(lengths: RowLengths, mask: Tensor | None) -> Tensor | None:
    """[T, B] bool: the steps that advance the state; None where every step of every row does."""
    if mask is None:
        return lengths.inside if lengths.ragged else None
    return mask & lengths.inside if lengths.ragged else mask


def emitted(
    rule: MaskRule,
    trajectory: Tensor,  # [T, B, units]: h after each step, kept over masked ones
    valid: Tensor,  # [T, B] bool
    seen: Tensor,  # [B, 1]: 1 where a valid step came before this chunk
) -> Tensor:
    """[T, B, units]: what the layer shows at each step. The previous output is h once a valid step was met."""
    if rule == "repeat_from_state":
        return trajectory
    shown = (valid.cumsum(0) > 0) | (seen.squeeze(1) > 0) if rule == "repeat" else valid
    return torch.where(shown.unsqueeze(2), trajectory, trajectory.new_zeros(()))


def advanced(names: tuple[str, ...], states: tuple[Tensor, ...], valid: Tensor | None, seen: Tensor) -> dict[str, Tensor]:
    """The new state by name; `seen` [B, 1] as it was before the chunk."""
    now = torch.ones_like(seen) if valid is None else torch.maximum(seen, valid.any(0).unsqueeze(1).to(seen.dtype))
    return {**dict(zip(names, states)), SEEN: now}
