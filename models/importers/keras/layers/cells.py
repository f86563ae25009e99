"""The parts of Keras's recurrent layers that keep arrays of their own, and where each part's arrays are.

RNN(cells) is as many parts as it has cells, stacks inside stacks too; Bidirectional has one or more for each direction. Knows no
arithmetic and no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cellserve.models.importers.keras.files.names import Fork, Sibling
from cellserve.models.importers.keras.files.tied import numbered, snake_case
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Place
from cellserve.models.importers.keras.layers.records import CELLS, CUDNN

STACK: Final = "StackedRNNCells"


@dataclass(frozen=True, slots=True)
class Cell:
    """`keras`: the layer that the cell alone would be."""

    keras: KerasLayer
    place: Place


def direction_places(keras: KerasLayer, forward: KerasLayer, backward: KerasLayer) -> tuple[Place, Place]:
    """Of a Bidirectional layer's two; the second one's offset is not known yet."""
    name = str(forward.config.get("name"))
    own = backward.config.get("name") if keras.config.get("backward_layer") else name
    siblings = (Sibling(_prefixed("forward_", name)), Sibling(_prefixed("backward_", str(own))))
    there, back = (
        Place(keras.name, (part,), (Fork(siblings, chosen),), frozen=direction.frozen)
        for chosen, (part, direction) in enumerate((("forward_layer", forward), ("backward_layer", backward)))
    )
    return there, back


def cells(graph: Graph, keras: KerasLayer, place: Place) -> list[Cell]:
    """From the lowest up: those of RNN, or the layer itself, which is at `place`. Raises ImportRefused: a cell not known here."""
    part = (*place.part, "cell")
    whole = replace(place, frozen=place.frozen or keras.frozen)
    if keras.class_name != "RNN":
        return [Cell(keras, whole if keras.class_name in CUDNN else replace(whole, part=part))]
    cell = keras.config.get("cell")
    found = [cell] if isinstance(cell, Mapping) else list(cell or [])
    if len(found) == 1 and found[0].get("class_name") == STACK:
        found, cell = list(found[0]["config"]["cells"]), found
    if isinstance(cell, Mapping):
        return [_cell(graph, keras, cell, replace(whole, part=part))]
    return list(_stacked(graph, keras, found, replace(whole, part=(*part, "cells"))))


def _stacked(graph: Graph, keras: KerasLayer, found: Sequence[Mapping[str, Any]], place: Place) -> Iterator[Cell]:
    siblings = tuple(_sibling(one) for one in found)
    parts = numbered([snake_case(str(one.get("class_name"))) for one in found])
    for chosen, (one, part) in enumerate(zip(found, parts, strict=True)):
        forks = (*place.forks, Fork(siblings, chosen)) if len(found) > 1 else place.forks
        there = replace(place, part=(*place.part, part), forks=forks)
        if one.get("class_name") == STACK:
            inside = replace(there, part=(*there.part, "cells"), frozen=there.frozen or siblings[chosen].frozen)
            yield from _stacked(graph, keras, one["config"]["cells"], inside)
        else:
            yield _cell(graph, keras, one, there)


def _cell(graph: Graph, keras: KerasLayer, raw: Mapping[str, Any], place: Place) -> Cell:
    class_name = str(raw.get("class_name"))
    if class_name not in CELLS:
        graph.refuse(keras, f"the cell {class_name!r} is not supported; the known ones are {', '.join(CELLS)}", "cell")
    alone = replace(keras, class_name=CELLS[class_name], config=raw.get("config") or {}, around_frozen=place.frozen)
    return Cell(alone, replace(place, frozen=alone.frozen))


def _sibling(raw: Mapping[str, Any]) -> Sibling:
    config = raw.get("config") or {}
    name = config.get("name")
    return Sibling(
        names=() if name is None else (str(name),),
        roles=tuple(_roles(raw)),
        kind=snake_case(str(raw.get("class_name"))),
        frozen=not config.get("trainable", True),
    )


def _roles(raw: Mapping[str, Any]) -> Iterator[str]:
    config = raw.get("config") or {}
    if raw.get("class_name") == STACK:
        for one in config["cells"]:
            yield from _roles(one)
        return
    yield from ("kernel", "recurrent_kernel")
    if config.get("use_bias", True):
        yield "bias"


def _prefixed(prefix: str, name: str) -> tuple[str, ...]:
    """Keras 3 puts the prefix before a name that lacks it, and none before a backward layer of its own; others always."""
    return (name, prefix + name, prefix + name.removeprefix(prefix))
