"""Arrays of a file that an import has no use for: always told, and refused where they look like a part that a model cannot miss.

A recurrent array or the table of an embedding that no layer takes means that the network was understood wrongly, more often than
that it is superfluous; whoever knows better says so with `ignore`. Knows no file formats.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.names import listed

Shape = tuple[int, ...]
SHOWN: Final = 6
TRAINING: Final = "optim"  # what an optimizer keeps, as training scripts file it
RECURRENT: Final = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(_l\d+)?(_reverse)?(_[a-z]+)?|recurrent_kernel\w*")
RECURRENT_SCOPE: Final = re.compile(r"(lstm|gru|(simple_)?rnn|\w*cell)(_?\d+)?", re.IGNORECASE)


def tell_unused(
    left: Mapping[str, Shape], source: str, why: str, *, read_widths: Collection[int] = (), cells: Collection[str] = ()
) -> list[str]:
    """A note, if anything is left. `why`: "as `order` does not name them"; `read_widths`: of what the first layers read.

    `cells`: arrays that are known to be recurrent; others are told by their names.

    Raises ImportRefused naming what is recurrent or embedding-like.
    """
    for what, names in (("recurrent", _recurrent(left, cells)), ("like the table of an embedding", _tables(left, read_widths))):
        told = listed([f"{name} {list(left[name])}" for name in names], SHOWN)
        if names:
            raise ImportRefused(
                source,
                f"the import would use no {told}, which {'looks' if len(names) == 1 else 'look'} {what}: {why}. If the model "
                "does without, say so with `ignore: [names]` in a --description (* stands for anything)",
            )
    return [f"Ignored, {why}: {listed(left, SHOWN)}."] if left else []


def _recurrent(left: Mapping[str, Shape], cells: Collection[str]) -> list[str]:
    return [name for name in left if name in cells or _is_recurrent(re.split(r"[./]", name))]


def _is_recurrent(parts: list[str]) -> bool:
    if parts[0].lower().startswith(TRAINING):
        return False
    if parts[-1].startswith("original"):  # of a parametrization, under the array's own name
        return any(RECURRENT.fullmatch(part) for part in parts[:-1])
    if parts[-1] in ("kernel", "bias") and len(parts) > 1:
        return RECURRENT_SCOPE.fullmatch(parts[-2]) is not None
    return RECURRENT.fullmatch(parts[-1]) is not None


def _tables(left: Mapping[str, Shape], read_widths: Collection[int]) -> list[str]:
    """Matrices that are called embeddings, or stand alone in their module and are as wide as what a first layer reads."""
    found = []
    for name, shape in left.items():
        owner, _, own = name.rpartition(".")
        alone = own == "weight" and f"{owner}.bias" not in left and shape[1:] and shape[1] in read_widths
        if len(shape) == 2 and not name.lower().startswith(TRAINING) and (alone or "emb" in name.lower()):
            found.append(name)
    return found
