"""Where each recurrent layer's state lies in one flat row of float32: the one place that knows the columns.

A row holds, for each recurrent layer in topological order, its named states (h, c …) and one `seen` column: 1 once the
layer has met an unmasked step in this call, which is all that the "previous emitted output" of the mask rules needs (it is
then h, and before that zeros or the carried h). `seen` is never on the wire. Knows no torch, no rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from cellserve.models.spec import ModelSpec

SEEN = "seen"


@dataclass(frozen=True, slots=True)
class StateColumns:
    """One named state of one recurrent layer: columns start … start+width of a row."""

    layer_index: int
    layer_name: str
    state: str
    start: int
    width: int

    @property
    def key(self) -> str:
        """Name without the wire's prefix: "0.h"."""
        return f"{self.layer_index}.{self.state}"

    @property
    def public(self) -> bool:
        return self.state != SEEN


@dataclass(frozen=True, slots=True)
class StateLayout:
    columns: tuple[StateColumns, ...]
    width: int

    @classmethod
    def of(cls, spec: ModelSpec) -> StateLayout:
        columns: list[StateColumns] = []
        start = 0
        for index, layer in enumerate(spec.recurrent_layers):
            for state, width in (*layer.state_widths.items(), (SEEN, 1)):
                columns.append(StateColumns(index, layer.name, state, start, width))
                start += width
        return cls(tuple(columns), start)

    @property
    def public(self) -> tuple[StateColumns, ...]:
        return tuple(columns for columns in self.columns if columns.public)
