from __future__ import annotations

from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TrafficKind
from cellserve.service.engine.choice import Choice

BY_KIND: dict[TrafficKind, str] = {kind: kind for kind in TRAFFIC_KINDS}


def test_steps_and_load_decide() -> None:
    choice = Choice(BY_KIND)
    assert choice.label(1, 0) == "steps_few"
    assert choice.label(100, 7) == "bulk_few"
    assert choice.label(100, 8) == "bulk_many"
    assert choice.label(1, 8) == "steps_many"


def test_a_load_on_the_verge_does_not_flip_it() -> None:
    choice = Choice(BY_KIND)
    assert [choice.label(9, others) for others in (7, 8, 7, 3, 2, 3, 7)] == ["bulk_few", *["bulk_many"] * 3, *["bulk_few"] * 3]
