"""A recurrent layer as one ONNX node, or a model of it: LSTM, GRU or RNN, with its states going in and coming out.

What ONNX cannot say is refused in words. Weights are laid out as the operators want them: a leading axis for the one direction,
gates in ONNX's order, [outputs, inputs]. Knows no session and no torch. Operators: onnx.ai/onnx/operators, version 14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from cellserve.models.description import gate_order
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.library_kernels import onnx_operator
from cellserve.models.implementations.onnxruntime.activations import onnx_activation

Array = NDArray[np.float32]

INPUTS: Final = "inputs"  # [T, B, F]
LENGTHS: Final = "lengths"  # [B] int32
OUTPUTS: Final = "outputs"  # [T, 1, B, units], zeros beyond each length
_OPSET, _IR_VERSION = 14, 7  # of ONNX 1.9: every runtime since reads them
_LARGE_BYTES: Final = 128


def state_names(layer: RecurrentLayer) -> tuple[tuple[str, str], ...]:
    """Of each state, its name as input and as output; both [1, B, units]."""
    return tuple((state, f"{state}_out") for state in layer.state_widths)


class Model(NamedTuple):
    """content: a file of ONNX without its large arrays, which are beside it, by name: writing and parsing them would hold the
    interpreter for as long as it takes.
    """

    content: bytes
    arrays: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a graph: nodes in order, and the constants that they read by name."""

    nodes: tuple[NodeProto, ...]
    constants: Mapping[str, NDArray[Any]]


def piece(
    layer: RecurrentLayer, weights: Mapping[str, Array], given: Sequence[str], made: Sequence[str], prefix: str = ""
) -> Piece:
    """One node. given: the names of the inputs [T, B, F], the lengths [B] and the states, each [1, B, units]; made: those of
    the outputs [T, 1, B, units], zeros beyond each length, and of the states. `prefix` begins the names of its constants.
    """
    constants = _constants(layer, weights)
    inputs, lengths, *states = given
    operands = [inputs, f"{prefix}kernel", f"{prefix}recurrent_kernel", f"{prefix}bias" if "bias" in constants else "", lengths]
    operands += [*states, f"{prefix}peepholes"] if "peepholes" in constants else states
    node = helper.make_node(onnx_operator(layer).name, operands, list(made), hidden_size=layer.units, **_attributes(layer))
    return Piece((node,), {f"{prefix}{name}": array for name, array in constants.items()})


def model_of(layer: RecurrentLayer, weights: Mapping[str, Array]) -> Model:
    """Of a layer that refusals.by_onnxruntime lets through; `weights`: its canonical arrays."""
    states = state_names(layer)
    width, units = len(weights["kernel"]), layer.units
    made = piece(layer, weights, (INPUTS, LENGTHS, *(i for i, _ in states)), (OUTPUTS, *(o for _, o in states)))
    inputs = [tensor(INPUTS, "T", "B", width), helper.make_tensor_value_info(LENGTHS, TensorProto.INT32, ["B"])]
    outputs = [tensor(OUTPUTS, "T", 1, "B", units)]
    return model(
        made,
        [*inputs, *(tensor(i, 1, "B", units) for i, _ in states)],
        [*outputs, *(tensor(o, 1, "B", units) for _, o in states)],
    )


def model(whole: Piece, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]) -> Model:
    """Of the whole graph."""
    arrays = {name: np.ascontiguousarray(array) for name, array in whole.constants.items()}
    large = {name: array for name, array in arrays.items() if array.dtype == np.float32 and array.nbytes >= _LARGE_BYTES}
    constants = [
        _beside(name, array) if name in large else numpy_helper.from_array(array, name) for name, array in arrays.items()
    ]
    graph = helper.make_graph(list(whole.nodes), "graph", list(inputs), list(outputs), constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return Model(proto.SerializeToString(), large)


def tensor(name: str, *shape: str | int) -> ValueInfoProto:
    """float32, for the inputs and outputs of a graph."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def _beside(name: str, array: Array) -> TensorProto:
    """A constant whose numbers are not in the file. It must say where they would be; whoever runs it gives them by name."""
    told = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
    told.data_location = TensorProto.EXTERNAL
    told.external_data.add(key="location", value=name)
    return told


def _constants(layer: RecurrentLayer, weights: Mapping[str, Array]) -> dict[str, Array]:
    source, target = layer.gates, onnx_operator(layer).order

    def reordered(array: Array) -> Array:
        return gate_order.reorder(array, source, target).astype(np.float32, copy=False)

    made = {name: np.ascontiguousarray(reordered(weights[name]).T)[np.newaxis] for name in ("kernel", "recurrent_kernel")}
    if layer.use_bias:
        recurrent_bias = weights.get("recurrent_bias", np.zeros_like(weights["bias"]))
        made["bias"] = np.concatenate([reordered(weights["bias"]), reordered(recurrent_bias)])[np.newaxis]
    if isinstance(layer, LstmLayer) and layer.peepholes:
        made["peepholes"] = np.concatenate([weights[f"peephole_{gate}"] for gate in "iof"])[np.newaxis]
    return made


def _attributes(layer: RecurrentLayer) -> dict[str, Any]:
    """The activations as lists, one entry for each that takes the parameter, in the operator's order."""
    own = layer.functions
    spoken = [onnx_activation(own.get(option, own["activation"])) for option in onnx_operator(layer).functions]
    made: dict[str, Any] = {"activations": [name for name, *_ in spoken]}
    if alphas := [alpha for _, alpha, _ in spoken if alpha is not None]:
        made["activation_alpha"] = alphas
    if betas := [beta for *_, beta in spoken if beta is not None]:
        made["activation_beta"] = betas
    if isinstance(layer, LstmLayer | GruLayer | SimpleRnnLayer) and layer.gate_clip is not None:
        made["clip"] = layer.gate_clip
    if isinstance(layer, GruLayer):
        made["linear_before_reset"] = int(layer.reset_after)
    return made
