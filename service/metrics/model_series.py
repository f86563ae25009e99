"""What is told of models rather than of one version: how loads went, and how often what answers an alias has changed.

Loads of a model are shown while one of its versions is tried or loaded; an alias while there is one. For one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from prometheus_client import Counter

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.status import AliasStatus


class ModelSeries:
    """Both results of a load are there from the first one on, and an alias from when it is first answered, at zero."""

    def __init__(self, loads: Counter, swaps: Counter) -> None:
        self._loads = loads
        self._swaps = swaps
        self._versions: dict[str, set[int]] = {}  # by model: those whose loads are counted
        self._answering: dict[tuple[str, str], int | None] = {}

    def loaded(self, key: VersionKey) -> None:
        self._count(key, "ready")

    def failed(self, key: VersionKey) -> None:
        self._count(key, "failed")

    def unloaded(self, key: VersionKey) -> None:
        versions = self._versions.get(key.model, set())
        versions.discard(key.version)
        if not versions and self._versions.pop(key.model, None) is not None:
            self._loads.remove_by_labels({"model": key.model})

    def answer(self, aliases: Iterable[AliasStatus]) -> None:
        """These are all aliases at present. An alias that nothing answers for a while has not been swapped."""
        before, self._answering = self._answering, {}
        for one in aliases:
            key = (one.model, one.alias)
            earlier = before.get(key)
            self._answering[key] = one.answering or earlier
            if one.answering is not None:
                self._swaps.labels(*key).inc(0 if earlier in (None, one.answering) else 1)
        for model, alias in before.keys() - self._answering.keys():
            self._swaps.remove_by_labels({"model": model, "alias": alias})

    def _count(self, key: VersionKey, result: Literal["ready", "failed"]) -> None:
        if key.model not in self._versions:
            for name in ("ready", "failed"):
                self._loads.labels(key.model, name)
        self._versions.setdefault(key.model, set()).add(key.version)
        self._loads.labels(key.model, result).inc()
