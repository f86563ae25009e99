"""Loops that pass over steps: what a step does that does not count, and where its layer's mask comes from. Knows no graphs.

One step is computed with on paper twice, as one that counts and as one that does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cellserve.models.importers.onnx.draft import Draft
from cellserve.models.importers.onnx.loops.expressions import Affine, atoms_of
from cellserve.models.importers.onnx.loops.masks import begun, unturned
from cellserve.models.importers.onnx.values import Flow, NotTranslated


@dataclass(frozen=True, slots=True)
class Masks:
    """`mask`: what tells which steps count; `rule`: what becomes of the others, as layers call it."""

    mask: Flow
    rule: str

    def met(self, draft: Draft, read: str, wanted: str) -> tuple[str, bool]:
        """(what the layer reads so that it meets the mask, whether backwards). Raises NotTranslated: it is another's mask."""
        source, backwards = unturned(draft, read)
        if backwards != unturned(draft, self.mask.parts[0].reference)[1]:
            raise NotTranslated("it goes through a sequence one way, and through which of its steps count the other")
        return begun(draft, self.mask, source, wanted), backwards


def repeating(states: Mapping[str, Affine], new: Mapping[str, Affine]) -> frozenset[str]:
    """Those that only remember what was shown last: nothing reads them, and they become what another state does."""
    read = atoms_of(new.values())
    unread = [name for name, value in states.items() if not atoms_of([value]) & read]
    return frozenset(name for name in unread if any(other not in unread and new[name].same_as(new[other]) for other in states))


def mask_rule(states: Mapping[str, Affine], repeats: frozenset[str], new: Mapping[str, Any], shown: Sequence[Any]) -> str:
    """`new`, `shown`: after a step that does not count. Raises NotTranslated: a state does not stay as it is."""
    kept = {name: isinstance(new[name], Affine) and new[name].same_as(value) for name, value in states.items()}
    if not all(kept[name] or (name in repeats and _nothing(new[name])) for name in states):
        raise NotTranslated("a step that does not count changes its state")
    if all(kept.values()) and all(_is_one_of(one, states, repeats) for one in shown):
        return "repeat"
    if all(_nothing(one) for one in shown) and not any(kept[name] for name in repeats):
        return "zero"
    raise NotTranslated("what it shows of a step that does not count is neither what it showed last nor zeros")


def _nothing(value: Any) -> bool:
    """Zeros, whatever is fed."""
    return isinstance(value, Affine) and not any(matrix.any() for matrix in value.parts.values()) and not value.bias.any()


def _is_one_of(value: Any, states: Mapping[str, Affine], repeats: frozenset[str]) -> bool:
    """Of those that repeat what was shown, or, without any, of the states."""
    return isinstance(value, Affine) and any(value.same_as(states[name]) for name in (repeats or states))
