"""A server at a glance, as plain data: what two looks at its series say. Pure; the one place where that is decided.

Knows the names of the series (`service/metrics/families.py`), and neither who looks nor how it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from cellserve.service.metrics import families
from cellserve.service.overview.facts import LiveSequences, Overview, Process, Refusal, Run, Traffic, Version
from cellserve.service.overview.look import Growth, Look

_RUN: Final = ("model", "version", "implementation")
_VERSION: Final = ("model", "version")
_GONE: Final = ("UNKNOWN", "UNLOADED")  # on disk only
_MEDIAN, _SLOWEST = 0.5, 0.99


def overview(before: Look, after: Look) -> Overview:
    """before: the earlier look at the same server."""
    growth = Growth(before, after)
    versions = _versions(growth)
    loaded = tuple(version for version in versions if version.state not in _GONE)
    return Overview(
        growth.seconds,
        after.readiness,
        _traffic(growth),
        _runs(growth),
        loaded,
        len(versions) - len(loaded),
        _live_sequences(growth),
        _refusals(growth),
        _process(growth),
    )


def _traffic(growth: Growth) -> Traffic:
    by_code, refused = growth.grown(families.REQUESTS.shown_name, "code"), growth.grown(families.REJECTED.shown_name).get((), 0.0)
    answered, cancelled, requests = by_code.get(("OK",), 0.0), by_code.get(("CANCELLED",), 0.0), sum(by_code.values())
    return Traffic(
        requests=growth.rate(requests),
        answered=growth.rate(answered),
        cancelled=growth.rate(cancelled),
        refused=growth.rate(refused),
        failed=growth.rate(max(0.0, requests - answered - cancelled - refused)),
        feeds=growth.per_second(f"{families.SESSION_STEPS.name}_count"),
        timesteps=growth.per_second(families.TIMESTEPS.shown_name),
        mean_rows=growth.means(families.ITERATION_ROWS.name).get(()),
        mean_padding_ratio=growth.means(families.ITERATION_PADDING.name).get(()),
    )


def _runs(growth: Growth) -> tuple[Run, ...]:
    """The busiest first."""
    name = families.REQUEST_SECONDS.name
    rates = {run: rate for run, rate in growth.rates(f"{name}_count", *_RUN).items() if rate}
    p50, p99 = (growth.quantiles(name, q, *_RUN) for q in (_MEDIAN, _SLOWEST))
    queue, compute = (growth.means(part.name, *_RUN) for part in (families.QUEUE_SECONDS, families.COMPUTE_SECONDS))
    return tuple(
        Run(model, version, implementation, rates[run], p50.get(run), p99.get(run), queue.get(run), compute.get(run))
        for run in sorted(rates, key=lambda run: (-rates[run], run))
        for model, version, implementation in [run]
    )


def _versions(growth: Growth) -> list[Version]:
    """By model, the newest first."""
    answers, standing_in = _answers(growth), _standing_in(growth)
    waiting, active, weights, states = (
        growth.now(family.name, *_VERSION)
        for family in (families.WAITING, families.ACTIVE, families.WEIGHTS_BYTES, families.STATES_BYTES)
    )
    rows = growth.now(families.STATE_ROWS.name, *_VERSION, "state")
    found = []
    for (model, version, state), shown in growth.now(families.MODEL_STATE.name, *_VERSION, "state").items():
        if shown:
            key = (model, version)
            shares = answers.get(key, {})
            found.append(
                Version(
                    model,
                    version,
                    state,
                    answers=shares,
                    standing_in=tuple(alias for alias in shares if (model, alias) in standing_in),
                    waiting_timesteps=waiting.get(key, 0.0),
                    active_sequences=active.get(key, 0.0),
                    rows_used=rows.get((*key, "used"), 0.0),
                    rows_free=rows.get((*key, "free"), 0.0),
                    weights_bytes=weights.get(key, 0.0),
                    states_bytes=states.get(key, 0.0),
                )
            )
    return sorted(found, key=lambda version: (version.model, -int(version.version)))


def _answers(growth: Growth) -> dict[tuple[str, ...], dict[str, float]]:
    """By version: the share that it takes of each alias."""
    shares: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    split = growth.now(families.ALIAS_SHARE.name, "model", "alias", "version")
    for (model, alias, version), share in split.items():
        if share:
            shares[model, version][alias] = share
    divided = {(model, alias) for model, alias, _ in split}
    for (model, alias), version_number in growth.now(families.ALIAS_VERSION.name, "model", "alias").items():
        if version_number and (model, alias) not in divided:
            shares[model, f"{version_number:.0f}"][alias] = 1.0
    return shares


def _standing_in(growth: Growth) -> set[tuple[str, ...]]:
    """Aliases that another version answers than they name."""
    return {key for key, fallen_back in growth.now(families.ALIAS_FALLBACK.name, "model", "alias").items() if fallen_back}


def _live_sequences(growth: Growth) -> tuple[LiveSequences, ...]:
    """Of each version that has some, or was fed."""
    counts = growth.now(families.SESSIONS.name, *_VERSION, "state")
    memory = growth.now(families.SESSION_BYTES.name, *_VERSION)
    steps = families.SESSION_STEPS.name
    feeds = growth.rates(f"{steps}_count", *_VERSION)
    p50, p99 = (growth.quantiles(steps, q, *_VERSION) for q in (_MEDIAN, _SLOWEST))
    versions: set[tuple[str, ...]] = {(model, version) for (model, version, _), count in counts.items() if count}
    return tuple(
        LiveSequences(
            model,
            version,
            active=counts.get((*key, "active"), 0.0),
            idle=counts.get((*key, "idle"), 0.0),
            parked=counts.get((*key, "parked"), 0.0),
            states_bytes=memory.get(key, 0.0),
            feeds_per_second=feeds.get(key, 0.0),
            p50_seconds=p50.get(key),
            p99_seconds=p99.get(key),
        )
        for key in sorted(versions | {key for key, rate in feeds.items() if rate})
        for model, version in [key]
    )


def _refusals(growth: Growth) -> tuple[Refusal, ...]:
    """Those of now first, then those that were most."""
    found = []
    for family, by in ((families.REJECTED, "reason"), (families.OVERLOAD, "cause"), (families.REJECTED_BY_TOKEN, "token")):
        rates = growth.rates(family.shown_name, by)
        found += [
            Refusal(by, name, rates[(name,)], total) for (name,), total in growth.now(family.shown_name, by).items() if total
        ]
    return tuple(sorted(found, key=lambda refusal: (-refusal.per_second, -refusal.total, refusal.by, refusal.name)))


def _process(growth: Growth) -> Process:
    builds = growth.now(families.BUILD.name, *families.BUILD.labels)
    version, front = next(iter(builds), ("", ""))
    available = growth.value(families.STORE_AVAILABLE.name)
    shown = {family.name: family.shown_name for family in families.PROCESS}
    began = growth.value(shown["process_start_time_seconds"])
    return Process(
        version=version,
        front=front,
        start_unix_seconds=began,
        cpu_cores=growth.rates(shown["process_cpu_seconds"]).get(()),
        resident_bytes=growth.value(shown["process_resident_memory_bytes"]),
        threads=growth.value(families.THREADS.name),
        descriptors=growth.value(shown["process_open_fds"]),
        max_descriptors=growth.value(shown["process_max_fds"]),
        loop_lag_p99_seconds=growth.quantiles(families.LOOP_LAG.name, _SLOWEST).get(()),
        connections=growth.value(families.CONNECTIONS.name),
        calls_under_way=growth.value(families.OPEN_CALLS.name),
        certificate_expiry_unix_seconds=growth.value(families.CERTIFICATE.name),
        session_store_available=None if available is None else bool(available),
    )
