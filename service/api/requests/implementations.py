"""Which implementation a request forces, by label or by precision. Knows the labels that a version offers, not what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from cellserve.models.implementations import BFLOAT16, FLOAT32, IMPLEMENTATIONS, IN_BFLOAT16
from cellserve.service.errors import InvalidInput, UnknownImplementation, UnsupportedImplementation

AUTO: Final = "auto"
_PRECISIONS: Final = (FLOAT32, BFLOAT16)


class Offer(Protocol):
    """Of a version. implementations: every label of this server -> None, or why this version cannot run under it."""

    @property
    def implementations(self) -> Mapping[str, str | None]: ...

    @property
    def default_implementation(self) -> str: ...


def choose(asked: str, precision: str, offer: Offer, prefix: str = "") -> str | None:
    """The label that a request gets, or None for the server's own choice.

    asked: a label, or none: "" or "auto". precision: float32, bfloat16, or "" for what the model has. prefix: of both fields.
    Raises InvalidInput: no such precision, or not that of the label; UnknownImplementation, UnsupportedImplementation.
    """
    field = f"{prefix}implementation"
    if precision and precision not in _PRECISIONS:
        raise InvalidInput(
            f"there is no precision {precision[:32]!r}; this server has {' and '.join(_PRECISIONS)}", field=f"{prefix}precision"
        )
    if asked in ("", AUTO):
        if precision == BFLOAT16:
            return _supported(IN_BFLOAT16, offer, f"{prefix}precision")
        default = offer.default_implementation
        if precision == FLOAT32 and default in IMPLEMENTATIONS and IMPLEMENTATIONS[default].precision != FLOAT32:
            return _in_float32(offer)
        return None
    if asked not in offer.implementations:
        known = ", ".join((AUTO, *offer.implementations))
        raise UnknownImplementation(f"there is no implementation {asked[:32]!r}; this server has {known}", field=field)
    own = IMPLEMENTATIONS[asked].precision
    if precision and own != precision:
        raise InvalidInput(
            f"implementation {asked!r} computes in {own}, and the request asks for {precision}; leave one of the two out",
            field=f"{prefix}precision",
        )
    return _supported(asked, offer, field)


def _supported(label: str, offer: Offer, field: str) -> str:
    obstacle = offer.implementations.get(label, "this server does not have it")
    if obstacle is not None:
        able = ", ".join((AUTO, *(label for label, why in offer.implementations.items() if why is None)))
        raise UnsupportedImplementation(
            f"this model cannot run under implementation {label!r}: {obstacle}; it runs under {able}", field=field
        )
    return label


def _in_float32(offer: Offer) -> str | None:
    """Where the model's own is another precision, so that nothing is chosen by traffic: the last listed is mostly the fastest."""
    able = [label for label, why in offer.implementations.items() if why is None and IMPLEMENTATIONS[label].precision == FLOAT32]
    return able[-1] if able else None
