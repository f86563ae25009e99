"""Implementation "onnxruntime": a layer as one node of ONNX Runtime, one session run per layer and chunk.

On a CPU it costs a fraction of torch's operators on few rows and short chunks, and it is the only fast kernel for activations
beyond tanh and sigmoid. A session has no threads of its own and its runs may overlap, so the workers share it. It computes on the
CPU: where the network lies on another device, inputs and outputs travel. Its tanh and sigmoid make numbers of NaN: an answer
does not show that NaN was fed. Knows no equations and no ONNX (onnx_graph.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cellserve.models.implementations.compaction import CompactingKernel
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.onnx_activations import KNOWN
from cellserve.models.spec import GruLayer, LstmLayer, RecurrentLayer, SimpleRnnLayer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from cellserve.models.implementations.onnx_graph import OnnxLayer


def unsupported(layer: RecurrentLayer) -> str | None:
    if missing := [name for name in ("onnxruntime", "onnx") if find_spec(name) is None]:
        return f"{missing[0]} is not installed"
    if not isinstance(layer, LstmLayer | GruLayer | SimpleRnnLayer):
        return f"it is a {layer.kind} layer; ONNX has operators for lstm, gru and simple_rnn only"
    if layer.mask_rule == "reset":
        return "a masked step resets its state; ONNX's operators compute without masks"
    if isinstance(layer, LstmLayer):
        if layer.projection_units is not None:
            return "it has a projection; ONNX's LSTM has none"
        if layer.cell_clip is not None:
            return "it clips its state; ONNX's LSTM clips what goes into the activations"
    if isinstance(layer, SimpleRnnLayer) and layer.combine != "add":
        return "it multiplies where ONNX's RNN adds"
    if layer.activation.name not in KNOWN:
        return f"its activation is {layer.activation.name}; ONNX's recurrent operators do not have it"
    if not isinstance(layer, SimpleRnnLayer) and layer.recurrent_activation.name not in KNOWN:
        return f"its recurrent_activation is {layer.recurrent_activation.name}; ONNX's recurrent operators do not have it"
    return None


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    """Raises ValueError for a layer that `unsupported` refuses."""
    if not isinstance(layer, LstmLayer | GruLayer | SimpleRnnLayer):
        raise ValueError(unsupported(layer))
    return CompactingKernel.of(layer, OnnxCall.of(layer, weights))


@dataclass(frozen=True, slots=True)
class OnnxCall:
    """A RaggedCall: one run of a session, over the tensors' own memory on the way in."""

    session: InferenceSession
    input_names: tuple[str, ...]  # the inputs, the lengths, the states
    output_names: tuple[str, ...]  # the outputs, the states

    @classmethod
    def of(cls, layer: OnnxLayer, weights: Mapping[str, Tensor]) -> OnnxCall:
        from cellserve.models.implementations import onnx_graph

        states = onnx_graph.state_names(layer)
        model = onnx_graph.serialized(layer, {name: tensor.numpy(force=True) for name, tensor in weights.items()})
        return cls(
            _session(model),
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


def _session(model: bytes) -> InferenceSession:
    """On the calling thread alone; no plans kept per shape, because chunks come in all shapes."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])
