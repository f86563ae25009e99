"""A server's books with one of everything in them, and looks at them."""

from __future__ import annotations

from cellserve.service.api.facts import ConnectionFact, RequestFact
from cellserve.service.engine.facts import IterationFact, LaneFact, VersionKey
from cellserve.service.metrics.metrics import Metrics
from cellserve.service.overview.look import Look
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus
from cellserve.service.sessions.observer import SessionCount

OLD, NEW, DISK = VersionKey("digits", 2), VersionKey("digits", 3), VersionKey("digits", 1)
STATES = {NEW: VersionState.READY, OLD: VersionState.READY, DISK: VersionState.UNKNOWN}


class Told:
    """metrics: to tell more. look: at all that was told, as the status page has it."""

    def __init__(self) -> None:
        self.metrics = Metrics("1.2.3", "http2")
        self.readiness = "ready"
        self.metrics.watch(
            lambda: [LaneFact(NEW, 70, active_sequences=2, rows_free=6, rows_used=2, weights_bytes=4_000_000, states_bytes=320)],
            lambda: [VersionStatus(*key, state) for key, state in STATES.items()],
            lambda: [SessionCount(NEW, 1, 2, 3, 96)],
            lambda: [
                AliasStatus("digits", "", 3, 3),
                AliasStatus("digits", "stable", 4, 2, "failed to load: damaged"),
                AliasStatus("digits", "trial", 3, 3, split={3: 0.75, 2: 0.25}),
            ],
            lambda: 2_000_000_000.0,
        )
        self.metrics.on_offer(NEW, ["fused", "packed"])

    def look(self, seconds: float) -> Look:
        return Look.at(self.metrics.registry.collect(), seconds, self.readiness)

    def answer(self, number: int, implementation: str = "fused") -> None:
        """Each in 3 ms, 1 of which it waited; in pairs, a quarter of which is padding."""
        for _ in range(number):
            fact = RequestFact(NEW, implementation, "OK", None, 0.003, queue_seconds=0.001, compute_seconds=0.002)
            self.metrics.on_request(fact)
        self.metrics.on_iteration(IterationFact(NEW, implementation, rows=2, steps=4, timesteps=6, seconds=0.002))

    def refuse(self, code: str, reason: str, **more: str) -> None:
        self.metrics.on_request(RequestFact(NEW, "", code, reason, 0.001, **more))  # type: ignore[arg-type]

    def feed(self) -> None:
        self.metrics.on_session_step(NEW, 0.002)

    def connect(self) -> None:
        self.metrics.on_connection(ConnectionFact(7, None))
