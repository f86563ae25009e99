"""One look at a server's series, and how those grew from one look to the next. Knows no series by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import isinf
from typing import NamedTuple, Protocol

Labels = tuple[tuple[str, str], ...]  # by name, in order


class Sample(Protocol):
    """As the Prometheus client has it, from a registry and from a page alike."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def value(self) -> float: ...


class Family(Protocol):
    @property
    def samples(self) -> Iterable[Sample]: ...


class Look(NamedTuple):
    """seconds: when it was, on one clock for all looks. readiness: whether requests are taken, in a sentence.

    series: by the name of the sample and its labels.
    """

    seconds: float
    readiness: str
    series: Mapping[str, Mapping[Labels, float]]

    @classmethod
    def at(cls, families: Iterable[Family], seconds: float, readiness: str = "") -> Look:
        series: dict[str, dict[Labels, float]] = defaultdict(dict)
        for family in families:
            for sample in family.samples:
                series[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        return cls(seconds, readiness, series)


class Growth:
    """What there is at a look, and what has come since an earlier one."""

    def __init__(self, before: Look, after: Look) -> None:
        self.seconds = after.seconds - before.seconds
        self._before = before.series
        self._after = after.series

    def now(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """What a series says at the later look, by the values of these labels."""
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for labels, value in self._after.get(name, {}).items():
            sums[_values(dict(labels), by)] += value
        return dict(sums)

    def value(self, name: str) -> float | None:
        """The same over all its labels; None where the server does not show it."""
        return self.now(name).get(())

    def grown(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """How much a counter grew, by the values of these labels.

        One that fell has begun anew, because its version was loaded again or its server started again: all of it is new.
        """
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        earlier = self._before.get(name, {})
        for labels, value in self._after.get(name, {}).items():
            was = earlier.get(labels, 0.0)
            sums[_values(dict(labels), by)] += value - was if value >= was else value
        return dict(sums)

    def rate(self, amount: float) -> float:
        """Per second, of what came between the looks."""
        return amount / self.seconds if self.seconds > 0 else 0.0

    def per_second(self, name: str) -> float:
        return self.rates(name).get((), 0.0)

    def rates(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """Per second."""
        return {key: self.rate(amount) for key, amount in self.grown(name, *by).items()}

    def means(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """Of what came into a histogram, where anything did."""
        counts, sums = self.grown(f"{name}_count", *by), self.grown(f"{name}_sum", *by)
        return {key: sums[key] / count for key, count in counts.items() if count}

    def quantiles(self, name: str, q: float, *by: str) -> dict[tuple[str, ...], float]:
        """Of what came into a histogram, where anything did."""
        buckets: dict[tuple[str, ...], dict[float, float]] = defaultdict(dict)
        for (*key, end), count in self.grown(f"{name}_bucket", *by, "le").items():
            buckets[tuple(key)][float(end)] = count
        found = {key: quantile(q, ends) for key, ends in buckets.items()}
        return {key: value for key, value in found.items() if value is not None}


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """As Prometheus's histogram_quantile estimates it: linear within the bucket that holds it; None where there is nothing.

    buckets: how many lie at or below each upper end, to infinity; in the last one the answer is that bucket's lower end.
    """
    ends = sorted(buckets)
    if not ends or not buckets[ends[-1]]:
        return None
    rank = q * buckets[ends[-1]]
    lower, below = 0.0, 0.0
    for upper in ends:
        count = buckets[upper]
        if count >= rank and count > below:
            return lower if isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below)
        lower, below = upper, count
    return lower


def _values(labels: Mapping[str, str], by: Sequence[str]) -> tuple[str, ...]:
    """Empty where a label is not there."""
    return tuple(labels.get(name, "") for name in by)
