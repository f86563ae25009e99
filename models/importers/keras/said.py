"""What a person says of layers whose code is never read: Lambda layers by name, those of classes of the program's own by class.

Knows neither what the words do nor which classes Keras has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Config = Mapping[str, Any]
Meaning = str | Sequence[str] | Mapping[str, Any]
"""A word or a class of Keras, that and words after it, or {"class_name": …, options …}."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The layer that one is taken for, and the words that are done to its output after it. `said`: for the note."""

    class_name: str
    config: Config
    after: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Said:
    """`lambdas`: by layer. `classes`: by class, with what it was registered under before a ">" or without."""

    lambdas: Mapping[str, Meaning] = field(default_factory=dict)
    classes: Mapping[str, Meaning] = field(default_factory=dict)
    _met: set[tuple[str, str]] = field(default_factory=set)

    def taken_for(self, class_name: str, name: str, config: Config) -> Taken | None:
        """None: nobody says anything of it. A layer keeps the options that its file has, but for those that are said anew.

        Raises KeyError: a mapping without a class_name.
        """
        if class_name == "Lambda":
            return self._taken("lambdas", name, self.lambdas, {})
        for known in (class_name, class_name.rpartition(">")[2]):
            if (found := self._taken("custom_layers", known, self.classes, config)) is not None:
                return found
        return None

    def unmet(self) -> Iterator[tuple[str, str]]:
        """The key of the description, and a name under it that no layer has."""
        asked = [("lambdas", name) for name in self.lambdas] + [("custom_layers", name) for name in self.classes]
        return (one for one in sorted(asked) if one not in self._met)

    def _taken(self, key: str, name: str, meanings: Mapping[str, Meaning], config: Config) -> Taken | None:
        if name not in meanings:
            return None
        self._met.add((key, name))
        meaning = meanings[name]
        if isinstance(meaning, Mapping):
            options = {**config, **{option: value for option, value in meaning.items() if option != "class_name"}}
            return Taken(str(meaning["class_name"]), options, (), str(dict(meaning)))
        first, *after = (meaning,) if isinstance(meaning, str) else meaning
        return Taken(first, config, tuple(after), ", then ".join((first, *after)))
