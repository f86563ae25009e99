"""Where a .keras archive files the objects of a model, and where those that several layers share.

A container's members are called after their classes, with a counter; an object that was filed already is not filed again, but
counted. Source: keras/src/saving/saving_lib.py. Knows configurations; no files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

Raw = Mapping[str, Any]
INSIDE: Final = {
    ("TimeDistributed", "layer"): "layer",
    ("Bidirectional", "layer"): "forward_layer",
    ("Bidirectional", "backward_layer"): "backward_layer",
    ("RNN", "cell"): "cell",
}  # by class and option: the attribute under which an object within is filed


def snake_case(class_name: str) -> str:
    """As keras/src/utils/naming.py does it: LSTM → lstm, SimpleRNN → simple_rnn, LeakyReLU → leaky_re_lu."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def numbered(names: Sequence[str]) -> list[str]:
    """Keras's way with equal names in one container: gru_cell, gru_cell_1, …"""
    return [name if (before := list(names[:place]).count(name)) == 0 else f"{name}_{before}" for place, name in enumerate(names)]


def shared(layers: Mapping[str, Raw], filed: Collection[str]) -> dict[str, str]:
    """Of each object that the archive does not hold, as it is shared: the place of the layer that holds it.

    `layers`: the model's, by place. `filed`: the places that hold arrays.
    """
    objects = [one for place, raw in layers.items() for one in _objects(raw, place)]
    holders = {_identity(raw): (place, raw) for place, raw in reversed(objects) if place in filed}
    return {
        place: holders[_identity(raw)][0]
        for place, raw in objects
        if place not in filed and _identity(raw) in holders and _is_shared(raw, holders[_identity(raw)][1])
    }


def _objects(raw: Raw, place: str) -> Iterator[tuple[str, Raw]]:
    """The layer and everything in it, in the order in which Keras meets them."""
    yield place, raw
    config = raw.get("config")
    if not isinstance(config, Mapping):
        return
    for (class_name, option), attribute in INSIDE.items():
        inner = config.get(option)
        if raw.get("class_name") == class_name and isinstance(inner, Mapping):
            yield from _objects(inner, f"{place}/{attribute}")
    cells = config.get("cells")
    if raw.get("class_name") == "StackedRNNCells" and isinstance(cells, list) and all(isinstance(one, Mapping) for one in cells):
        for part, cell in zip(numbered([snake_case(str(one.get("class_name"))) for one in cells]), cells, strict=True):
            yield from _objects(cell, f"{place}/cells/{part}")


def _identity(raw: Raw) -> tuple[str, str]:
    """Only the later ones of an object carry its id, so that its class and its name have to tell."""
    config = raw.get("config")
    return str(raw.get("class_name")), str(config.get("name") if isinstance(config, Mapping) else None)


def _is_shared(raw: Raw, holder: Raw) -> bool:
    """What to_json writes has no ids at all; then both must be configured alike."""
    return "shared_object_id" in raw or raw.get("config") == holder.get("config")
