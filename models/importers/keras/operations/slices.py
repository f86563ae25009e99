"""Slices of tensors, x[:, -1] and x[..., :3], as layers. Knows no other operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.layers.windowed import Cropping1dLayer, Pooling1dLayer
from cellserve.models.importers.keras.configuration.calls import Call
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.operations.arguments import Tensors, both, unmasked

WHOLE: Final = (None, None, 1)


def item(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    """x[:, -1], x[:, 1:-1], x[:, ::-2]: of a sequence, over its time; x[..., :3]: some features; the rest is taken whole."""
    key, where = both(graph, keras, call)
    source = tensors[key]
    places = _spelled_out(where if isinstance(where, list) else [where], len(graph.shape(source).features) + source.sequence + 1)
    if len(graph.shape(source).features) == 1 and len(places) == source.sequence + 2 and _slice(places[-1]) not in (None, WHOLE):
        *others, features = places
        nothing_else = all(_slice(place) == WHOLE for place in others)
        name = keras.spec_name if nothing_else else graph.free(f"{keras.spec_name}_features")
        source = _features(graph, replace(keras, spec_name=name), unmasked(graph, keras, source), features)
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
        return unmasked(graph, keras, source)
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
    return _steps(graph, keras, unmasked(graph, keras, source), start or 0, -(stop or 0), stride)


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
