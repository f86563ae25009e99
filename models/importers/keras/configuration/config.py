"""A Keras model's configuration (Sequential or functional) into a ModelSpec, and who claims which stored arrays.

Knows that models may be inside models; their forms are in sequential and functional, the layers themselves in layers/, the arrays
a store's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cellserve.models.errors import ImportRefused, InvalidSpec
from cellserve.models.importers.keras.configuration.building import Made, build
from cellserve.models.importers.keras.configuration.calls import Call
from cellserve.models.importers.keras.configuration.era import Era
from cellserve.models.importers.keras.configuration.functional import functional
from cellserve.models.importers.keras.configuration.options import TrainingNotes
from cellserve.models.importers.keras.configuration.sequential import sequential
from cellserve.models.importers.keras.files.tied import FUNCTIONAL
from cellserve.models.importers.keras.graph import TOP, Array, ArrayStore, Claim, Graph, KerasLayer, Tensor, Within
from cellserve.models.importers.keras.said import Said
from cellserve.models.spec import ModelSpec


def translate(
    model: Mapping[str, Any],
    era: Era,
    store: ArrayStore,
    source: str,
    projections: Mapping[str, Array] | None = None,
    said: Said | None = None,
) -> tuple[ModelSpec, list[Claim], tuple[str, ...]]:
    """The network of a model {"class_name": …, "config": …} as saved, its claims on the stored arrays, and notes.

    `projections`: of JZS layers whose weight files lack them, by layer. `said`: of layers whose code is never read.

    Raises ImportRefused naming the layer and the option.
    """
    class_name, config = model.get("class_name"), model.get("config")
    graph = Graph(source, era, store, TrainingNotes(source), projections or {}, said or Said())
    try:
        graph.names = frozenset(_names(config))
        outputs = _model(graph, class_name, config)
        for option, name in graph.said.unmet():
            what = "no Lambda layer of this name" if option == "lambdas" else "no layer of this class"
            raise ImportRefused(source, f"the model has {what}: {name!r}", option=option)
        spec = ModelSpec(inputs=tuple(graph.inputs), layers=tuple(graph.layers), outputs=tuple(one.reference for one in outputs))
    except ValidationError as error:
        first = error.errors()[0]
        raise ImportRefused(
            source, f"the configuration does not make a network: {first['msg']}", option=".".join(map(str, first["loc"])) or None
        ) from error
    except InvalidSpec as error:
        raise ImportRefused(source, f"the configuration does not make a network: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ImportRefused(
            source, f"the model's configuration is damaged or of a form not known here ({type(error).__name__}: {error})"
        ) from error
    return spec, graph.claims, graph.notes.sentences()


def _names(config: object) -> Iterator[str]:
    """Of a model's layers, and of its branches'."""
    raws = config.get("layers") if isinstance(config, Mapping) else config
    for raw in raws if isinstance(raws, list) else ():
        if isinstance(raw, Mapping):
            inner = raw.get("config")
            yield str(raw.get("name") or (inner.get("name") if isinstance(inner, Mapping) else None))
            yield from _names(inner)


def _mapping(graph: Graph, config: object) -> Mapping[str, Any]:
    if not isinstance(config, Mapping):
        raise ImportRefused(graph.source, "the model's configuration holds no layers")
    return config


def _model(graph: Graph, class_name: object, config: object, within: Within = TOP, given: Sequence[Tensor] = ()) -> list[Tensor]:
    if class_name == "Sequential":
        layers = config if isinstance(config, list) else _mapping(graph, config)["layers"]
        return sequential(graph, layers, within, given, _build)
    if class_name in FUNCTIONAL:
        return functional(graph, _mapping(graph, config), within, given, _build)
    raise ImportRefused(
        graph.source,
        f"the model is of class {class_name!r}; Sequential and functional models are supported. The code of another is "
        "never run: write its layers as a functional model's JSON, each called after the attribute that holds it, and give that "
        "with --architecture beside its weights",
    )


def _nested(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor]) -> list[Tensor]:
    """A model inside another: its layers between the others, under its name."""
    within = Within(f"{keras.name}/", f"{keras.spec_name}/", keras.frozen, keras.in_steps)
    return _model(graph, keras.class_name, keras.config, within, inputs)


def _build(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], call: Call, made: Made) -> list[Tensor]:
    return build(graph, keras, inputs, call, made, nested=_nested)
