"""How far answers in another precision lie from those in float32, in which everything is served: the size, for a note.

The oracle runs in the other precision, rounding wherever it computes, on the network's golden input. Frameworks round in other
places, so the size is about right and no more. Knows no framework and no files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models import reference
from cellserve.models.measuring.golden_pair import golden_inputs
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights

SERVED: Final = "float32"
NARROWEST_FIRST: Final = ("bfloat16", "float16", "float64")
COMPUTED: Final[Mapping[str, tuple[npt.DTypeLike, float]]] = {  # in what, and by how much coarser the precision is than that
    "bfloat16": (np.float16, 8.0),  # three bits fewer, which NumPy has no type for
    "float16": (np.float16, 1.0),
    "float64": (np.float32, 1.0),
}


def foreign(precisions: Collection[str]) -> str | None:
    """The narrowest of these, as "float16" or Keras's "mixed_float16", that is not what is served; None if there is none."""
    plain = {one.removeprefix("mixed_") for one in precisions}
    return next((one for one in NARROWEST_FIRST if one in plain), None)


def declared(model: object) -> set[str]:
    """The precisions that a Keras configuration names, at any depth: a layer's dtype is a name or, newer, a policy around one."""
    found: set[str] = set()
    if isinstance(model, Mapping):
        policy = model.get("dtype")
        inner = policy.get("config") if isinstance(policy, Mapping) else None
        name = inner.get("name") if isinstance(inner, Mapping) else policy
        found = {name} if isinstance(name, str) else set()
    below = model.values() if isinstance(model, Mapping) else model if isinstance(model, list) else ()
    return found.union(*map(declared, below))


def deviation_note(spec: ModelSpec, weights: Weights, precision: str) -> str:
    """`precision`: as `foreign` gave it."""
    dtype, coarser = COMPUTED[precision]
    inputs, lengths = golden_inputs(spec)
    exact, _ = reference.run(spec, weights.arrays, inputs, lengths)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rounded, _ = reference.run(spec, weights.arrays, inputs, lengths, dtype=dtype)
    largest = max(largest_difference(one, other) for one, other in zip(rounded, exact)) * coarser
    return sentence(precision, "about", largest)


def sentence(precision: str, nearly: str, largest: float) -> str:
    """`largest`: as `largest_difference` gives it."""
    if np.isinf(largest):
        return (
            f"What is computed in {precision} leaves its range on a small random input; it is served in {SERVED}, which does not."
        )
    apart = f"{nearly} {largest:.0e}"
    return f"It is served in {SERVED}: what is computed in {precision} lies {apart} from that, on a small random input."


def largest_difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Where `other` holds numbers; infinite where `one` does not."""
    apart = np.abs(one.astype(np.float64) - other)[np.isfinite(other)]
    return float(np.where(np.isfinite(apart), apart, np.inf).max(initial=0.0))
