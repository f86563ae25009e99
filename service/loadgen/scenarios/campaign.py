"""A scenario at its own rates, at rates searched for, under each implementation: run after run. Knows no terminal."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from cellserve.service.errors import AdministrationDenied, InvalidInput
from cellserve.service.loadgen.scenarios.processes import send_all
from cellserve.service.loadgen.scenarios.run import PERCENTS, Run, record
from cellserve.service.loadgen.scenarios.scenario import Callers, Scenario
from cellserve.service.loadgen.scenarios.sending import client_of, learn
from cellserve.service.loadgen.scenarios.server_watch import ServerWatch
from cellserve.service.loadgen.scenarios.stream import Question, questions_of, stream
from cellserve.service.loadgen.scenarios.target import Target, best_scale, next_scale

FORMAT: Final = "cellserve load 1"

Told = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Found:
    """The highest rate that met the target. rate_per_second None: not even the lowest that was tried.

    limited_by_generator: the next higher rate failed because the generator did not keep up, so the server may do more.
    """

    label: str
    rate_per_second: float | None
    scale: float | None
    limited_by_generator: bool


@dataclass(frozen=True, slots=True)
class Campaign:
    """Everything that was run, in order."""

    scenario: Scenario
    began: str
    target: Target | None
    runs: tuple[Run, ...]
    found: tuple[Found, ...]

    @property
    def clean(self) -> bool:
        """No wrong answer at all; no refusal either, but in a search, where rates are meant to be too high."""
        if self.target is not None:
            return all(not run.summary.wrong for run in self.runs) and all(each.scale is not None for each in self.found)
        return all(run.clean for run in self.runs)

    def as_data(self) -> dict[str, Any]:
        """For --json and for the report: plain numbers, by the names of the fields."""
        data = dataclasses.asdict(replace(self, scenario=None))  # type: ignore[arg-type]
        return {
            "format": FORMAT,
            "clean": self.clean,
            "percents": list(PERCENTS),
            **data,
            "scenario": self.scenario.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class Server:
    """arguments: of AsyncClient. metrics_url None: the server's own view is left out."""

    arguments: dict[str, Any]
    metrics_url: str | None = None


def run(scenario: Scenario, server: Server, target: Target | None, sweep: Sequence[str], told: Told) -> Campaign:
    """sweep: implementations, each of which gets the whole of it; empty: as the scenario says. told: of each run as it ends.

    Raises InvalidInput: the scenario makes no test of this server; ServiceError: even one request at a time is refused.
    """
    if target is not None and all(isinstance(part.arrivals, Callers) for part in scenario.traffic):
        raise InvalidInput("a rate is searched for by changing rates, and this scenario has callers only; give a traffic a rate")
    began, runs, found = datetime.now(UTC).isoformat(timespec="seconds"), [], []
    for label in sweep or ("",):
        under = scenario.under(label) if label else scenario
        questions = asyncio.run(_questions(under, server))
        if target is None:
            runs.append(_run(label, under, server, questions, 1.0, None))
            told(runs[-1])
            continue
        tried: dict[float, Run] = {}
        lowest = target.fewest_requests / _expected(under, questions)
        while (scale := next_scale({at: bool(each.met) for at, each in tried.items()}, lowest)) is not None:
            tried[scale] = _run(label, under, server, questions, scale, target)
            runs.append(tried[scale])
            told(runs[-1])
        found.append(_found(label, tried))
    return Campaign(scenario, began, target, tuple(runs), tuple(found))


def _run(
    label: str,
    scenario: Scenario,
    server: Server,
    questions: dict[str, tuple[Question, ...]],
    scale: float,
    target: Target | None,
) -> Run:
    streams = [stream(scenario, part, questions[part.name], scale) for part in scenario.traffic]
    with ServerWatch(server.metrics_url) as watch:
        start, sent = send_all(scenario, server.arguments, streams)
    outcomes = [outcome for each in sent for outcome in each.outcomes]
    return record(label, scale, start, outcomes, [each.generator for each in sent], watch.moments, watch.failures, target)


def _expected(scenario: Scenario, questions: dict[str, tuple[Question, ...]]) -> int:
    """Requests of a run at the scenario's own rates, at least 1; callers, of whom nobody knows, not counted."""
    return max(1, sum(len(stream(scenario, part, questions[part.name], 1.0).due_seconds) for part in scenario.traffic))


def _found(label: str, tried: dict[float, Run]) -> Found:
    scale = best_scale({at: bool(each.met) for at, each in tried.items()})
    above = min((at for at in tried if scale is None or at > scale), default=None)
    limited = above is not None and bool(tried[above].complaints)
    return Found(label, None if scale is None else tried[scale].summary.offered_per_second, scale, limited)


async def _questions(scenario: Scenario, server: Server) -> dict[str, tuple[Question, ...]]:
    """By traffic, with the answers that each gets alone."""
    questions = {}
    async with client_of(server.arguments, retry=False) as client:
        for part in scenario.traffic:
            taken = None
            if part.features is None and part.vocabulary is None and part.input is None:
                try:
                    taken = (await client.show(part.model)).inputs
                except AdministrationDenied as error:
                    raise InvalidInput(
                        f"what {part.model} takes is told to administrators only ({error}); give traffic {part.name} features, "
                        "vocabulary or input"
                    ) from error
            asked = questions_of(scenario, part, taken)
            questions[part.name] = await learn(client, scenario, part, asked) if scenario.check else asked
    return questions
