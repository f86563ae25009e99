"""One call of a layer: which builder makes it, with what masks and initial states.

Knows neither form of a model (sequential, functional).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.calls import Call, TensorKey
from cellserve.models.importers.keras.configuration.legacy import MERGE_CLASSES
from cellserve.models.importers.keras.configuration.masks import Mask, require_own_mask
from cellserve.models.importers.keras.configuration.weighing import Weighing
from cellserve.models.importers.keras.files.tied import MODELS
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.layers.axes import SAID
from cellserve.models.importers.keras.layers.plain import BUILDERS, STEPWISE
from cellserve.models.importers.keras.layers.recurrent import CLASSES, build_bidirectional, build_recurrent
from cellserve.models.importers.keras.layers.within import build_within
from cellserve.models.importers.keras.operations.tensorflow import TENSORFLOW_LAYERS

ACCEPTED_KEYWORDS: Final = ("training", "mask", "initial_state")

Made = dict[TensorKey, Tensor | Mask | Weighing]
Nested = Callable[[Graph, KerasLayer, Sequence[Tensor]], list[Tensor]]
"""What makes the layers of a model that is inside another: (graph, the model, inputs) -> outputs."""

Build = Callable[[Graph, KerasLayer, Sequence[Tensor], Call, Made], list[Tensor]]
"""`build`, knowing how models inside are made."""


def build(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], call: Call, made: Made, *, nested: Nested) -> list[Tensor]:
    """All outputs of one call of a layer; `made`: the tensors so far. Raises ImportRefused naming the layer and the option."""
    if keras.after:
        alone = replace(keras, after=(), spec_name=graph.free(f"{keras.spec_name}_before_{keras.after[0]}"))
        return [_afterwards(graph, keras, build(graph, alone, inputs, call, made, nested=nested))]
    if keras.class_name in TENSORFLOW_LAYERS:
        graph.refuse(keras, "this operation of TensorFlow in the model's own code is not supported; write it as a standard layer")
    for keyword, value in call.keywords.items():
        if keyword not in ACCEPTED_KEYWORDS and value not in (None, False):
            graph.refuse(keras, f"it is called with the argument {keyword!r}, which is not supported")
    require_own_mask(graph, keras, inputs, call.keywords.get("mask"), made)
    initial = [
        expect_tensor(graph, made[key], "an initial state") for key in _states(graph, keras, call.keywords.get("initial_state"))
    ]
    if graph.era.forgets_masks_beside_states and initial and call.keywords.get("mask") is None:
        keras = replace(keras, given_masks=False)
    try:
        if keras.class_name in CLASSES and not keras.in_steps:
            return build_recurrent(graph, keras, inputs[:1], [*inputs[1:], *initial])
        if keras.class_name == "Bidirectional" and not keras.in_steps:
            return build_bidirectional(graph, keras, inputs[:1], [*inputs[1:], *initial])
        if keras.class_name in MODELS:
            return nested(graph, keras, inputs)
        if keras.in_steps:
            return [build_within(graph, keras, inputs)]
        if keras.class_name == "TimeDistributed":
            return _at_each_step(graph, keras, inputs, nested)
        if keras.class_name in SAID:
            return [SAID[keras.class_name](graph, keras, inputs, ())]
        if keras.class_name not in BUILDERS:
            graph.refuse(keras, unsupported(keras.class_name))
        return [BUILDERS[keras.class_name](graph, keras, inputs, ())]
    except KeyError as error:
        graph.refuse(keras, f"its configuration lacks the option {error}; the file is damaged")
    except ValidationError as error:
        first = error.errors()[0]
        graph.refuse(keras, f"its configuration makes no layer: {first['msg']}", ".".join(map(str, first["loc"])) or None)


def _at_each_step(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], nested: Nested) -> list[Tensor]:
    """TimeDistributed: around a model, or a layer that within a step is another than over time."""
    inside, source = graph.inside(keras, keras.config["layer"]), graph.only(keras, inputs)
    if inside.class_name in STEPWISE:
        return [BUILDERS[keras.class_name](graph, keras, inputs, ())]
    graph.check(keras, "layer")
    if source.masks:
        graph.refuse(keras, f"TimeDistributed({inside.class_name}) of a masked sequence is not supported")
    within = replace(inside, in_steps=True)
    if inside.class_name in MODELS:
        return nested(graph, within, inputs)
    return [build_within(graph, within, inputs, ("layer",))]


def _afterwards(graph: Graph, keras: KerasLayer, outputs: Sequence[Tensor]) -> Tensor:
    """What a person says is done to a layer's output, a word at a time."""
    output = graph.only(keras, outputs)
    for place, word in enumerate(keras.after, 1):
        if word not in SAID:
            graph.refuse(
                keras, f"{word!r} is no word for what follows a layer; these are: {', '.join(sorted(SAID))}", "custom_layers"
            )
        last = place == len(keras.after)
        name = keras.spec_name if last else graph.free(f"{keras.spec_name}_before_{keras.after[place]}")
        output = SAID[word](graph, replace(keras, spec_name=name), [output], ())
    return output


def unsupported(class_name: str) -> str:
    """What is said of a layer that no builder makes."""
    if class_name == "Merge":
        return f"only the modes {', '.join(MERGE_CLASSES)} of Merge are supported"
    if class_name == "Lambda":
        return (
            "a Lambda layer holds code, which is never run; say in a --description what it does, `lambdas: {its name: last_step}`"
            " (or squeeze, mean, max, identity, or a layer of Keras, {class_name: Reshape, target_shape: [-1, 4]}), and hold the "
            "import against the model's own answers with --expect; or save the model with standard layers"
        )
    known = ", ".join(sorted([*BUILDERS, *CLASSES, "Bidirectional", "Dot"]))
    return (
        f"layers of class {class_name} are not supported yet; the supported ones are {known}. The code of a class of your own "
        f"is never run: say in a --description what it is, `custom_layers: {{{class_name}: [LSTM, reverse]}}`, or another class "
        f"of Keras, or {', '.join(sorted(SAID))}, and hold the import against the model's own answers with --expect"
    )


def _states(graph: Graph, keras: KerasLayer, value: Any) -> list[TensorKey]:
    if value is None:
        return []
    keys = value if isinstance(value, list) else [value]
    if not all(isinstance(key, TensorKey) for key in keys):
        graph.refuse(
            keras,
            "its initial state is a constant of the code; only states that are tensors of the model are supported",
            "initial_state",
        )
    return keys


def expect_tensor(graph: Graph, value: Tensor | Mask | Weighing, what: str) -> Tensor:
    """Raises ImportRefused: a mask is none, nor are the scores of attention."""
    if isinstance(value, Mask):
        raise ImportRefused(graph.source, f"{what} is a mask, which is not supported")
    if not isinstance(value, Tensor):
        raise ImportRefused(graph.source, f"{what} is scores of attention or their softmax over time, which is not supported")
    return value
