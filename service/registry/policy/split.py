"""How an alias is split: which share of its requests each of several versions answers, and which of them answers one request.

Pure. A request is a point in [0, 1): drawn, or made of a key, so that the same key gets the same version while the shares stand.
The newest version has the first part of the line: as its share grows, keys move to it, and none moves away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b

Weights = Mapping[int, float]  # by version; together 1

_ROUNDING = 1e-6
_POINT_BYTES = 8


def parse_share(text: str) -> float:
    """`10%` or `0.1`. Raises ValueError."""
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"{text!r} is no share: write a percentage, as in 10%, or a number up to 1, as in 0.1")
    return share


def checked(weights: Weights) -> dict[int, float]:
    """The same, newest version first. Raises ValueError: not at least two versions with positive shares that make 1."""
    told = split_words(weights) if weights else "nothing"
    if len(weights) < 2:
        raise ValueError(f"{told} is no split: two versions or more are needed")
    if not all(math.isfinite(weight) and 0 < weight < 1 for weight in weights.values()):
        raise ValueError(f"{told} is no split: each share must lie between 0 and 1")
    if abs(sum(weights.values()) - 1) > _ROUNDING:
        raise ValueError(f"{told} is no split: the shares must make 1 together, not {sum(weights.values()):g}")
    return dict(sorted(weights.items(), reverse=True))


def with_share(version: int, share: float, rest: int) -> dict[int, float]:
    """`share` of the requests for `version`, the rest for `rest`. Raises ValueError."""
    if version == rest:
        raise ValueError(f"version {version} answers all of it already")
    return checked({version: share, rest: 1 - share})


def meaning_of(alias: str, versions: Mapping[str, int], splits: Mapping[str, Weights]) -> Weights:
    """Version → its share of the requests to an alias; empty: there is none. versions: of one that is split, its main one."""
    return splits.get(alias) or ({versions[alias]: 1.0} if alias in versions else {})


def main_version(weights: Weights) -> int:
    """The one with the largest share, of equal ones the oldest: what the alias means where it can mean one only."""
    return min(weights, key=lambda version: (-weights[version], version))


def point_of(key: str) -> float:
    """Where a key lies in [0, 1): evenly spread, and the same in every server."""
    return int.from_bytes(blake2b(key.encode(), digest_size=_POINT_BYTES).digest()) / (1 << 8 * _POINT_BYTES)


def pick(weights: Weights, point: float) -> int:
    """The version that answers the request at this point of [0, 1)."""
    versions = sorted(weights, reverse=True)
    end = 0.0
    for version in versions:
        end += weights[version]
        if point < end:
            return version
    return versions[-1]


def split_words(weights: Weights) -> str:
    """ "10% to 4, 90% to 3"."""
    return ", ".join(f"{100 * weight:g}% to {version}" for version, weight in weights.items())
