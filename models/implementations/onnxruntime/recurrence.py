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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.compaction import CompactingKernel, RaggedCall
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.onnxruntime import graph as onnx_graph
from cellserve.models.implementations.onnxruntime import scan as onnx_scan
from cellserve.models.implementations.onnxruntime.session import Session, new_session
from cellserve.models.implementations.refusals import by_onnxruntime


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    """Raises ValueError for a layer that refusals.by_onnxruntime refuses."""
    if (what := by_onnxruntime(layer)) is not None:
        raise ValueError(what)
    arrays = {name: tensor.numpy(force=True) for name, tensor in weights.items()}
    call: RaggedCall = OnnxCall.of(layer, arrays)
    if (rows := onnx_scan.scanned_from(layer)) is not None:
        call = SizedCall(call, ScanCall.of(layer, arrays), rows)
    return CompactingKernel.of(layer, call)


@dataclass(frozen=True, slots=True)
class OnnxCall:
    """A RaggedCall: one run of ONNX's own operator, over the tensors' own memory on the way in."""

    session: Session
    input_names: tuple[str, ...]  # the inputs, the lengths, the states
    output_names: tuple[str, ...]  # the outputs, the states

    @classmethod
    def of(cls, layer: RecurrentLayer, weights: Mapping[str, NDArray[np.float32]]) -> OnnxCall:
        states = onnx_graph.state_names(layer)
        return cls(
            new_session(onnx_graph.model_of(layer, weights)),
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

    session: Session
    input_names: tuple[str, ...]  # the inputs, the states
    output_names: tuple[str, ...]  # the states at the end, then those of all steps

    @classmethod
    def of(cls, layer: RecurrentLayer, weights: Mapping[str, NDArray[np.float32]]) -> ScanCall:
        states = onnx_scan.state_names(layer)
        return cls(
            new_session(onnx_scan.model_of(layer, weights)),
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
