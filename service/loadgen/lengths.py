"""How long the sequences of a load test are: distributions that draw numbers of time steps. Pure, but for a recording.

fixed:N                     always N
uniform:MIN:MAX             every length equally often
lognormal:MEDIAN:MIN:MAX    many short, few long; one draw in a hundred passes MAX and is cut there
trace:FILE                  as often as a recording has them: a CSV with a column `steps`
mix                         what a shared service meets: 80 % lognormal:40:4:200, 15 % uniform:200:800, 5 % uniform:800:2000
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cellserve.service.loadgen import recorded

_ONE_IN_A_HUNDRED = 2.326  # standard deviations above the median


class Lengths(Protocol):
    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """[count] numbers of time steps, each at least 1."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Also a fixed length, where both ends are one."""

    shortest: int
    longest: int

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        return rng.integers(self.shortest, self.longest, size=count, endpoint=True)


@dataclass(frozen=True, slots=True)
class Lognormal:
    median: int
    shortest: int
    longest: int

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        sigma = math.log(self.longest / self.median) / _ONE_IN_A_HUNDRED
        drawn = rng.lognormal(math.log(self.median), sigma, size=count)
        return np.clip(np.rint(drawn), self.shortest, self.longest).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Each draw comes from one of the parts, chosen by its share."""

    parts: tuple[tuple[float, Lengths], ...]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        shares = [share for share, _ in self.parts]
        drawn = np.stack([lengths.draw(rng, count) for _, lengths in self.parts])
        chosen = rng.choice(len(self.parts), size=count, p=shares)
        picked: NDArray[np.int64] = drawn[chosen, np.arange(count)]
        return picked


@dataclass(frozen=True, slots=True)
class Empirical:
    """steps: of each recorded request, [N]."""

    steps: NDArray[np.int64]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        return rng.choice(self.steps, size=count)


def parse(text: str) -> Lengths:
    """Raises ValueError: another form than those above, or numbers out of order."""
    kind, *numbers = text.split(":")
    if kind == "trace":
        return Empirical(recorded.read(Path(text.removeprefix("trace:")), times=False).steps)
    try:
        values = [int(number) for number in numbers]
    except ValueError:
        raise ValueError(_sentence(text)) from None
    match kind, values:
        case "mix", []:
            return Mixture(((0.80, Lognormal(40, 4, 200)), (0.15, Uniform(200, 800)), (0.05, Uniform(800, 2000))))
        case "fixed", [steps] if steps >= 1:
            return Uniform(steps, steps)
        case "uniform", [shortest, longest] if 1 <= shortest <= longest:
            return Uniform(shortest, longest)
        case "lognormal", [median, shortest, longest] if 1 <= shortest <= median < longest:
            return Lognormal(median, shortest, longest)
    raise ValueError(_sentence(text))


def _sentence(text: str) -> str:
    return (
        f"{text!r} is no distribution of lengths; fixed:N, uniform:MIN:MAX, lognormal:MEDIAN:MIN:MAX, "
        "trace:FILE or mix was expected"
    )
