"""Whether a gradual promote may go on, by its bounds and by what was seen of both versions. Pure.

A ratio is judged as if of so many requests at least that it can show the bound: with `errors > 1%` one failure of ten requests is
one of a hundred, which is allowed; two are too many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from cellserve.service.registry.rollout.bounds import Bound, DifferenceBound, ErrorBound, LatencyBound
from cellserve.service.registry.rollout.seen import Compared, Seen

LEAST_REQUESTS: Final = 20
_DEVIATIONS: Final = 3.0  # standard ones, by which refusals may exceed what the other version refuses


class Evidence(NamedTuple):
    """new, old: of the version that the alias walks to, and of the one that it comes from, in the same time."""

    new: Seen
    old: Seen
    compared: Compared


class Verdict(NamedTuple):
    """broken: by what, in words; empty: nothing. wanting: what there is too little of to say that the bounds were kept."""

    broken: str = ""
    wanting: str = ""


def judge(bounds: Iterable[Bound], evidence: Evidence) -> Verdict:
    """Of the first bound that is broken, else of the first that cannot be judged yet."""
    verdicts = [_judge(bound, evidence) for bound in bounds]
    broken = next((verdict for verdict in verdicts if verdict.broken), None)
    wanting = next((verdict for verdict in verdicts if verdict.wanting), Verdict())
    return broken or wanting


def _judge(bound: Bound, evidence: Evidence) -> Verdict:
    if isinstance(bound, ErrorBound):
        return _errors(bound, evidence)
    if isinstance(bound, DifferenceBound):
        return _difference(bound, evidence.compared)
    return _latency(bound, evidence)


def _errors(bound: ErrorBound, evidence: Evidence) -> Verdict:
    """What clients do wrong counts as far as it is refused clearly more often than by the other version."""
    new, old = evidence.new, evidence.old
    least = max(LEAST_REQUESTS, math.ceil(1 / bound.share)) if bound.share else LEAST_REQUESTS
    usual = old.refused / old.requests if old.requests else 0.0
    by_chance = _DEVIATIONS * math.sqrt(new.requests * usual * (1 - usual))
    wrong = new.failed + max(0.0, new.refused - usual * new.requests - by_chance)
    share = wrong / max(new.requests, least)
    if share > bound.share:
        told = f"{new.failed} of {new.requests} requests failed"
        if new.refused:
            told += f", {new.refused} were refused"
        return Verdict(broken=f"{bound}: {told}")
    return _enough(bound, new.requests, least, "requests that the new version has answered")


def _difference(bound: DifferenceBound, compared: Compared) -> Verdict:
    if compared.largest > bound.largest:
        return Verdict(broken=f"{bound}: answers differ by {compared.largest:.3g}, of {compared.requests} that were compared")
    return _enough(bound, compared.requests, LEAST_REQUESTS, "requests that both versions have answered")


def _latency(bound: LatencyBound, evidence: Evidence) -> Verdict:
    """Judged once two requests may lie beyond the percentile."""
    least = max(LEAST_REQUESTS, math.ceil(round(200 / (100 - bound.percent), 6)))
    new, old = evidence.new.latencies, evidence.old.latencies
    few = min(new.count, old.count) if bound.times is not None else new.count
    if few >= least:
        took = new.percentile(bound.percent)
        others = old.percentile(bound.percent)
        limit = bound.seconds if bound.times is None else bound.times * others
        if limit is not None and took > limit:
            told = f"{1000 * took:.3g} ms of {new.count} requests"
            beside = "" if bound.times is None else f", the other version's {1000 * others:.3g} ms"
            return Verdict(broken=f"{bound}: {told}{beside}")
    return _enough(bound, few, least, "requests that were answered" if bound.times is None else "requests that each has answered")


def _enough(bound: Bound, seen: int, least: int, what: str) -> Verdict:
    return Verdict() if seen >= least else Verdict(wanting=f"{bound}: {seen} of {least} {what}")
