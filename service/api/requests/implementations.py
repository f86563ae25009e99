"""Which implementation a request may force. Knows the labels that a version offers, not what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cellserve.service.errors import UnknownImplementation, UnsupportedImplementation

AUTO: Final = "auto"


def choose(asked: str, offered: Mapping[str, str | None], field: str) -> str | None:
    """The label asked for, or None for the server's own choice ("" or "auto").

    offered: every label of this server -> None, or why this model cannot run under it.
    Raises UnknownImplementation, UnsupportedImplementation.
    """
    if asked in ("", AUTO):
        return None
    if asked not in offered:
        known = ", ".join((AUTO, *offered))
        raise UnknownImplementation(f"there is no implementation {asked[:32]!r}; this server has {known}", field=field)
    obstacle = offered[asked]
    if obstacle is not None:
        able = ", ".join((AUTO, *(label for label, why in offered.items() if why is None)))
        raise UnsupportedImplementation(
            f"this model cannot run under implementation {asked!r}: {obstacle}; it runs under {able}", field=field
        )
    return asked
