"""The one time loop: a cell stepped over the chunk, with the products arranged by whoever calls.

Rows that have ended, and masked steps, keep their old state by selection, never by arithmetic: what stands there cannot
reach any number that counts. Knows no equations and no weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cellserve.models.description.layers.recurrent import MaskRule, RecurrentLayer
from cellserve.models.description.state_layout import SEEN
from cellserve.models.implementations.kernel import LayerState, advanced, effective_mask, emitted, valid_steps
from cellserve.models.numerics.cells.cell import Gates, States, Step
from cellserve.models.numerics.row_lengths import RowLengths


class Arrangement(Protocol):
    """How x W + b and h U are computed: the only thing in which implementations 0, 1 and 2 differ."""

    def project(self, inputs: Tensor) -> Iterable[Gates]:
        """[T, B, F] to one tuple of gates per step."""
        ...

    def recurrent(self, h: Tensor, gates: range) -> Gates:
        """[B, output_units] to h U (with the recurrent bias where there is one) of these gates."""
        ...


@dataclass(frozen=True, slots=True)
class ScanKernel:
    """A RecurrentKernel: `step` over `arrangement`."""

    step: Step
    arrangement: Arrangement
    state_names: tuple[str, ...]
    newest: tuple[bool, ...]  # of each state: whether mask rule `reset` sets it to zeros
    mask_rule: MaskRule

    @classmethod
    def of(cls, layer: RecurrentLayer, step: Step, arrangement: Arrangement) -> ScanKernel:
        names = tuple(layer.state_widths)
        return cls(step, arrangement, names, tuple(name in layer.newest_states for name in names), layer.mask_rule)

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: RowLengths,
        mask: Tensor | None,  # [T, B] bool
        state: LayerState,
        ended_states: bool = True,  # they cost nothing extra here
    ) -> tuple[Tensor, dict[str, Tensor]]:
        mask = effective_mask(self.mask_rule, inputs, mask)
        states = tuple(state[name] for name in self.state_names)
        if mask is not None and self.mask_rule == "reset":
            outputs, states = self._run_resetting(inputs, states, mask, lengths)
            return outputs, advanced(self.state_names, states, valid_steps(lengths, None), state[SEEN])
        valid = valid_steps(lengths, mask)
        first_kept = 0 if mask is not None else lengths.shortest  # before it every row advances
        trajectory, states = self._run(inputs, states, valid, first_kept)
        outputs = trajectory if mask is None or valid is None else emitted(self.mask_rule, trajectory, valid, state[SEEN])
        return outputs, advanced(self.state_names, states, valid, state[SEEN])

    def _run(self, inputs: Tensor, states: States, valid: Tensor | None, first_kept: int) -> tuple[Tensor, States]:
        step, recurrent = self.step, self.arrangement.recurrent
        outputs: list[Tensor] = []
        gates = iter(self.arrangement.project(inputs))
        for _ in range(min(first_kept, len(inputs))):
            states = step(next(gates), recurrent, states)
            outputs.append(states[0])
        if valid is not None:
            for projected, advances in zip(gates, valid[first_kept:].unsqueeze(2).unbind(0)):
                new = step(projected, recurrent, states)
                states = tuple(torch.where(advances, after, before) for after, before in zip(new, states))
                outputs.append(states[0])
        return torch.stack(outputs), states

    def _run_resetting(self, inputs: Tensor, states: States, mask: Tensor, lengths: RowLengths) -> tuple[Tensor, States]:
        """Every step is computed and shown; after a masked one its states are zeros for the next."""
        outputs: list[Tensor] = []
        steps = zip(self.arrangement.project(inputs), mask.unsqueeze(2).unbind(0), lengths.inside.unsqueeze(2).unbind(0))
        for projected, valid, inside in steps:
            new = self.step(projected, self.arrangement.recurrent, states)
            outputs.append(new[0])
            kept = (torch.where(valid, state, 0) if newest else state for state, newest in zip(new, self.newest))
            states = tuple(torch.where(inside, after, before) for after, before in zip(kept, states))
        return torch.stack(outputs), states
