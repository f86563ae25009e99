"""What aliases mean, at the cost of the models that are asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.answering.pointers import Pointers
from cellserve.service.registry.repository.model_on_disk import ModelOnDisk
from cellserve.service.registry.snapshot import Snapshot
from cellserve.service.registry.status import VersionState


@pytest.mark.parametrize("state", [VersionState.READY, VersionState.UNKNOWN, VersionState.FAILED])
def test_to_ask_for_one_model_looks_at_no_other(state: VersionState) -> None:
    looks: Counter[str] = Counter()

    def look(key: VersionKey) -> VersionState:
        looks[key.model] += 1
        return state

    pointers = Pointers(look, lambda key: "")
    pointers.follow(Snapshot({name: ModelOnDisk({1: (), 2: ()}, name, {"stable": 1}) for name in ("one", "two", "three")}))
    looks.clear()
    assert pointers.resolve("two", "") == pointers.resolve("two", "stable") == VersionKey("two", 1)
    pointers.record("two", {})
    assert set(looks) <= {"two"}
