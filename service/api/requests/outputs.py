"""What is asked of a reply and what goes into it, whatever protocol it goes out in: outputs by name, their bytes, their times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cellserve.service.api.requests.row_inputs import Limits, RowInputs
from cellserve.service.api.requests.signature import STATE_PREFIX, Signature
from cellserve.service.api.requests.tensors import DTYPES, Array
from cellserve.service.engine.batch import Delivery
from cellserve.service.errors import InvalidInput

FLOAT_BYTES: Final = DTYPES["FP32"].itemsize


@dataclass(frozen=True, slots=True)
class WantedOutputs:
    """What a reply holds, in order: names of outputs ("outputs_1") and of final states ("state.0.h")."""

    names: tuple[str, ...]

    @property
    def want_state(self) -> bool:
        return any(name.startswith(STATE_PREFIX) for name in self.names)

    @classmethod
    def of(cls, signature: Signature, asked: Sequence[str], return_state: bool) -> WantedOutputs:
        """asked: empty for all outputs. Raises InvalidInput: a name that the model does not have, or one asked for twice."""
        outputs = signature.output_names
        if not asked and not return_state:
            return cls(outputs)
        states = [STATE_PREFIX + key for key in signature.states]
        for position, name in enumerate(asked):
            field = f"outputs.{name[:64]}"
            if name not in outputs and name not in states:
                known = ", ".join((*outputs, *states))
                raise InvalidInput(f"the model has no output {name[:64]!r}; it has {known}", field=field)
            if name in asked[:position]:
                raise InvalidInput(f"the output {name!r} is asked for twice", field=field)
        names = list(asked or outputs)
        if return_state:
            names += [name for name in states if name not in names]
        return cls(tuple(names))


def require_reply_fits(signature: Signature, wanted: WantedOutputs, rows: RowInputs, limits: Limits) -> None:
    """Raises InvalidInput when the reply's tensors would be larger than a message may be."""
    total = sum([FLOAT_BYTES * math.prod(reply_shape(signature, name, rows)) for name in wanted.names])
    if total > limits.reply_bytes:
        raise InvalidInput(
            f"the reply would have {total} bytes, more than the {limits.reply_bytes} of a message; "
            "ask for fewer rows, or for fewer outputs"
        )


def reply_shape(signature: Signature, name: str, rows: RowInputs) -> tuple[int, ...]:
    """Of an output or a state, [rows, …]: rows side by side, each as long as the longest."""
    batch = len(rows.lengths)
    if name.startswith(STATE_PREFIX):
        return (batch, signature.states[name.removeprefix(STATE_PREFIX)].width)
    output = signature.outputs[signature.output_names.index(name)]
    if not output.per_step:
        return (batch, *output.features)
    return (batch, output.time_steps or output.step_count.steps(rows.time_steps), *output.features)


def state_bytes(done: Sequence[Delivery], start: int, width: int) -> bytes:
    """Columns start … start+width of each row's final state, [rows, width] float32."""
    return b"".join(buffer(delivery.state[start : start + width]) for delivery in done if delivery.state is not None)


def row_bytes(rows: Sequence[Array]) -> bytes:
    """Arrays one after the other, as float32."""
    if len(rows) == 1:
        return np.ascontiguousarray(rows[0], np.float32).tobytes()
    return b"".join(buffer(row) for row in rows)


def buffer(row: Array) -> memoryview:
    """One row, [steps, features] or [features], as float32 bytes: a view where it is that already."""
    return np.ascontiguousarray(row, np.float32).data


def queue_seconds(done: Sequence[Delivery]) -> float:
    """The longest wait of a row before its first iteration."""
    if len(done) == 1:
        return done[0].queue_seconds
    return max([delivery.queue_seconds for delivery in done])


def compute_seconds(done: Sequence[Delivery]) -> float:
    """The rows' shares of the iterations they took part in."""
    if len(done) == 1:
        return done[0].compute_seconds
    return sum([delivery.compute_seconds for delivery in done])
