"""Which versions make room for one more, within a budget of memory, and what to say where that is not enough. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from cellserve.service.engine.facts import VersionKey

DEFAULT_SHARE: Final = 0.8  # of the memory that there is; the rest is for live sequences, requests and libraries
_MOST_TOLD: Final = 5
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


class Held(NamedTuple):
    """A version in memory, or on its way there. used_seconds: when it was used last. stays: why it must; empty: it may go."""

    key: VersionKey
    bytes: int
    used_seconds: float
    stays: str = ""


def default_budget(limit_bytes: int | None) -> int:
    """limit_bytes: what there is for this process; None: nobody tells, so there is no budget, which is 0."""
    return 0 if limit_bytes is None else int(DEFAULT_SHARE * limit_bytes)


def who_goes(budget_bytes: int, needed_bytes: int, held: Collection[Held]) -> list[VersionKey] | None:
    """The longest unused first, and no more than must; None: it would not be enough, so nobody goes."""
    free = budget_bytes - sum(one.bytes for one in held)
    going = []
    for one in sorted((one for one in held if not one.stays and one.bytes), key=lambda one: (one.used_seconds, one.key)):
        if free >= needed_bytes:
            break
        going.append(one.key)
        free += one.bytes
    return going if free >= needed_bytes else None


def refusal_words(key: VersionKey, budget_bytes: int, needed_bytes: int, held: Collection[Held]) -> str:
    """Why there is no room for it, for whoever runs the server."""
    needs = f"it needs {size_words(needed_bytes)} of memory, and --memory-bytes is {size_words(budget_bytes)}"
    if needed_bytes > budget_bytes:
        return f"{needs}; give more, or publish a smaller version"
    largest = sorted(held, key=lambda one: (-one.bytes, one.key))
    told = [f"{one.key} {size_words(one.bytes)}{f' ({one.stays})' if one.stays else ''}" for one in largest[:_MOST_TOLD]]
    if len(largest) > _MOST_TOLD:
        told.append(f"{len(largest) - _MOST_TOLD} more {size_words(sum(one.bytes for one in largest[_MOST_TOLD:]))}")
    in_use = f"of which {size_words(sum(one.bytes for one in held))} are in use: {', '.join(told)}"
    return f"{needs}, {in_use}; give more, or take an alias, a pin or live sequences off a version that may go"


def size_words(in_bytes: int) -> str:
    """ "1.5 GiB"."""
    size, unit = next(((size, unit) for size, unit in _SIZES if in_bytes >= size), (1, "bytes"))
    return f"{in_bytes} bytes" if size == 1 else f"{in_bytes / size:.1f} {unit}"
