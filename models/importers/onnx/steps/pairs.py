"""Which outputs of a graph are the next values of which of its inputs: told from their names, then from their shapes. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from cellserve.models.importers.onnx.steps.reading import Declared

FILLING: Final = frozenset(
    {"in", "input", "inputs", "out", "output", "outputs", "ret", "return", "returned", "layer", "op", "tf", "init", "initial"}
    | {"new", "next", "prev", "previous", "past", "present", "old", "last", "final", "updated", "cur", "current"}
)
"""Words that say on which side of a call a tensor stands, or nothing."""

STATE_WORDS: Final = frozenset(
    {"state", "states", "h", "c", "hidden", "hiddens", "cell", "cells", "cache", "caches", "memory", "mem", "buffer", "buf"}
    | {"ctx", "context", "lstm", "gru", "rnn", "conv", "tra", "inter", "hx", "cx"}
)
"""Of which one at least stands in the name of a state that is paired by its name with no more than its words in common."""

BEFORE: Final = frozenset({"past", "prev", "previous", "old", "last"})
AFTER: Final = frozenset({"present", "next", "new", "cur", "current", "updated"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def pairs(inputs: Sequence[Declared], outputs: Sequence[Declared], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """By input, the output that it becomes. `shapes`: of outputs, as a call gave them; empty before one was made."""
    if not inputs or not outputs:
        return {}
    found = _by_name(inputs, outputs, shapes)
    if found.get(inputs[0].name) == outputs[0].name and not STATE_WORDS & set(_kept(inputs[0].name)):
        del found[inputs[0].name]  # frames in and frames out
    return found or _by_shape(inputs, outputs, shapes)


def in_order(inputs: Sequence[Declared], outputs: Sequence[Declared]) -> dict[str, str]:
    """Where nothing is called by what it is but the states that go in: those that come back, in their order behind the answer.

    So exporters write a cell whose outputs nobody named. Empty unless there are as many, each of a size that fits.
    """
    given, made = list(inputs[1:]), list(outputs[1:])
    if not given or len(given) != len(made) or not all(STATE_WORDS & set(_kept(entry.name)) for entry in given):
        return {}
    if not all(fits(entry, one, {}) and one.dims is not None for entry, one in zip(given, made)):
        return {}
    return {entry.name: one.name for entry, one in zip(given, made)}


def _by_name(inputs: Sequence[Declared], outputs: Sequence[Declared], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for alike in (_same, _marked, _same_words):
        left = [one for one in outputs if one.name not in found.values()]
        wanted: dict[str, list[str]] = {}
        for entry in (one for one in inputs if one.name not in found):
            fitting = [one.name for one in left if alike(entry.name, one.name) and fits(entry, one, shapes)]
            if len(fitting) == 1:
                wanted[entry.name] = fitting
        counts = Counter(names[0] for names in wanted.values())
        found |= {name: names[0] for name, names in wanted.items() if counts[names[0]] == 1}
    return found


def _same(given: str, made: str) -> bool:
    """Up to the words that say the side: state and state_out, past_0 and present_0, new_cache_0."""
    words = _kept(given)
    if not words or words != _kept(made):
        return False
    numbered = all(word.isdigit() for word in words)
    return not numbered or bool(BEFORE & set(_words(given)) and AFTER & set(_words(made)))


def _marked(given: str, made: str) -> bool:
    """h and hn, h0 and hn, state and stateN, c_0 and c_n."""
    return _root(given, "0") != "" and _root(given, "0") == _root(made, "n") and _root(made, "n") != made.lower()


def _same_words(given: str, made: str) -> bool:
    """states and output_states.1: the same words, of which one means a state, whatever numbers stand there."""
    words = [word for word in _kept(given) if not word.isdigit()]
    return bool(words) and words == [word for word in _kept(made) if not word.isdigit()] and bool(STATE_WORDS & set(words))


def _root(name: str, mark: str) -> str:
    """Without a mark at its end: of the start ("0") or of the end of the steps ("n")."""
    plain = "".join(_words(name))
    return plain.removesuffix(mark) if len(plain) > 1 else plain


def _kept(name: str) -> list[str]:
    return [word for word in _words(name) if word not in FILLING]


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _by_shape(inputs: Sequence[Declared], outputs: Sequence[Declared], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """The first input is fed and the first output answered; of the others, those whose shape no third one has."""
    given, made = list(inputs[1:]), list(outputs[1:])
    found: dict[str, str] = {}
    for entry in given:
        if not entry.dims or any(not isinstance(dim, int) for dim in entry.dims):
            continue
        rivals = [one for one in given if one.dims == entry.dims and one.dtype == entry.dtype]
        fitting = [one.name for one in made if one.dtype == entry.dtype and shapes.get(one.name, one.dims) == entry.dims]
        if len(rivals) == len(fitting) == 1:
            found[entry.name] = fitting[0]
    return found


def fits(given: Declared, made: Declared, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the output could be fed again as the input, by what is declared and what a call gave."""
    if given.dtype != made.dtype or given.dims == ():
        return False
    dims = shapes.get(made.name, made.dims)
    if given.dims is None or dims is None:
        return True
    if len(given.dims) != len(dims):
        return False
    return all(one == other for one, other in zip(given.dims, dims) if isinstance(one, int) and isinstance(other, int))
