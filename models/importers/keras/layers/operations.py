"""Bare operations among a functional model's layers, `keras.ops` and slices, as layers.

An operation knows no masks: of a masked sequence only what forgets the mask anyway is taken. Source: keras/src/ops 3.x. Knows no
files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import GlobalPooling1dLayer, LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import ActivationLayer, DenseLayer
from cellserve.models.description.layers.windowed import Cropping1dLayer, Pooling1dLayer
from cellserve.models.importers.keras.configuration.calls import Call, TensorKey
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.layers.affine import affine
from cellserve.models.importers.keras.layers.axes import permuted, reshaped

Tensors = Mapping[TensorKey, Tensor]
Operation = Callable[[Graph, KerasLayer, Call, Tensors], Tensor]


def arithmetic_of(raw: Mapping[str, Any], call: Call) -> Operation | None:
    """None for a layer, and for an operation that is none of these."""
    if raw.get("class_name") in TENSORFLOW_LAYERS:
        return tensorflow_operation(raw)
    found, config, module = OPERATIONS.get(str(raw.get("class_name"))), raw.get("config"), raw.get("module")
    if module is not None:
        return found if str(module).startswith("keras.src.ops") else None
    unlike_layers = isinstance(config, Mapping) and "trainable" not in config  # in .h5 files, which leave the module out
    return found if call.arguments and unlike_layers else None


def as_operation(raw: Mapping[str, Any], keras: KerasLayer, call: Call) -> KerasLayer:
    """An operation of TensorFlow under Keras 3's name and with its options; any other layer as it is."""
    name = _keras_3_name(raw) if raw.get("class_name") in TENSORFLOW_LAYERS else None
    return keras if name is None else replace(keras, class_name=name, config=_options(name, _keywords(call)))


def tensorflow_operation(raw: Mapping[str, Any]) -> Operation | None:
    """An operation of TensorFlow among the layers of tf.keras, under the name that Keras 3 has for it."""
    name = _keras_3_name(raw)
    return None if name is None else partial(_of_tensorflow, name=name)


def _of_tensorflow(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors, *, name: str) -> Tensor:
    keywords = _keywords(call)
    named = replace(keras, class_name=name, config=_options(name, keywords))
    return OPERATIONS[name](graph, named, replace(call, keywords=keywords), tensors)


def _keras_3_name(raw: Mapping[str, Any]) -> str | None:
    config = raw.get("config")
    return TENSORFLOW.get(str(config.get("function"))) if isinstance(config, Mapping) else None


def _keywords(call: Call) -> dict[str, Any]:
    return {RENAMED.get(key, key): value for key, value in call.keywords.items() if value is not None}


