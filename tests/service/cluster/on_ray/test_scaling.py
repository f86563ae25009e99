from __future__ import annotations

from types import SimpleNamespace

import pytest

from cellserve.service.cluster.on_ray.scaling import SERIES, ByWaitingSteps, waiting, wanted_replicas
from cellserve.service.metrics.families import WAITING

PAGE = f"""# HELP {SERIES} Time steps accepted and not yet computed.
# TYPE {SERIES} gauge
{SERIES}{{model="one",version="1"}} 300.0
{SERIES}{{model="two",version="7"}} 1.25e+03
{SERIES}_of_another{{model="two"}} 5.0
"""


def test_what_waits_of_all_versions_counts() -> None:
    assert waiting(PAGE) == 1550.0
    assert waiting("") == 0.0


def test_the_series_is_one_that_servers_show() -> None:
    assert WAITING.name == SERIES


@pytest.mark.parametrize(
    ("current", "waits", "expected"),
    [
        (2, [1000.0, 1000.0], 2),
        (2, [1050.0, 1050.0], 2),  # near enough
        (2, [3000.0, 1000.0], 4),
        (2, [2100.0], 5),  # the other one has not said anything yet
        (4, [0.0, 0.0, 0.0, 0.0], 0),  # and the bounds make of it what is least
        (4, [400.0, 400.0, 600.0, 600.0], 2),
        (3, [], 3),
    ],
)
def test_there_are_as_many_as_keep_what_waits_at_the_target(current: int, waits: list[float], expected: int) -> None:
    assert wanted_replicas(current, waits, 1000.0) == expected


@pytest.mark.parametrize(("told", "expected"), [({SERIES: {"a": 2000.0, "b": 2000.0}}, 4), ({}, 2), (None, 2)])
def test_the_policy_goes_by_what_replicas_say(told: dict[str, dict[str, float]] | None, expected: int) -> None:
    context = SimpleNamespace(aggregated_metrics=told, target_num_replicas=2)
    assert ByWaitingSteps(1000.0)(context) == (expected, {})
