"""Implementation "onnxruntime": a layer as one node of ONNX Runtime, one session run per layer and chunk. Where its operators are
slow for the layer's activations and the rows are many, the node is a scan over plain operators (scan.py).

On a CPU it costs a fraction of torch's operators on few rows and short chunks, and it is the only fast kernel for activations
beyond tanh and sigmoid. A session has no threads of its own and its runs may overlap, so the workers share it. It computes on the
CPU: where the network lies on another device, inputs and outputs travel. Its tanh and sigmoid make numbers of NaN: an answer
does not show that NaN was fed. Knows no equations and no ONNX (graph.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.compaction import CompactingKernel, RaggedCall
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.onnxruntime.activations import IN_VECTORS, KNOWN
from cellserve.models.numerics.cells.table import onnx_operator

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_SCANNED_NUMBERS = 1000  # rows times units: below, a scan's own cost for each step outweighs what it saves


def unsupported(layer: RecurrentLayer) -> str | None:
    if missing := [name for name in ("onnxruntime", "onnx") if find_spec(name) is None]:
        return f"{missing[0]} is not installed"
    try:
        operator = onnx_operator(layer)
    except ValueError as error:
        return str(error)
    if layer.mask_rule == "reset":
        return "a masked step resets its state; ONNX's operators compute without masks"
    if (what := operator.lacks(layer)) is not None:
        return what
    for option, function in layer.functions.items():
        if function.name not in KNOWN:
            return f"its {option} is {function.name}; ONNX's recurrent operators do not have it"
    return None


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    """Raises ValueError for a layer that `unsupported` refuses."""
    if (what := unsupported(layer)) is not None:
        raise ValueError(what)
    arrays = {name: tensor.numpy(force=True) for name, tensor in weights.items()}
    call: RaggedCall = OnnxCall.of(layer, arrays)
    if (rows := scanned_from(layer)) is not None:
        call = SizedCall(call, ScanCall.of(layer, arrays), rows)
    return CompactingKernel.of(layer, call)


def scanned_from(layer: RecurrentLayer) -> int | None:
    """The number of rows from which on a scan is faster than the layer's own operator; None if it never is."""
    from cellserve.models.implementations.onnxruntime import scan as onnx_scan

    if all(function.name in IN_VECTORS for function in layer.functions.values()) or not onnx_scan.can_scan(layer):
        return None
    return _SCANNED_NUMBERS // layer.units + 1


@dataclass(frozen=True, slots=True)
class OnnxCall:
    """A RaggedCall: one run of ONNX's own operator, over the tensors' own memory on the way in."""

    session: InferenceSession
    input_names: tuple[str, ...]  # the inputs, the lengths, the states
    output_names: tuple[str, ...]  # the outputs, the states

    @classmethod
    def of(cls, layer: RecurrentLayer, weights: Mapping[str, NDArray[np.float32]]) -> OnnxCall:
        from cellserve.models.implementations.onnxruntime import graph as onnx_graph

        states = onnx_graph.state_names(layer)
        return cls(
            new_session(onnx_graph.serialized(layer, weights)),
            (onnx_graph.INPUTS, onnx_graph.LENGTHS, *(given for given, _ in states)),
            (onnx_graph.OUTPUTS, *(made for _, made in states)),
        )

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: tuple[int, ...],
        states: tuple[Tensor, ...],  # each [B, units]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        given = (inputs.numpy(force=True), np.array(lengths, np.int32), *(s.numpy(force=True)[np.newaxis] for s in states))
        outputs, *ends = self.session.run(self.output_names, dict(zip(self.input_names, given)))
        return torch.from_numpy(outputs[:, 0]).to(inputs.device), tuple(
            torch.from_numpy(end[0]).to(inputs.device) for end in ends
        )


@dataclass(frozen=True, slots=True)
class ScanCall:
    """A RaggedCall: one run of a scan, which goes on beyond the ends of rows; their states are picked from those of all steps."""

    session: InferenceSession
    input_names: tuple[str, ...]  # the inputs, the states
    output_names: tuple[str, ...]  # the states at the end, then those of all steps

    @classmethod
    def of(cls, layer: RecurrentLayer, weights: Mapping[str, NDArray[np.float32]]) -> ScanCall:
        from cellserve.models.implementations.onnxruntime import graph as onnx_graph
        from cellserve.models.implementations.onnxruntime import scan as onnx_scan

        states = onnx_scan.state_names(layer)
        return cls(
            new_session(onnx_scan.serialized(layer, weights)),
            (onnx_graph.INPUTS, *(given for given, *_ in states)),
            (*(made for _, made, _ in states), *(steps for *_, steps in states)),
        )

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: tuple[int, ...],
        states: tuple[Tensor, ...],  # each [B, units]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        given = (tensor.numpy(force=True) for tensor in (inputs, *states))
        made = self.session.run(self.output_names, dict(zip(self.input_names, given)))
        ends, steps = made[: len(states)], made[len(states) :]
        if min(lengths) < len(inputs):
            last, rows = np.array(lengths) - 1, np.arange(len(lengths))
            ends = [state[last, rows] for state in steps]
        return torch.from_numpy(steps[0]).to(inputs.device), tuple(torch.from_numpy(end).to(inputs.device) for end in ends)


@dataclass(frozen=True, slots=True)
class SizedCall:
    """A RaggedCall: one call for few rows, another for many."""

    few: RaggedCall
    many: RaggedCall
    many_rows: int

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: tuple[int, ...],
        states: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return (self.few if len(lengths) < self.many_rows else self.many)(inputs, lengths, states)


def new_session(model: bytes) -> InferenceSession:
    """On the calling thread alone; no plans kept per shape, because chunks come in all shapes."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])