def _options(name: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {**DEFAULTS.get(name, {}), **{key: value for key, value in keywords.items() if key not in ("y", "key", "name")}}


def _function(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    source, (name, alpha) = _only(graph, keras, call, tensors), FUNCTIONS[keras.class_name]
    given = None if alpha is None else keras.config.get(alpha[0], keras.config.get("alpha", alpha[1]))
    if keras.class_name == "Gelu" and keras.config.get("approximate", True):
        name = "gelu_tanh"
    if name in ("softmax", "log_softmax"):
        _require_last(graph, keras, source)
    activation = Activation.model_validate({"name": name, "alpha": given})
    layer = ActivationLayer(name=keras.spec_name, inputs=(source.reference,), activation=activation)
    return graph.add(layer, sequence=source.sequence)


def _binary(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors, *, mode: str) -> Tensor:
    one, other = _both(graph, keras, call)
    if isinstance(one, TensorKey) and isinstance(other, TensorKey):
        inputs = [_unmasked(graph, keras, tensors[key]) for key in (one, other)]
        if mode == "divide":
            graph.refuse(keras, "it divides one tensor by another, which is not supported")
        layer = MergeLayer.model_validate(
            {"name": keras.spec_name, "inputs": [tensor.reference for tensor in inputs], "mode": mode}
        )
        return graph.add(layer, sequence=inputs[0].sequence)
    key, constant, turned = (one, other, False) if isinstance(one, TensorKey) else (other, one, True)
    source, number = _unmasked(graph, keras, tensors[key]), _constant(graph, keras, constant)
    if mode == "divide" and turned:
        graph.refuse(keras, "it divides a number by a tensor, which is not supported")
    if mode in ("maximum", "minimum"):
        if mode == "minimum" or np.any(number != 0):
            graph.refuse(keras, f"the {mode} of a tensor and a number is not supported, but for max(x, 0)")
        relu = ActivationLayer(name=keras.spec_name, inputs=(source.reference,), activation=Activation(name="relu"))
        return graph.add(relu, sequence=source.sequence)
    if mode in ("multiply", "divide"):
        return affine(graph, keras, source, scale=number if mode == "multiply" else 1 / number, shift=np.zeros(1))
    sign = -1.0 if mode == "subtract" and turned else 1.0
    shift = -number if mode == "subtract" and not turned else number
    return affine(graph, keras, source, scale=np.full(1, sign), shift=shift)


def _negative(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    return affine(graph, keras, _only(graph, keras, call, tensors), scale=np.full(1, -1.0), shift=np.zeros(1))


def _square(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    source = _only(graph, keras, call, tensors)
    layer = MergeLayer(name=keras.spec_name, inputs=(source.reference,) * 2, mode="multiply")
    return graph.add(layer, sequence=source.sequence)


def _concatenate(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    inputs = [_unmasked(graph, keras, tensors[key]) for key in call.inputs]
    _require_last(graph, keras, inputs[0])
    layer = MergeLayer(name=keras.spec_name, inputs=tuple(one.reference for one in inputs), mode="concat")
    return graph.add(layer, sequence=inputs[0].sequence)


def _over_time(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors, *, mode: Any) -> Tensor:
    source = _only(graph, keras, call, tensors)
    axis = keras.config.get("axis")
    axes = axis if isinstance(axis, list | tuple) else [axis]
    if not source.sequence or list(axes) != [1] or keras.config.get("keepdims"):
        graph.refuse(keras, f"{keras.class_name} is supported over the time axis alone (axis=1), without keepdims", "axis")
    return graph.add(GlobalPooling1dLayer(name=keras.spec_name, inputs=(source.reference,), mode=mode), sequence=False)


def _item(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    """x[:, -1], x[:, 1:-1], x[:, ::-2]: of a sequence, over its time; x[..., :3]: some features; the rest is taken whole."""
    key, where = _both(graph, keras, call)
    source = tensors[key]
    places = _spelled_out(where if isinstance(where, list) else [where], len(graph.shape(source).features) + source.sequence + 1)
    if len(graph.shape(source).features) == 1 and len(places) == source.sequence + 2 and _slice(places[-1]) not in (None, WHOLE):
        *others, features = places
        nothing_else = all(_slice(place) == WHOLE for place in others)
        name = keras.spec_name if nothing_else else graph.free(f"{keras.spec_name}_features")
        source = _features(graph, replace(keras, spec_name=name), _unmasked(graph, keras, source), features)
        if nothing_else:
            return source
        places = others
    whole = [_slice(place) == WHOLE for place in places]
    steps = places[1] if len(places) > 1 else places[0]
    if not source.sequence or not whole[0] or not all(whole[2:]) or len(places) > 3 or steps is None:
        graph.refuse(
            keras, "this slice is not supported; steps of a sequence are, such as x[:, -1] and x[:, 1:], and features, x[..., 1:]"
        )
    if all(whole):
        return _unmasked(graph, keras, source)
    if isinstance(steps, int):
        return _step(graph, keras, source, steps)
    if (span := _slice(steps)) is None:
        graph.refuse(keras, f"it takes the steps {steps!r:.60}, which is not understood")
    start, stop, stride = span
    if stride < 0 and stop == -1:
        graph.refuse(keras, "a slice that takes no steps is not supported")
    if stride < 0:
        start, stop = None if stop is None else stop + 1, None if start in (None, -1) else start + 1
    fixed = graph.shape(source).time_steps
    if stop is not None and stop >= 0:
        stop = None if fixed is None or stop >= fixed else stop - fixed
        if fixed is None:
            graph.refuse(keras, "the first steps of sequences of any length are taken, which is not supported; fix the length")
    if start is not None and start < 0:
        if fixed is None:
            graph.refuse(keras, "the last steps of sequences of any length are taken, which is not supported; fix the length")
        start += fixed
    return _steps(graph, keras, _unmasked(graph, keras, source), start or 0, -(stop or 0), stride)


def _steps(graph: Graph, keras: KerasLayer, source: Tensor, before: int, after: int, stride: int) -> Tensor:
    """Without the first `before` and the last `after`, turned round where `stride` is negative, and of these each stride-th."""
    wanted: list[tuple[str, Callable[..., Layer]]] = []
    if before or after or stride == 1:
        wanted.append(("cropped", partial(Cropping1dLayer, before=before, after=after)))
    if stride < 0:
        wanted.append(("turned", ReverseLayer))
    if abs(stride) > 1:
        wanted.append(("kept", partial(Pooling1dLayer, mode="average", pool_size=1, strides=abs(stride))))
    *others, (_, last) = wanted
    for what, kind in others:
        source = graph.add(kind(name=graph.free(f"{keras.spec_name}_{what}"), inputs=(source.reference,)), sequence=True)
    return graph.add(last(name=keras.spec_name, inputs=(source.reference,)), sequence=True)


def _spelled_out(places: Sequence[Any], axes: int) -> list[Any]:
    """With slices of everything where an ellipsis stands for them."""
    whole = {"start": None, "stop": None, "step": None}
    dots = [place for place, one in enumerate(places) if isinstance(one, Mapping) and one.get("class_name") == "__ellipsis__"]
    if len(dots) != 1:
        return list(places)
    return [*places[: dots[0]], *[whole] * (axes - len(places) + 1), *places[dots[0] + 1 :]]


def _features(graph: Graph, keras: KerasLayer, source: Tensor, place: Any) -> Tensor:
    """Some of the features: times a matrix of ones and zeros."""
    width = graph.shape(source).features[0]
    span = _slice(place) or WHOLE
    chosen = range(width)[slice(*span)]
    if not chosen or span[2] < 1:
        graph.refuse(keras, f"of {width} features it takes {place!r:.60}, which is none or turned round and not supported")
    layer = DenseLayer(name=keras.spec_name, inputs=(source.reference,), units=len(chosen), use_bias=False)
    graph.made(keras, layer, lambda: {"kernel": np.eye(width, dtype=np.float32)[:, list(chosen)]})
    return graph.add(layer, sequence=source.sequence)


def _step(graph: Graph, keras: KerasLayer, source: Tensor, step: int) -> Tensor:
    """Counted from the row's own end, or from its start: of the row turned round, the last one."""
    reference, name = source.reference, keras.spec_name
    beyond = step if step >= 0 else -1 - step
    if beyond:
        before, after = (beyond, 0) if step >= 0 else (0, beyond)
        cropped = Cropping1dLayer(name=graph.free(f"{name}_cropped"), inputs=(reference,), before=before, after=after)
        reference = graph.add(cropped, sequence=True).reference
    if step >= 0:
        reference = graph.add(ReverseLayer(name=graph.free(f"{name}_turned"), inputs=(reference,)), sequence=True).reference
    return graph.add(LastStepLayer(name=name, inputs=(reference,)), sequence=False)


def _slice(place: Any) -> tuple[int | None, int | None, int] | None:
    """(start, stop, step) of a slice as Keras 3 and tf.keras write it; None for anything else."""
    options = place.get("config", place) if isinstance(place, Mapping) else None
    if not isinstance(options, Mapping) or "start" not in options:
        return None
    start, step = options["start"], options["step"] or 1
    return start if step < 0 else start or None, options["stop"], step


def _reshape(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    target = keras.config.get("newshape", keras.config.get("new_shape"))
    if not isinstance(target, list | tuple) or not all(axis is None or isinstance(axis, int) for axis in target):
        graph.refuse(keras, "the shape that it makes is not written down")
    return reshaped(graph, keras, _only(graph, keras, call, tensors), tuple(target[1:]))


def _transpose(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    axes = keras.config.get("axes")
    if not isinstance(axes, list | tuple) or not axes or axes[0] != 0:
        graph.refuse(keras, "a transposition that moves the batch is not supported", "axes")
    return permuted(graph, keras, _only(graph, keras, call, tensors), tuple(axes[1:]))


def _both(graph: Graph, keras: KerasLayer, call: Call) -> tuple[Any, Any]:
    """Its two arguments, of which one may come by name."""
    given = [*call.arguments, *(call.keywords[name] for name in ("x1", "x2", "y", "key") if name in call.keywords)]
    if len(given) != 2:
        graph.refuse(keras, f"it is called with {len(given)} arguments where two are expected")
    return given[0], given[1]


def _only(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    return _unmasked(graph, keras, graph.only(keras, [tensors[key] for key in call.needs()]))


def _unmasked(graph: Graph, keras: KerasLayer, source: Tensor) -> Tensor:
    if source.masks:
        graph.refuse(
            keras, f"the operation {keras.class_name} forgets the mask of its input, which is not supported; use a layer for it"
        )
    return source


def _require_last(graph: Graph, keras: KerasLayer, source: Tensor) -> None:
    last = len(graph.shape(source).features) + source.sequence
    if keras.config.get("axis", -1) not in (-1, last):
        graph.refuse(keras, f"{keras.class_name} works along the last axis alone here", "axis")


def _constant(graph: Graph, keras: KerasLayer, value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(value.get("config"), Mapping):
        value = value["config"].get("value")
    try:
        number = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        graph.refuse(keras, f"one of its arguments is neither a tensor nor a number: {value!r:.60}")
    if number.size == (number.shape[-1] if number.ndim else 1):
        number = number.reshape(-1)
    if number.ndim != 1:
        graph.refuse(keras, f"a constant of the shape {list(number.shape)} is not supported; one for each feature is")
    return number


WHOLE: Final = (None, None, 1)
FUNCTIONS: Final[Mapping[str, tuple[str, tuple[str, float] | None]]] = {
    "Tanh": ("tanh", None),
    "Sigmoid": ("sigmoid", None),
    "Relu": ("relu", None),
    "Relu6": ("relu6", None),
    "Elu": ("elu", ("alpha", 1.0)),
    "Selu": ("selu", None),
    "Celu": ("celu", ("alpha", 1.0)),
    "LeakyRelu": ("leaky_relu", ("negative_slope", 0.2)),
    "Gelu": ("gelu", None),
    "Silu": ("silu", None),
    "Softplus": ("softplus", None),
    "Softsign": ("softsign", None),
    "HardSigmoid": ("hard_sigmoid_relu6", None),
    "HardSilu": ("hard_silu", None),
    "HardTanh": ("hard_tanh", None),
    "LogSigmoid": ("log_sigmoid", None),
    "TanhShrink": ("tanh_shrink", None),
    "Exp": ("exponential", None),
    "Softmax": ("softmax", None),
    "LogSoftmax": ("log_softmax", None),
}
BINARY: Final[Mapping[str, str]] = {
    "Add": "sum",
    "Subtract": "subtract",
    "Multiply": "multiply",
    "Divide": "divide",
    "TrueDivide": "divide",
    "Maximum": "maximum",
    "Minimum": "minimum",
}
OPERATIONS: Final[Mapping[str, Operation]] = {
    **dict.fromkeys(FUNCTIONS, _function),
    **{name: partial(_binary, mode=mode) for name, mode in BINARY.items()},
    "Negative": _negative,
    "Square": _square,
    "Concatenate": _concatenate,
    "Mean": partial(_over_time, mode="average"),
    "Max": partial(_over_time, mode="max"),
    "Sum": partial(_over_time, mode="sum"),
    "GetItem": _item,
    "Reshape": _reshape,
    "Transpose": _transpose,
}
TENSORFLOW_LAYERS: Final = ("TFOpLambda", "SlicingOpLambda")
TENSORFLOW: Final[Mapping[str, str]] = {
    "__operators__.getitem": "GetItem",
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "Divide",
    "math.divide": "Divide",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.negative": "Negative",
    "math.square": "Square",
    "math.exp": "Exp",
    "math.tanh": "Tanh",
    "math.sigmoid": "Sigmoid",
    "math.softplus": "Softplus",
    "math.reduce_mean": "Mean",
    "math.reduce_max": "Max",
    "math.reduce_sum": "Sum",
    "concat": "Concatenate",
    "reshape": "Reshape",
    "transpose": "Transpose",
    **{
        f"nn.{name}": keras_3
        for name, keras_3 in (
            *(("tanh", "Tanh"), ("sigmoid", "Sigmoid"), ("relu", "Relu"), ("relu6", "Relu6"), ("elu", "Elu"), ("selu", "Selu")),
            *(
                ("gelu", "Gelu"),
                ("silu", "Silu"),
                ("leaky_relu", "LeakyRelu"),
                ("softplus", "Softplus"),
                ("softsign", "Softsign"),
            ),
            *(("softmax", "Softmax"), ("log_softmax", "LogSoftmax"), ("softmax_v2", "Softmax")),
        )
    },
}
RENAMED: Final = {"slice_spec": "key", "shape": "newshape", "perm": "axes"}
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {"Gelu": {"approximate": False}}
