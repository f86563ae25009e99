"""Where a .keras archive files the objects of a model, and where those that several layers share.

An object is filed once, where Keras meets it first, under the attributes that lead there. Members of a list are called after
their classes, with a counter. Keras 3 counts a member that was filed elsewhere before; tf.keras from 2.14 on does not; 2.12 and
2.13 count every layer with weights twice. The order is the same in all of them, so that members are told apart by it where no
names are written. Source: keras/src/saving/saving_lib.py. Knows configurations and names of groups; no arrays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from cellserve.models.importers.keras.files.tied import (
    Described,
    Identities,
    Identity,
    Path,
    Raw,
    described,
    describes_original,
    numbered,
    snake_case,
)

ORIGINAL: Final = re.compile(r"bidirectional(_\d+)?/layer")  # the layer that was given to a Bidirectional: tf-keras keeps it
OLD_ROOT: Final = "_layer_checkpoint_dependencies"  # in tf.keras up to 2.14
ROOTS: Final = ("layers", OLD_ROOT)  # of a model's layers
MEMBER: Final = re.compile(r"(?:(.*)/)?([^/]+?)(?:_(\d+))?")


class Filing:
    """Which group holds which object."""

    def __init__(
        self, layers: Mapping[str, Raw], groups: Collection[str], written: Mapping[str, str], *, attributes_rise: bool
    ) -> None:
        """`layers`: the model's, by name, in its order. `groups`: the archive's ("lstm/cell"). `written`: those of the layers
        whose names stand beside their arrays, by name, as Keras 3.6 and later write them. `attributes_rise`: whether Keras came
        to an object's attributes in alphabetical order, as up to 2.14, instead of backwards.
        """
        self._groups = frozenset(groups)
        self._lists = _lists(groups)
        self._written = written
        self._attributes_rise = attributes_rise
        keeps_original = any(map(ORIGINAL.fullmatch, groups)) or any(map(describes_original, layers.values()))
        objects = [described(raw, (name,), keeps_original=keeps_original) for name, raw in layers.items()]
        everything = [one for layer in objects for one in layer.everything()]
        self._identities = Identities(everything, keeps_original=keeps_original)
        self._new = {one.path for one in self._as_met(objects, set())}
        self._filed: dict[Path, str] = {}
        self._holders: dict[Identity, list[Described]] = defaultdict(list)
        self._file_list("", objects)
        self._shared = {one.path: holder for one in everything if (holder := self._holder(one)) is not None}

    def group(self, path: Path) -> str:
        """Where the arrays of the object at this path, or of a part of one, lie if the archive has them."""
        for length in range(len(path), 0, -1):
            known, rest = path[:length], path[length:]
            if known in self._shared:
                return self.group((*self._shared[known], *rest))
            if known in self._filed:
                return "/".join((self._filed[known], *rest))
        return "/".join(path)

    def _as_met(self, objects: Sequence[Described], met: set[Identity]) -> Iterator[Described]:
        """Those that Keras comes to for the first time, and what is in them."""
        for one in objects:
            identity = self._identities.of(one)
            if identity not in met:
                met.add(identity)
                yield one
                attributes = sorted(one.attributes, key=lambda inner: inner.path[-1], reverse=not self._attributes_rise)
                yield from self._as_met([*attributes, *one.cells, *one.layers], met)

    def _file(self, one: Described, group: str) -> None:
        self._filed[one.path] = group
        self._holders[self._identities.of(one)].append(one)
        for inner in one.attributes:
            if (there := f"{group}/{inner.path[-1]}") in self._groups:
                self._file(inner, there)
        self._file_list(f"{group}/cells", one.cells)
        if one.layers:
            self._file_list(next((f"{group}/{root}" for root in ROOTS if f"{group}/{root}" in self._groups), group), one.layers)

    def _file_list(self, around: str, objects: Sequence[Described]) -> None:
        stems = [snake_case(one.class_name) for one in objects]
        if self._written:
            for one, name in zip(objects, numbered(stems), strict=True):
                group = self._written.get(one.name) if not around else None
                if (there := group or f"{around}/{name}".lstrip("/")) in self._groups:
                    self._file(one, there)
            return
        for stem in dict.fromkeys(stems):
            own = [one for one, its in zip(objects, stems, strict=True) if its == stem]
            groups = self._lists.get((around, stem), {})
            for one, number in zip(self._filed_among(own, groups, around), sorted(groups), strict=False):
                self._file(one, groups[number])

    def _filed_among(self, objects: Sequence[Described], numbers: Collection[int], around: str) -> Sequence[Described]:
        """Which of a list's members of one class are filed there, if their numbers agree."""
        if len(numbers) == len(objects):
            return objects
        counted = {number: one for number, one in enumerate(objects) if one.path in self._new}
        twice = self._attributes_rise and not around
        agree = len(numbers) == len(counted) if twice else sorted(numbers) in (list(counted), list(range(len(counted))))
        return list(counted.values()) if agree else ()

    def _holder(self, one: Described) -> Path | None:
        """The path under which the object was filed, if it was under another and only one can be meant."""
        if one.path in self._filed:
            return None
        alike = [other for other in self._holders.get(self._identities.of(one), ()) if one.agrees(other)]
        holders = [other for other in alike if other.id is not None and other.id == one.id] or alike
        return holders[0].path if len(holders) == 1 else None


def _lists(groups: Collection[str]) -> dict[tuple[str, str], dict[int, str]]:
    """The groups, by what is around them and the class that they are called after, and by number."""
    found: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for group in groups:
        if (named := MEMBER.fullmatch(group)) is not None:
            around, stem, number = named.groups("")
            found[around, stem][int(number or 0)] = group
    return found
