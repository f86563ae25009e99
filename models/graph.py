"""The layers of a network prepared on a device, and the walk over them: values by tensor reference, each with its mask.

Knows no chunks, no passes and no outputs: whoever calls says which layers to run and what is already known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations import IMPLEMENTATIONS
from cellserve.models.implementations.kernel import LayerState, RecurrentKernel
from cellserve.models.implementations.own_arrays import own_arrays
from cellserve.models.numerics import layers
from cellserve.models.numerics.layers import PreparedLayer
from cellserve.models.numerics.value import Value
from cellserve.models.spec import LayerSpec, ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights


class Kernels(dict[tuple[str, str], RecurrentKernel]):
    """Of recurrent layers, by (implementation, name): each is made when it is first asked for. Two threads may both make it.

    own: of each layer, its arrays on the device.
    """

    def __init__(self, layers: Iterable[RecurrentLayer], own: Mapping[str, Mapping[str, Tensor]]) -> None:
        super().__init__()
        self._layers = {layer.name: (layer, own[layer.name]) for layer in layers}

    @torch.inference_mode()
    def __missing__(self, key: tuple[str, str]) -> RecurrentKernel:
        label, name = key
        kernel = self[key] = IMPLEMENTATIONS[label].prepare(*self._layers[name])
        return kernel


@dataclass(frozen=True, slots=True)
class Graph:
    """`steps`: every layer that is not recurrent, by name; `kernels`: every recurrent layer by (implementation, name)."""

    steps: Mapping[str, PreparedLayer]
    kernels: Kernels
    recurrent_index: Mapping[str, int]
    read_states: frozenset[str]  # the layers whose final states are outputs or go into other layers

    @classmethod
    @torch.inference_mode()
    def prepare(cls, spec: ModelSpec, weights: Weights, device: torch.device) -> Graph:
        """Puts the weights on the device, once for all implementations."""
        own = own_arrays(spec.layers, {name: torch.tensor(array, device=device) for name, array in weights.arrays.items()})
        read = [*spec.outputs, *(reference for layer in spec.layers for reference in layer.inputs)]
        plain = (layer for layer in spec.layers if not isinstance(layer, RecurrentLayer))
        return cls(
            {layer.name: layers.prepare(layer, own[layer.name]) for layer in plain},
            Kernels(spec.recurrent_layers, own),
            {layer.name: index for index, layer in enumerate(spec.recurrent_layers)},
            frozenset(name for name, colon, _ in (reference.partition(":") for reference in read) if colon),
        )

    def evaluate(
        self,
        todo: Iterable[LayerSpec],
        values: dict[str, Value],  # what is known; every layer's output and final states are added
        state: RecurrentState,
        implementation: str,  # that can run each of them
        ended_states: bool = True,
    ) -> list[LayerState]:
        """Runs the layers in order; returns the new state of each recurrent layer among them, in order.

        Without `ended_states` those of rows shorter than the batch may be anything, where no layer and no output reads them.
        """
        states: list[LayerState] = []
        for layer in todo:
            inputs = [values[reference] for reference in layer.inputs]
            if not isinstance(layer, RecurrentLayer):
                values[layer.name] = self.steps[layer.name](*inputs)
                continue
            initial = state.layer(self.recurrent_index[layer.name])
            initial |= {name: given.tensor for name, given in zip(layer.state_widths, inputs[1:])}
            kernel, needed = self.kernels[implementation, layer.name], ended_states or layer.name in self.read_states
            values[layer.name], new = _recur(layer, kernel, inputs[0], initial, needed)
            values |= {f"{layer.name}:{name}": Value(new[name]) for name in layer.state_widths}
            states.append(new)
        return states


def _recur(
    layer: RecurrentLayer, kernel: RecurrentKernel, x: Value, initial: LayerState, ended_states: bool
) -> tuple[Value, LayerState]:
    """The mask stays as it was, also when the layer runs backwards: Keras does not turn it round either."""
    lengths, inputs, mask = x.ends, x.tensor, x.mask
    if layer.go_backwards:
        inputs = lengths.reversed(inputs)
        mask = None if mask is None else lengths.reversed(mask)
    outputs, new = kernel(inputs, lengths, mask, initial, ended_states)
    if layer.return_sequences:
        return Value(outputs, lengths, x.mask), new
    return Value(new["h"] if mask is None else lengths.last(outputs)), new
