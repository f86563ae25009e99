"""The network in the making: layers that are added as the graph is followed, with their arrays. Knows no operators of ONNX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.rows import FlattenLayer
from cellserve.models.description.layers.stepwise import ActivationLayer, BatchNormalizationLayer, DenseLayer
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.importers.onnx.values import Atom, Flow, NotTranslated, Part, feature

Array = npt.NDArray[Any]
LARGEST_SELECTION: Final = 1 << 24  # numbers of a matrix that takes features


@dataclass
class Draft:
    """`trials`: how many the graph is followed for; `taken`: names of inputs and layers.

    `one_row`: whether shapes in the graph may be those of one row, whatever the number of rows.
    `sequences`: of each number of time steps, for each trial, a tensor that has so many. `totals`: of layers that are sums over
    time, over how many steps. `heedful`: layers that pass over the steps that a mask leaves out. `shapes`: of the inputs, then of
    what layers make. `remarks`: what a person should know.
    """

    trials: int
    taken: set[str]
    one_row: bool = False
    layers: list[Layer] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    sequences: dict[tuple[int, ...], str] = field(default_factory=dict)
    totals: dict[str, tuple[int, ...]] = field(default_factory=dict)
    heedful: set[str] = field(default_factory=set)
    shapes: dict[str, TensorShape] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def name(self, wanted: str) -> str:
        """A free one like it, that descriptions allow."""
        plain = re.sub(r"[:\s]+", "_", wanted).strip("/") or "layer"
        free, number = plain, 1
        while free in self.taken:
            number += 1
            free = f"{plain}_{number}"
        self.taken.add(free)
        return free

    def add(
        self, kind: type[Layer], wanted: str, inputs: Sequence[str], arrays: Mapping[str, Array] | None = None, **options: Any
    ) -> str:
        """The layer's name. Raises InvalidSpec: it does not take these."""
        layer = kind.model_validate({"name": self.name(wanted), "inputs": tuple(inputs), **options})
        self.shapes[layer.name] = layer.output_shape(tuple(self.shapes[reference] for reference in layer.inputs))
        for state, width in layer.state_widths.items():
            self.shapes[f"{layer.name}:{state}"] = TensorShape(False, (width,))
        self.layers.append(layer)
        self.arrays |= {f"{layer.name}.{own}": np.asarray(array) for own, array in (arrays or {}).items()}
        return layer.name

    def reference(self, flow: Flow, wanted: str = "joined") -> str:
        """The one tensor that holds a flow's features in their order."""
        if len(flow.parts) == 1:
            return flow.parts[0].reference
        return self.add(MergeLayer, wanted, [part.reference for part in flow.parts], mode="concat")

    def then(self, flow: Flow, kind: type[Layer], wanted: str, arrays: Mapping[str, Array] | None = None, **options: Any) -> Flow:
        """What a layer makes of it that keeps its axes and its features."""
        made = self.add(kind, wanted, [self.reference(flow, f"{wanted}_in")], arrays, **options)
        return replace(flow, parts=(Part(made, flow.width),), shared=False)

    def selected(self, flow: Flow, places: Sequence[int], wanted: str) -> tuple[Part, ...]:
        """The features of these numbers: whole parts as they are, others by a matrix of zeros and ones."""
        chosen = list(places)
        starts = np.cumsum([0, *(part.width for part in flow.parts)])
        parts: list[Part] = []
        at = 0
        while at < len(chosen):
            number = int(np.searchsorted(starts, chosen[at], side="right")) - 1
            part = flow.parts[number]
            if chosen[at : at + part.width] != list(range(starts[number], starts[number + 1])):
                break
            parts.append(part)
            at += part.width
        else:
            return tuple(parts)
        if flow.ids:
            raise NotTranslated("ids are taken apart")
        if flow.width * len(chosen) > LARGEST_SELECTION:
            raise NotTranslated(
                f"it takes {len(chosen):,} of {flow.width:,} features in another order, more than a matrix is good for"
            )
        kernel = np.zeros((flow.width, len(chosen)), np.float32)
        kernel[chosen, np.arange(len(chosen))] = 1
        made = self.add(
            DenseLayer, wanted, [self.reference(flow, f"{wanted}_in")], {"kernel": kernel}, units=len(chosen), use_bias=False
        )
        return (Part(made, len(chosen)),)

    def lined_up(self, flow: Flow, wanted: str, axis: int | None = None) -> Flow:
        """With all its features in one axis, in their order, so that a layer can read them.

        `axis`: which that must be. Raises NotTranslated: time or rows are folded into it, or features lie elsewhere.
        """
        if axis is not None:
            flow = self._flat(flow, axis, wanted)
            if any(atom.role != "feature" for atom in flow.axes[axis]) or set(flow.axes[axis]) != set(flow.features):
                raise NotTranslated("it acts on an axis that does not hold the features, and them alone")
        if flow.ordered == flow.features:
            return flow
        sizes = [atom.sizes[0] for atom in flow.features]
        numbers = np.arange(flow.width).reshape(sizes).transpose([flow.features.index(atom) for atom in flow.ordered])
        parts = self.selected(flow, [int(number) for number in numbers.ravel()], f"{wanted}_in_order")
        return replace(flow, parts=parts, features=flow.ordered, shared=False)

    def _flat(self, flow: Flow, axis: int, wanted: str) -> Flow:
        """Time and features of one axis as features, where each row has the same number of steps."""
        atoms = flow.axes[axis]
        if not atoms or atoms[0].role != "time" or any(atom.role != "feature" for atom in atoms[1:]):
            return flow
        if atoms[1:] != flow.features:
            return flow
        steps = set(atoms[0].sizes)
        if len(steps) != 1:
            raise NotTranslated(
                "it reads all steps of a row at once, and their number is not fixed; export the model for one length"
            )
        made = self.add(FlattenLayer, f"{wanted}_flat", [self.reference(flow, f"{wanted}_in")])
        width = flow.width * next(iter(steps))
        own = feature(width, self.trials)
        axes = tuple((own,) if place == axis else one for place, one in enumerate(flow.axes))
        return Flow((Part(made, width),), axes, (own,))

    def widened(self, flow: Flow, axis: int, parts: tuple[Part, ...]) -> Flow:
        """A flow like it whose features, all in `axis`, are those of `parts`."""
        width = sum(part.width for part in parts)
        atoms: tuple[Atom, ...] = (feature(width, self.trials),) if width > 1 else ()
        axes = tuple(atoms if place == axis else one for place, one in enumerate(flow.axes))
        return Flow(parts, axes, atoms)

    def changed(self, flow: Flow, change: Callable[[Layer], Layer | None], arrays: Mapping[str, Array] | None = None) -> bool:
        """Whether the last layer could take over what follows it, as `change` says, since nothing else reads what it makes."""
        layer = self.layers[-1] if self.layers else None
        if layer is None or flow.shared or len(flow.parts) != 1 or flow.parts[0].reference != layer.name:
            return False
        if (other := change(layer)) is None:
            return False
        self.layers[-1] = other
        self.arrays |= {f"{layer.name}.{own}": np.asarray(array) for own, array in (arrays or {}).items()}
        return True

    def keep_only_what_leads_to(self, *references: str) -> None:
        """Without layers that were made on the way to what is no layer in the end."""
        needed = {reference.partition(":")[0] for reference in references}
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed |= {reference.partition(":")[0] for reference in layer.inputs}
        self.layers = [layer for layer in self.layers if layer.name in needed]
        self.arrays = {name: array for name, array in self.arrays.items() if name.rpartition(".")[0] in needed}

    def heed_masks_where_said(self) -> None:
        """Masks travel by themselves; in a graph they count where it says so, and nowhere else."""
        if any(layer.mask_flow == "begins" for layer in self.layers):
            self.layers = [
                layer.model_copy(update={"mask_rule": "ignore"})
                if isinstance(layer, RecurrentLayer) and layer.name not in self.heedful
                else layer
                for layer in self.layers
            ]

    def activated(self, flow: Flow, activation: Activation, wanted: str) -> Flow:
        if activation.name == "linear":
            return flow
        if self.changed(flow, lambda layer: _with_activation(layer, activation)):
            return flow
        return self.then(flow, ActivationLayer, wanted, activation=activation)

    def affine(self, flow: Flow, scale: Array | None, shift: Array | None, wanted: str) -> Flow:  # [width] each
        """Times `scale`, plus `shift`, feature by feature."""
        if self._taken_in(flow, scale, shift):
            return flow
        ones, zeros = np.ones(flow.width, np.float32), np.zeros(flow.width, np.float32)
        arrays = {"moving_mean": zeros, "moving_variance": ones}
        arrays |= {} if scale is None else {"gamma": scale}
        arrays |= {} if shift is None else {"beta": shift}
        return self.then(
            flow, BatchNormalizationLayer, wanted, arrays, epsilon=0.0, scale=scale is not None, center=shift is not None
        )

    def _taken_in(self, flow: Flow, scale: Array | None, shift: Array | None) -> bool:
        """Whether the product before it could take it into its own arrays."""
        layer = self.layers[-1] if self.layers else None
        if not isinstance(layer, DenseLayer | Conv1dLayer) or layer.activation.name != "linear" or layer.units != flow.width:
            return False
        kernel, bias = self.arrays[f"{layer.name}.kernel"], self.arrays.get(f"{layer.name}.bias")
        arrays = {}
        if scale is not None:
            arrays["kernel"] = kernel * scale
            bias = None if bias is None else bias * scale
        if shift is not None:
            bias = shift if bias is None else bias + shift
        if bias is not None:
            arrays["bias"] = bias
        return self.changed(flow, lambda one: one.model_copy(update={"use_bias": bias is not None}), arrays)


def _with_activation(layer: Layer, activation: Activation) -> Layer | None:
    if not isinstance(layer, DenseLayer | Conv1dLayer) or layer.activation.name != "linear":
        return None
    return layer.model_copy(update={"activation": activation})
