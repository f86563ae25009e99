"""Which objects a Keras model's configuration describes, and which of its descriptions are of one object.

Source: keras/src/saving/serialization_lib.py, and the wrappers' get_config. Knows configurations; no files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Raw = Mapping[str, Any]
Path = tuple[str, ...]
"""The layer's name and the attributes within it that lead to an object: ("rnn", "cell", "cells", "gru_cell_1")."""

Identity = tuple[object, ...]
FUNCTIONAL: Final = ("Functional", "Model")
MODELS: Final = ("Sequential", *FUNCTIONAL)
FORWARD: Final = "forward_layer"
BACKWARD: Final = "backward_layer"
UNTOLD: Final = ("name", "trainable", "batch_input_shape", "build_config", "shared_object_id", "zero_output_for_mask")
"""What may differ between two descriptions of one object: some of it is set after the first one was written."""


@dataclass(frozen=True, slots=True)
class Described:
    """One description of an object, with those of the objects that are its attributes, of its list of cells, and of its layers.

    `copied`: the path of the layer that a Bidirectional made of this description, so that it is of another object than whatever
    else is described alike; empty for all others.
    """

    raw: Raw
    path: Path
    copied: Path = ()
    attributes: list[Described] = field(default_factory=list)
    cells: list[Described] = field(default_factory=list)
    layers: list[Described] = field(default_factory=list)

    @property
    def class_name(self) -> str:
        return str(self.raw.get("class_name"))

    @property
    def name(self) -> str:
        return _name(self.raw)

    @property
    def id(self) -> str | None:
        found = self.raw.get("shared_object_id")
        return None if found is None else str(found)

    def everything(self) -> Iterator[Described]:
        """This and all that is in it."""
        yield self
        for one in (*self.attributes, *self.cells, *self.layers):
            yield from one.everything()

    def agrees(self, other: Described) -> bool:
        """Whether both may be of one object. What to_json writes has no ids at all; then the configurations have to tell."""
        return self.id is not None or _told(self.raw.get("config")) == _told(other.raw.get("config"))


def layers_of(model: Raw) -> list[Raw]:
    """A model's, without the bare operations that Keras 3 writes among them."""
    config = model.get("config")
    raws = config.get("layers") if isinstance(config, Mapping) else config
    layers = [raw for raw in raws if isinstance(raw, Mapping)] if isinstance(raws, list) else []
    return [raw for raw in layers if not str(raw.get("module", "")).startswith("keras.src.ops")]


def layer_name(raw: Raw) -> str:
    return str(raw.get("name") or _name(raw))


def _name(raw: Raw) -> str:
    config = raw.get("config")
    return str(config.get("name") if isinstance(config, Mapping) else None)


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _told(inner) for name, inner in value.items() if name not in UNTOLD}
    return [_told(inner) for inner in value] if isinstance(value, list) else value


def described(raw: Raw, path: Path, *, keeps_original: bool, copied: Path = ()) -> Described:
    """The object and everything in it.

    `keeps_original`: whether a Bidirectional still has the layer that it was made of, beside the copies, as in tf-keras.
    """
    found = Described(raw, path, copied)
    config = raw.get("config")
    if found.class_name in MODELS:
        for inner in layers_of(raw):
            of_its_own = (f"{path[0]}/{layer_name(inner)}",)
            found.layers.append(described(inner, of_its_own, keeps_original=keeps_original))
    if not isinstance(config, Mapping):
        return found
    for attribute, inner, is_copy in _attributes(found, config, keeps_original):
        if isinstance(inner, Mapping):
            there = (*path, attribute)
            found.attributes.append(described(inner, there, keeps_original=keeps_original, copied=there if is_copy else copied))
    cells = config.get("cells")
    if found.class_name == "StackedRNNCells" and isinstance(cells, list) and all(isinstance(one, Mapping) for one in cells):
        names = numbered([snake_case(str(one.get("class_name"))) for one in cells])
        for name, cell in zip(names, cells, strict=True):
            found.cells.append(described(cell, (*path, "cells", name), keeps_original=keeps_original, copied=copied))
    return found


def _attributes(around: Described, config: Raw, keeps_original: bool) -> Iterator[tuple[str, Any, bool]]:
    """Attribute, its description, and whether it is a copy of what that describes."""
    match around.class_name:
        case "TimeDistributed":
            yield "layer", config.get("layer"), False
        case "RNN":
            yield "cell", config.get("cell"), False
        case "Bidirectional":
            inner, backward = config.get("layer"), config.get(BACKWARD)
            if keeps_original:
                yield "layer", inner, False
            yield FORWARD, inner, True
            yield BACKWARD, backward or inner, not backward or (not keeps_original and _turned(inner, backward))


def describes_original(raw: Raw) -> bool:
    """Whether this is a Bidirectional of tf-keras, which describes the layer that it was made of, not the copy that it runs."""
    config = raw.get("config")
    if raw.get("class_name") != "Bidirectional" or not isinstance(config, Mapping):
        return False
    inner = config.get("layer")
    return not config.get(BACKWARD) or not isinstance(inner, Mapping) or not _name(inner).startswith("forward_")


def _turned(forward: Any, backward: Any) -> bool:
    """Whether the backward layer is one that Keras 3 made of the forward one, which it describes like one that was given."""
    if not isinstance(forward, Mapping) or not isinstance(backward, Mapping):
        return False
    name = _name(forward)
    return name.startswith("forward_") and _name(backward) == "backward_" + name.removeprefix("forward_")


class Identities:
    """Which descriptions may be of one object: those with one id, else those of one class and one name.

    An object's first description may lack the id that the later ones carry. Where the original is kept, a description with an id
    is of that, and not of a copy. tf-keras describes the `backward_layer` that was given to a Bidirectional under the name that
    it had before, and without an id.
    """

    def __init__(self, everything: Iterable[Described], *, keeps_original: bool) -> None:
        self._keeps_original = keeps_original
        self._ids: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._names: dict[str, set[str]] = defaultdict(set)
        for one in everything:
            self._names[one.class_name].add(one.name)
            if one.id is not None:
                self._ids[one.class_name, one.name].add(one.id)

    def of(self, one: Described) -> Identity:
        if one.id is not None and not (one.copied and self._keeps_original):
            return ("id", one.id)
        named = (one.class_name, self._renamed(one))
        if one.copied:
            return (*one.copied, *named)
        ids = self._ids.get(named, set())
        return ("id", *ids) if len(ids) == 1 else named

    def _renamed(self, one: Described) -> str:
        if one.path[-1] != BACKWARD or one.copied:
            return one.name
        later = re.compile(f"(?:backward_)+{re.escape(one.name)}")
        return max((name for name in self._names[one.class_name] if later.fullmatch(name)), key=len, default=one.name)


def snake_case(class_name: str) -> str:
    """As keras/src/utils/naming.py does it: LSTM → lstm, SimpleRNN → simple_rnn, LeakyReLU → leaky_re_lu."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def numbered(names: Sequence[str]) -> list[str]:
    """Keras's way with equal names in one container: gru_cell, gru_cell_1, …"""
    return [name if (before := list(names[:place]).count(name)) == 0 else f"{name}_{before}" for place, name in enumerate(names)]
