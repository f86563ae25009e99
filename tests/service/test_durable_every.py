from __future__ import annotations

import pytest

from cellserve.service.config import Settings
from cellserve.service.durable_every import DurableEvery


@pytest.mark.parametrize(
    ("text", "every"),
    [("", None), ("100", DurableEvery(feeds=100)), ("5s", DurableEvery(seconds=5)), ("0.5s", DurableEvery(seconds=0.5))],
)
def test_feeds_or_seconds(text: str, every: DurableEvery | None) -> None:
    assert DurableEvery.parse(text) == every


@pytest.mark.parametrize("text", ["0", "-1", "0s", "s", "5m", "1.5", "infs", "nans", "often"])
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="as in 100, or seconds, as in 5s"):
        DurableEvery.parse(text)
    with pytest.raises(ValueError, match="as in 5s"):
        Settings(durable_every=text)
