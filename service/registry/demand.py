"""Which versions somebody wants loaded, and why: what the repository names, what requests ask for, what an alias has just left.

Decides from the snapshot and the states of versions, which it is told; remembers who asked. Knows no disk and no engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.policy.previous import Pointer, Previous
from cellserve.service.registry.snapshot import Snapshot
from cellserve.service.registry.status import VersionState

_SAYS_NOTHING = ModelSettings()


class Demand:
    """Wanted are every aliased version and what else model.yaml asks for, by default the newest; so is, for a while, what an
    alias has left. Any other version is from its first request on. A model on demand is asleep until somebody calls on it.

    settings: the server's. state: of a version now. clock: seconds since 1970, as moves of aliases are recorded.
    """

    def __init__(self, settings: Settings, state: Callable[[VersionKey], VersionState], clock: Callable[[], float]) -> None:
        self._settings = settings
        self._state = state
        self._clock = clock
        self._snapshot = Snapshot()
        self._previous = Previous()
        self._wanted: frozenset[VersionKey] = frozenset()
        self._asked_for: set[VersionKey] = set()
        self._pinned: Counter[VersionKey] = Counter()  # being loaded for what has begun on them
        self._evicted: set[VersionKey] = set()  # until they are asked for again
        self._unloaded_models: set[str] = set()
        self._called_models: set[str] = set()  # on which somebody has called, so that they are not asleep any more

    @property
    def wanted(self) -> frozenset[VersionKey]:
        """By the repository."""
        return self._wanted

    def follow(self, snapshot: Snapshot) -> None:
        """What the repository held when it was last read. What is gone is asked for no more; `settle` says what is wanted."""
        self._snapshot = snapshot
        self._asked_for = {key for key in self._asked_for if snapshot.holds(key)}
        self._evicted = {key for key in self._evicted if snapshot.holds(key) and not self.reason_to_stay(key)}

    def settle(self) -> None:
        """What the repository names is what is wanted."""
        self._wanted = frozenset(key for key in self._snapshot.wanted() if not self._is_asleep(key.model))

    def want(self, wanted: frozenset[VersionKey]) -> None:
        """Exactly these, whatever the repository names, until the next `settle`."""
        self._wanted = wanted

    def note_answering(self, answering: Mapping[Pointer, VersionKey]) -> None:
        """Which version answers each pointer now: one that has been left is kept for a while."""
        self._previous.note(answering, self._clock())

    def recall(self) -> None:
        """What aliases left before this process began is kept too, by their histories."""
        self._previous.recall(self._snapshot.departures())

    def settings_of(self, model: str) -> ModelSettings:
        """What the model's owner says of it; the defaults for a model that is unknown."""
        known = self._snapshot.models.get(model)
        return _SAYS_NOTHING if known is None else known.settings

    def settings_for(self, model: str) -> Settings:
        """The server's settings, as the model's owner has them for its versions."""
        return self.settings_of(model).applied(self._settings)

    # --- who asks ---

    def call_on(self, model: str) -> bool:
        """A request for the model has come. Whether that has woken it."""
        asleep = self._is_asleep(model)
        if asleep:
            self._called_models.add(model)
            self.settle()
        return asleep

    def ask_for(self, key: VersionKey) -> None:
        """By its number: it stays from now on, wanted or not."""
        if key not in self._wanted:
            self._asked_for.add(key)

    def evict(self, key: VersionKey) -> None:
        """It makes room for others: nobody wants it until somebody asks for it again, or an alias names it."""
        self._evicted.add(key)
        self._asked_for.discard(key)

    def bring_back(self, key: VersionKey) -> None:
        """Somebody asks for it."""
        self._evicted.discard(key)

    @contextmanager
    def pinned(self, key: VersionKey, on_end: Callable[[], object]) -> Iterator[None]:
        """Meanwhile it stays, or it might leave between its load and the lease. on_end: called when nobody pins it any more."""
        self._pinned[key] += 1
        try:
            yield
        finally:
            self._pinned[key] -= 1
            if not self._pinned[key]:
                del self._pinned[key]
                on_end()

    def unload(self, model: str) -> None:
        """Nothing of it is wanted until `load`, whoever asks."""
        self._unloaded_models.add(model)
        self._asked_for = {key for key in self._asked_for if key.model != model}

    def load(self, model: str) -> None:
        """Ends an `unload`, and wakes the model. `settle` then says what is wanted of it."""
        self._unloaded_models.discard(model)
        self._called_models.add(model)
        self._evicted = {key for key in self._evicted if key.model != model}

    # --- decisions ---

    def reason_to_stay(self, key: VersionKey) -> str:
        """Why it may not make room for others; empty: it may.

        Of a model on demand an alias holds nothing, for its next request brings the version back, but for one that is split: what
        is not loaded leaves its share to the others.
        """
        aliases = self._snapshot.splits_of(key) if self.on_demand(key.model) else self._snapshot.aliases_of(key)
        if aliases:
            return f"is {', '.join(aliases)}"
        if key.version in self.settings_of(key.model).named_versions:
            return "pinned"
        return "about to be used" if key in self._pinned else ""

    def is_unloaded(self, model: str) -> bool:
        """On request."""
        return model in self._unloaded_models

    def is_wanted(self, key: VersionKey) -> bool:
        """Whether it stays loaded, whoever has begun on it."""
        return key not in self._evicted and (key in self._wanted or key in self._asked_for or key in self._kept_warm())

    def to_keep(self) -> frozenset[VersionKey]:
        """Everything that must stay, or come, for whichever reason."""
        kept = self._wanted | self._asked_for | self._kept_warm()
        return frozenset(key for key in (kept - self._evicted) | self._pinned.keys() if self.allows(key.model))

    def kept_warm(self, key: VersionKey) -> bool:
        """Whether it answered an alias until a while ago."""
        return key in self._kept_warm()

    def allows(self, model: str) -> bool:
        """Whether anything of it may be loaded now."""
        return model not in self._unloaded_models and not self._is_asleep(model)

    def may_come(self, key: VersionKey) -> bool:
        """Whether it may be loaded without a request for it: it has not made room for others."""
        return self.allows(key.model) and key not in self._evicted

    def on_demand(self, model: str) -> bool:
        own = self.settings_of(model).load
        return (self._settings.load if own is None else own) == "on-demand"

    def _is_asleep(self, model: str) -> bool:
        """Whether it is loaded on demand, and nobody has asked for it yet."""
        return model not in self._called_models and self.on_demand(model)

    def _keep_seconds(self, model: str) -> float:
        own = self.settings_of(model).keep_previous
        return self._settings.keep_previous_seconds if own is None else own

    def _kept_warm(self) -> frozenset[VersionKey]:
        """What answered until a while ago. What has failed, or is gone, is no way back."""
        kept = self._previous.kept(self._clock(), self._keep_seconds)
        return frozenset(key for key in kept if self._snapshot.holds(key) and self._state(key) is not VersionState.FAILED)
