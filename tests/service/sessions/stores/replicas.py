"""Replicas over one store: each with a catalog, an engine and a memory of its own, all on one clock moved by hand."""

from __future__ import annotations

from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.stores.store import Store
from tests.fakes import FakeClock
from tests.service.sessions.fakes import FakeEngine, FakeObserver, FakeVersions, Stage, version
from tests.service.sessions.stores.memory import MemoryStore


class Replica(Stage):
    """As Stage, with a store."""

    def __init__(self, store: Store, clock: FakeClock, versions: FakeVersions, settings: SessionSettings) -> None:
        self.store = store
        self.clock = clock
        self.versions = versions
        self.engine = FakeEngine()
        self.observer = FakeObserver()
        self.settings = settings
        self.sessions = self.again()

    def again(self) -> Sessions:
        """Another process in its place, which knows nothing."""
        self.sessions = Sessions(
            self.engine.run, self.versions, self.settings, self.observer, self.clock, self.clock, store=self.store
        )
        return self.sessions


def replicas(number: int, *versions: LoadedVersion, **settings: object) -> tuple[MemoryStore, list[Replica]]:
    clock = FakeClock()
    store = MemoryStore(clock)
    return store, [
        Replica(
            store,
            clock,
            FakeVersions(*(versions or (version("m", 1),))),
            SessionSettings(shared=True, replica=f"replica-{place}", **settings),  # type: ignore[arg-type]
        )
        for place in range(number)
    ]
