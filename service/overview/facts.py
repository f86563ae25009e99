"""What is told of a server at a glance. Plain data; `--json` prints it by these names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of all models. Rates are per second; means are of the iterations, and None where there was none."""

    requests: float
    answered: float
    cancelled: float
    refused: float
    failed: float
    feeds: float
    timesteps: float
    mean_rows: float | None
    mean_padding_ratio: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """Answered requests of one version under one implementation. queue, compute: their mean parts."""

    model: str
    version: str
    implementation: str
    answered_per_second: float
    p50_seconds: float | None
    p99_seconds: float | None
    queue_seconds: float | None
    compute_seconds: float | None


@dataclass(frozen=True, slots=True)
class Version:
    """answers: the aliases whose requests it takes, "" for requests without one, with its share of each.

    standing_in: those of them that name another version, which cannot be served.
    """

    model: str
    version: str
    state: str
    answers: dict[str, float]
    standing_in: tuple[str, ...]
    waiting_timesteps: float
    active_sequences: float
    rows_used: float
    rows_free: float
    weights_bytes: float
    states_bytes: float


@dataclass(frozen=True, slots=True)
class LiveSequences:
    model: str
    version: str
    active: float
    idle: float
    parked: float
    states_bytes: float
    feeds_per_second: float
    p50_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """by: what is told apart, the `reason`, for overload the `cause`, or the `token`. total: since the server began."""

    by: str
    name: str
    per_second: float
    total: float


@dataclass(frozen=True, slots=True)
class Process:
    """None: the server does not say, or there was nothing to measure."""

    version: str
    front: str
    start_unix_seconds: float | None
    cpu_cores: float | None
    resident_bytes: float | None
    threads: float | None
    descriptors: float | None
    max_descriptors: float | None
    loop_lag_p99_seconds: float | None
    connections: float | None
    calls_under_way: float | None
    certificate_expiry_unix_seconds: float | None
    session_store_available: bool | None


@dataclass(frozen=True, slots=True)
class Overview:
    """seconds: between the looks. not_loaded: versions that are on disk only."""

    seconds: float
    readiness: str
    traffic: Traffic
    runs: tuple[Run, ...]
    versions: tuple[Version, ...]
    not_loaded: int
    live_sequences: tuple[LiveSequences, ...]
    refusals: tuple[Refusal, ...]
    process: Process
