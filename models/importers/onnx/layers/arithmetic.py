"""ONNX's sums and products feature by feature, norms and functions as layers. Knows no graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.stepwise import BatchNormalizationLayer, LayerNormalizationLayer, PReluLayer
from cellserve.models.importers.onnx.layers import attention, repeating
from cellserve.models.importers.onnx.node import Node, axis_number
from cellserve.models.importers.onnx.values import Axis, Flow, NotTranslated, Part, Value

Array = npt.NDArray[Any]
NEVER_FEWER: Final = 13  # the operator set since which Softmax means its axis, and not all from there on


def combine(node: Node) -> list[Value]:
    """Add, Sub, Mul, Div, Max, Min, Mean and Sum: with constants, feature by feature, or of several tensors of one shape."""
    flows = [value for value in node.given if isinstance(value, Flow)]
    if len(flows) == len(node.given):
        if any(flow.shares for flow in flows):
            return [attention.weighted(node)]
        return [_merged(node)]
    if len(node.given) != 2 or len(flows) != 1:
        raise NotTranslated("it joins constants with more than one tensor")
    place = 0 if isinstance(node.given[0], Flow) else 1
    flow = node.features(place)
    if node.operator == "Div" and place == 0 and (mean := _mean(node, flow)) is not None:
        return [mean]
    flow, array = _per_feature(node, flow, _constant(node, 1 - place, flow))
    if node.operator in ("Div", "Mul"):
        _remark_on_total(node, flow, array if node.operator == "Mul" else 1 / array.astype(np.float64))
    return [_with_constant(node, flow, array, constant_first=place == 1)]


def _constant(node: Node, place: int, flow: Flow) -> Array:
    """One number, too, where it fills a tensor as large as this one, as a mask does that leaves nothing out."""
    known = node.known(place, "constant")
    if known is None or known.constant is not None or (fill := known.fill) is None:
        return node.constant(place, "constant")
    if any(np.broadcast_shapes(flow.shape(t), one.shape) != flow.shape(t) for t, one in enumerate(known.arrays)):
        raise NotTranslated("it repeats what it reads along an axis")
    return np.array(fill, np.float32)


def _mean(node: Node, flow: Flow) -> Flow | None:
    """A sum over time divided by the number of its steps."""
    steps, divisor = node.draft.totals.get(flow.parts[0].reference), node.known(1, "divisor")
    if steps is None or divisor is None or len(set(steps)) == 1 or len(flow.parts) != 1:
        return None
    if any((array != count).any() for array, count in zip(divisor.arrays, steps)):
        return None
    turned = node.draft.changed(flow, lambda layer: layer.model_copy(update={"mode": "average"}))
    return flow if turned else None


def _remark_on_total(node: Node, flow: Flow, scale: Array) -> None:
    """Of a sum over time that is divided by a whole number at every length."""
    counts = np.unique(1 / scale[scale != 0]) if scale.size and scale.all() else np.zeros(0)
    if flow.parts[0].reference in node.draft.totals and len(counts) == 1 and counts[0] >= 2 and abs(counts[0] % 1) < 1e-4:
        node.draft.remarks.append(
            f"At {node.name} the file divides a sum over time by {round(counts[0])} at every length: where an exporter fixed the "
            f"length of its example, that is a mean at {round(counts[0])} steps only. It is served as the file answers."
        )


def _with_constant(node: Node, flow: Flow, array: Array, *, constant_first: bool) -> Flow:  # [width]
    draft, name = node.draft, node.name
    if node.operator in ("Add", "Sum"):
        if not array.any():
            return flow
        return draft.affine(flow, None, array, name)
    if node.operator == "Mul":
        return draft.affine(flow, array, None, name)
    if node.operator == "Sub":
        return draft.affine(flow, -np.ones_like(array), array, name) if constant_first else draft.affine(flow, None, -array, name)
    if node.operator == "Div" and not constant_first and array.all():
        return draft.affine(flow, (1 / array.astype(np.float64)).astype(np.float32), None, name)
    if node.operator == "Max" and not array.any():
        return draft.activated(flow, Activation(name="relu"), name)
    raise NotTranslated(f"{node.operator} with this constant is no layer")


def _per_feature(node: Node, flow: Flow, array: Array) -> tuple[Flow, Array]:
    """(the flow, one number for each of its features in their order)."""
    if array.ndim > len(flow.axes):
        if any(size != 1 for size in array.shape[: array.ndim - len(flow.axes)]):
            raise NotTranslated(f"its constant, {list(array.shape)}, has more axes than what it is joined with")
        array = array.reshape(array.shape[array.ndim - len(flow.axes) :])
    array = array.reshape((1,) * (len(flow.axes) - array.ndim) + array.shape)
    sizes: list[int] = []
    for place, axis in enumerate(flow.axes):
        own = [one.sizes[0] for one in axis if one.role == "feature"]
        if len(own) != len(axis) and array.shape[place] != 1:
            raise NotTranslated(f"its constant, {list(array.shape)}, has numbers of their own for rows or time steps")
        if array.shape[place] not in (1, int(np.prod(own))):
            raise NotTranslated(f"its constant, {list(array.shape)}, does not fit what it is joined with")
        sizes += own
    axes = [int(np.prod([one.sizes[0] for one in axis if one.role == "feature"])) for axis in flow.axes]
    whole = np.broadcast_to(array, axes).reshape(sizes).astype(np.float32)
    order = [flow.ordered.index(one) for one in flow.features]
    return flow, np.ascontiguousarray(whole.transpose(order).ravel())


MERGES: Final[Mapping[str, str]] = {
    "Add": "sum", "Sum": "sum", "Sub": "subtract", "Mul": "multiply", "Max": "maximum", "Min": "minimum", "Mean": "average",
}  # fmt: skip


def _merged(node: Node) -> Flow:
    flows = _of_one_shape(node, [node.features(place) for place in range(len(node.given))])
    first = node.draft.lined_up(flows[0], f"{node.name}_in")
    if len(flows) == 1:
        return first
    if node.operator not in MERGES:
        raise NotTranslated(f"{node.operator} of two computed tensors is no layer")
    references = [node.draft.reference(first, f"{node.name}_in")]
    for flow in flows[1:]:
        flow = node.draft.lined_up(flow, f"{node.name}_in")
        if list(map(_told, flow.axes)) != list(map(_told, first.axes)):
            raise NotTranslated("it joins tensors of different shapes")
        references.append(node.draft.reference(flow, f"{node.name}_in"))
    made = node.draft.add(MergeLayer, node.name, references, mode=MERGES[node.operator])
    return replace(first, parts=(Part(made, first.width),), shared=False)


def _told(axis: Axis) -> list[tuple[str, tuple[int, ...]]]:
    """What an axis is, whatever its features are made of: those that follow each other as one."""
    found: list[tuple[str, tuple[int, ...]]] = []
    for one in axis:
        if one.role == "feature" and found and found[-1][0] == "feature":
            found[-1] = "feature", tuple(before * size for before, size in zip(found[-1][1], one.sizes))
        else:
            found.append((one.role, one.sizes))
    return found


def _of_one_shape(node: Node, flows: Sequence[Flow]) -> list[Flow]:
    """A vector beside a sequence repeated for each of its steps, one number beside several features for each of these."""
    rank = max(len(flow.axes) for flow in flows)
    flows = [flow.at(*((),) * (rank - len(flow.axes)), *flow.axes) for flow in flows]
    for place in range(rank - 1, -1, -1):  # features first: they are fewer before they are repeated in time
        whole = next((flow for flow in flows if flow.axes[place]), None)
        if whole is not None:
            sizes = [whole.shape(trial)[place] for trial in range(node.trials)]
            flows = [flow if flow.axes[place] else repeating.repeated(node, flow, place, sizes, whole) for flow in flows]
    return flows


def power(node: Node) -> list[Value]:
    flow, exponent = node.features(0), node.constant(1, "exponent")
    if exponent.size != 1 or float(np.ravel(exponent)[0]) not in (1.0, 2.0):
        raise NotTranslated("a power other than the square is no layer")
    if float(np.ravel(exponent)[0]) == 1.0:
        return [flow]
    reference = node.draft.reference(flow, f"{node.name}_in")
    made = node.draft.add(MergeLayer, node.name, [reference, reference], mode="multiply")
    return [replace(flow, parts=(Part(made, flow.width),), shared=False)]


def negative(node: Node) -> list[Value]:
    flow = node.features(0)
    return [node.draft.affine(flow, -np.ones(flow.width, np.float32), None, node.name)]


def softmax(node: Node) -> list[Value]:
    flow = node.features(0)
    newer = node.opset >= NEVER_FEWER
    axis = axis_number(int(node.attributes.get("axis", -1 if newer else 1)), len(flow.axes))
    if not newer and any(flow.axes[axis + 1 :]):
        raise NotTranslated(f"before operator set 13, {node.operator} at axis {axis} is over all axes from there on")
    if node.operator == "Softmax" and [one.role for one in flow.axes[axis]] == ["time"]:
        return [replace(node.draft.lined_up(flow, f"{node.name}_in"), shares=True)]
    flow = node.draft.lined_up(flow, f"{node.name}_in", axis)
    return [node.draft.activated(flow, Activation.model_validate({"name": SOFTMAXES[node.operator]}), node.name)]


SOFTMAXES: Final = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}


def batch_normalization(node: Node) -> list[Value]:
    if node.attributes.get("training_mode", 0) or not node.attributes.get("spatial", 1):
        raise NotTranslated("it normalizes as in training; export the model for inference")
    flow = node.features(0)
    flow = node.draft.lined_up(flow, f"{node.name}_in", min(1, len(flow.axes) - 1))
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    arrays = {name: np.ravel(node.constant(place, name)) for place, name in enumerate(names, start=1)}
    return [
        node.draft.then(flow, BatchNormalizationLayer, node.name, arrays, epsilon=float(node.attributes.get("epsilon", 1e-5)))
    ]


def layer_normalization(node: Node) -> list[Value]:
    flow = node.features(0)
    axis = axis_number(int(node.attributes.get("axis", -1)), len(flow.axes))
    if any(node.used[1:]) or any(flow.axes[axis + 1 :]):
        raise NotTranslated("it normalizes over more than the last axis, or gives the mean")
    flow = node.draft.lined_up(flow, f"{node.name}_in", axis)
    gamma, beta = node.optional(1, "scale"), node.optional(2, "bias")
    arrays = {name: np.ravel(array) for name, array in (("gamma", gamma), ("beta", beta)) if array is not None}
    options = {"scale": gamma is not None, "center": beta is not None, "epsilon": float(node.attributes.get("epsilon", 1e-5))}
    return [node.draft.then(flow, LayerNormalizationLayer, node.name, arrays, **options)]


def prelu(node: Node) -> list[Value]:
    flow, alpha = _per_feature(node, node.features(0), node.constant(1, "slope"))
    return [node.draft.then(flow, PReluLayer, node.name, {"alpha": alpha})]


def clip(node: Node) -> list[Value]:
    low, high = (_bound(node, name, place) for place, name in enumerate(("min", "max"), start=1))
    flow, draft = node.features(0), node.draft
    if (name := CLIPS.get((low, high))) is not None:
        return [draft.activated(flow, Activation.model_validate({"name": name}), node.name)]
    if not low < high:
        raise NotTranslated(f"a clip to [{low:g}, {high:g}] is no layer")
    if np.isfinite(high - low):  # within [0, 1] and back
        scale = high - low
        between = draft.activated(flow, Activation(name="clipped_affine", alpha=1 / scale, beta=-low / scale), node.name)
        return [_shifted(node, between, scale, low)]
    sign, bound = (1.0, low) if np.isfinite(low) else (-1.0, -high)
    above = draft.activated(_shifted(node, flow, sign, -bound), Activation(name="relu"), node.name)
    return [_shifted(node, above, sign, sign * bound)]


def _shifted(node: Node, flow: Flow, scale: float, shift: float) -> Flow:
    filled = [np.full(flow.width, number, np.float32) for number in (scale, shift)]
    return node.draft.affine(flow, filled[0], filled[1], f"{node.name}_shifted")


CLIPS: Final = {(0.0, 6.0): "relu6", (-1.0, 1.0): "hard_tanh", (0.0, np.inf): "relu", (-np.inf, np.inf): "linear"}


def _bound(node: Node, name: str, place: int) -> float:
    array = node.optional(place, name)
    value = (
        float(np.ravel(array)[0]) if array is not None else float(node.attributes.get(name, -np.inf if name == "min" else np.inf))
    )
    return float(np.sign(value)) * np.inf if abs(value) >= float(np.finfo(np.float32).max) else value


def selu(node: Node) -> list[Value]:
    """gamma times an elu, where it is not the usual one."""
    alpha, gamma = float(node.attributes.get("alpha", 1.67326324)), float(node.attributes.get("gamma", 1.05070102))
    usual = np.isclose(alpha, 1.67326324, atol=1e-5) and np.isclose(gamma, 1.05070102, atol=1e-5)
    activation = Activation(name="selu") if usual else Activation(name="elu", alpha=alpha)
    made = node.draft.activated(node.features(0), activation, node.name)
    return [made if usual else node.draft.affine(made, np.full(made.width, gamma, np.float32), None, f"{node.name}_scaled")]


def function(node: Node) -> list[Value]:
    """Of each number alone."""
    flow = node.features(0)
    name = FUNCTIONS[node.operator](node)
    return [node.draft.activated(flow, Activation.model_validate(name), node.name)]


def _alpha(name: str, default: float) -> Callable[[Node], dict[str, Any]]:
    return lambda node: {"name": name, "alpha": float(node.attributes.get("alpha", default))}


def _plain(name: str) -> Callable[[Node], dict[str, Any]]:
    return lambda node: {"name": name}


def _hard_sigmoid(node: Node) -> dict[str, Any]:
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    for name, own in (("hard_sigmoid", 0.2), ("hard_sigmoid_relu6", 1 / 6)):
        if np.isclose(alpha, own, atol=1e-6) and beta == 0.5:
            return {"name": name}
    return {"name": "clipped_affine", "alpha": alpha, "beta": beta}


def _shrink(node: Node) -> dict[str, Any]:
    threshold, bias = float(node.attributes.get("lambd", 0.5)), float(node.attributes.get("bias", 0.0))
    if bias not in (0.0, threshold):
        raise NotTranslated(f"a shrink by {bias:g} from {threshold:g} on is no activation here")
    return {"name": "soft_shrink" if bias else "hard_shrink", "alpha": threshold}


def _gelu(node: Node) -> dict[str, Any]:
    return {"name": "gelu_tanh" if node.attributes.get("approximate", "none") == "tanh" else "gelu"}


FUNCTIONS: Final[Mapping[str, Callable[[Node], dict[str, Any]]]] = {
    "Relu": _plain("relu"),
    "Tanh": _plain("tanh"),
    "Sigmoid": _plain("sigmoid"),
    "Softplus": _plain("softplus"),
    "Softsign": _plain("softsign"),
    "Exp": _plain("exponential"),
    "Mish": _plain("mish"),
    "HardSwish": _plain("hard_silu"),
    "Gelu": _gelu,
    "Shrink": _shrink,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _alpha("leaky_relu", 0.01),
    "Elu": _alpha("elu", 1.0),
    "Celu": _alpha("celu", 1.0),
    "ThresholdedRelu": _alpha("thresholded_relu", 1.0),
}
