"""One kind of traffic made ready: its questions, and when each is due, before the first is sent. Pure, but for files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellserve.service.client import InputTensor
from cellserve.service.loadgen import recorded
from cellserve.service.loadgen.inputs import Inputs
from cellserve.service.loadgen.samples import Sample
from cellserve.service.loadgen.scenarios.profile import due_seconds
from cellserve.service.loadgen.scenarios.scenario import Callers, Recorded, Scenario, Traffic

_DIFFERENT_LENGTHS = 128  # of a recording; each request asks with the nearest of them

Question = tuple[Sample, ...]  # one sample of a request; one for each feed of a live sequence


@dataclass(frozen=True, slots=True)
class Stream:
    """Open loop: due_seconds [N] from the start, choices [N] of questions. Closed loop: `callers`, who choose at random."""

    part: Traffic
    questions: tuple[Question, ...]
    due_seconds: NDArray[np.float64]
    choices: NDArray[np.int64]
    callers: int

    def share(self, number: int, processes: int) -> Stream:
        """What process `number` of `processes` sends: all of them together send the whole, each request once."""
        return replace(
            self,
            due_seconds=self.due_seconds[number::processes],
            choices=self.choices[number::processes],
            callers=len(range(number, self.callers, processes)),
        )


def questions_of(scenario: Scenario, part: Traffic, taken: Sequence[InputTensor] | None) -> tuple[Question, ...]:
    """taken: what the model takes, where the scenario does not say. Raises InvalidInput."""
    trace = recorded.read(part.arrivals.file, times=True) if isinstance(part.arrivals, Recorded) else None
    lengths = part.lengths if part.feeds is None else f"fixed:{part.feeds.count * part.feeds.steps}"
    inputs = Inputs(lengths, part.features, part.vocabulary, part.input, part.samples)
    if not inputs.told and taken is not None:
        inputs = inputs.of_model(part.model, taken)
    if trace is not None:
        return tuple(
            question
            for steps in _few(trace.steps)
            for question in _whole(replace(inputs, lengths=f"fixed:{steps}", count=1).samples(scenario.seed + int(steps)))
        )
    samples = inputs.samples(scenario.seed)
    return _whole(samples) if part.feeds is None else tuple(_cut(sample, part.feeds.steps) for sample in samples)


def stream(scenario: Scenario, part: Traffic, questions: tuple[Question, ...], scale: float) -> Stream:
    """scale: multiplies the rates of an open loop. The same seed, the same stream."""
    rng = np.random.default_rng([scenario.seed, scenario.traffic.index(part)])
    arrivals, callers, none = part.arrivals, 0, np.empty(0)
    if isinstance(arrivals, Callers):
        return Stream(part, questions, none, none.astype(np.int64), arrivals.callers)
    if isinstance(arrivals, Recorded):
        trace = recorded.read(arrivals.file, times=True)
        due = trace.due_seconds / scale
        lengths = np.array([len(question[0].x) for question in questions])
        choices = np.abs(trace.steps[:, None] - lengths[None, :]).argmin(axis=1)
        within = due < scenario.duration_seconds
        return Stream(part, questions, due[within], choices[within], callers)
    due = due_seconds(rng, arrivals, scenario.duration_seconds, scale)
    return Stream(part, questions, due, rng.integers(len(questions), size=len(due)), callers)


def _few(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] → at most so many different ones, spread over all requests."""
    different = np.unique(steps)
    if len(different) <= _DIFFERENT_LENGTHS:
        return different
    return np.unique(np.quantile(steps, np.linspace(0, 1, _DIFFERENT_LENGTHS), method="nearest"))


def _whole(samples: Sequence[Sample]) -> tuple[Question, ...]:
    return tuple((sample,) for sample in samples)


def _cut(sample: Sample, steps: int) -> Question:
    """Into feeds. What a file expects of the whole is not known of a part."""
    return tuple(Sample(sample.x[begin : begin + steps]) for begin in range(0, len(sample.x), steps))
