"""When bounds are broken, and when there is too little to say that they are kept."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cellserve.service.registry.rollout.bounds import parse_bounds
from cellserve.service.registry.rollout.judging import Evidence, Verdict, judge
from cellserve.service.registry.rollout.seen import Compared, Latencies, Seen


def seen(answered: int = 0, failed: int = 0, refused: int = 0, seconds: float = 0.01, slow: int = 0) -> Seen:
    """slow: so many of the answers took ten times as long."""
    found = Seen(failed, refused)
    for number in range(answered):
        found.latencies.add(seconds * (10 if number < slow else 1))
    return found


def compared(differences: Iterable[float] = ()) -> Compared:
    found = Compared()
    for difference in differences:
        found.add(difference)
    return found


def verdict(stop_if: str, new: Seen, old: Seen | None = None, differences: Iterable[float] = ()) -> Verdict:
    return judge(parse_bounds(stop_if), Evidence(new, old or Seen(), compared(differences)))


@pytest.mark.parametrize(
    ("stop_if", "new", "old", "differences", "broken", "wanting"),
    [
        ("", seen(), seen(), (), "", ""),
        ("errors > 1%", seen(), seen(), (), "", "errors > 1%: 0 of 100 requests that the new version has answered"),
        ("errors > 1%", seen(9, failed=1), seen(), (), "", "10 of 100 requests"),
        ("errors > 1%", seen(8, failed=2), seen(), (), "errors > 1%: 2 of 10 requests failed", ""),
        ("errors > 1%", seen(99, failed=1), seen(), (), "", ""),
        ("errors > 1%", seen(990, failed=11), seen(), (), "11 of 1001 requests failed", ""),
        ("errors > 0", seen(1, failed=1), seen(), (), "errors > 0%: 1 of 2", ""),
        ("errors > 1%", seen(900, refused=100), seen(900, refused=100), (), "", ""),
        ("errors > 1%", seen(800, refused=200), seen(900, refused=100), (), "200 were refused", ""),
        ("errors > 1%", seen(80, refused=20), seen(1000), (), "20 were refused", ""),
        ("difference > 1e-3", seen(), seen(), (), "", "0 of 20 requests that both versions have answered"),
        ("difference > 1e-3", seen(), seen(), (1e-3,) * 20, "", ""),
        ("difference > 1e-3", seen(), seen(), (0.0, 0.5), "answers differ by 0.5, of 2 that were compared", ""),
        ("difference > 1e-3", seen(), seen(), (float("inf"),), "answers differ by inf", ""),
        ("p99 > 2x", seen(199), seen(1000), (), "", "199 of 200 requests that each has answered"),
        ("p99 > 2x", seen(1000), seen(199), (), "", "199 of 200"),
        ("p99 > 2x", seen(200), seen(200), (), "", ""),
        ("p99 > 2x", seen(200, slow=2), seen(200), (), "", ""),
        ("p99 > 2x", seen(200, slow=3), seen(200), (), "p99 > 2x: ", ""),
        ("p99 > 50ms", seen(200, slow=3), seen(), (), "p99 > 50ms: ", ""),
        ("p50 > 50ms", seen(20), seen(), (), "", ""),
        ("p50 > 5ms", seen(19), seen(), (), "", "19 of 20 requests that were answered"),
        ("p50 > 5ms", seen(20), seen(), (), "p50 > 5ms: ", ""),
        ("p99 > 2x, errors > 1%", seen(98, failed=2), seen(), (), "errors > 1%: 2 of 100 requests failed", ""),
    ],
)
def test_a_verdict(stop_if: str, new: Seen, old: Seen, differences: Iterable[float], broken: str, wanting: str) -> None:
    found = verdict(stop_if, new, old, differences)
    assert (bool(found.broken), bool(found.wanting)) == (bool(broken), bool(wanting))
    assert broken in found.broken
    assert wanting in found.wanting


def test_latencies_are_known_within_two_per_cent_and_take_no_more_room_than_they_need() -> None:
    latencies = Latencies()
    assert latencies.percentile(99) == 0.0
    for milliseconds in range(1, 1001):
        latencies.add(milliseconds / 1000)
    for percent, seconds in ((50, 0.5), (99, 0.99), (99.9, 0.999)):
        assert seconds <= latencies.percentile(percent) <= 1.021 * seconds
    for seconds in (0.0, 1e-12, 1e12):
        latencies.add(seconds)
    assert latencies.count == 1003
