from __future__ import annotations

import pytest

from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TRAFFIC_WORDS, kind_of


@pytest.mark.parametrize(
    ("steps", "many", "kind"),
    [(1, False, "steps_few"), (3, True, "steps_many"), (4, False, "bulk_few"), (100_000, True, "bulk_many")],
)
def test_the_kind_follows_from_steps_and_company(steps: int, many: bool, kind: str) -> None:
    assert kind_of(steps, many) == kind


def test_every_kind_has_words() -> None:
    assert set(TRAFFIC_WORDS) == set(TRAFFIC_KINDS)
