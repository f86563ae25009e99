"""The steps of a gradual promote, by the time it has walked, by what its alias means and by what was seen."""

from __future__ import annotations

import pytest

from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.rollout.judging import Verdict
from cellserve.service.registry.rollout.stepping import Meaning, next_step, resumed
from cellserve.service.registry.rollout.walk import SHARES, share_after

ROLLOUT = Rollout(alias="stable", version=4, before=3, seconds=600)
KEPT, BROKEN, WANTING = Verdict(), Verdict(broken="errors > 1%: 2 of 9"), Verdict(wanting="errors > 1%: 9 of 100")


def at(share: float) -> Rollout:
    return ROLLOUT.model_copy(update={"share": share})


def split(share: float) -> Meaning:
    return {4: share, 3: 1 - share}


def test_shares_grow_with_time_and_each_has_as_much_of_it() -> None:
    shares = [share_after(seconds, 600.0) for seconds in range(700)]
    assert [shares.count(share) for share in SHARES] == [100] * len(SHARES)
    assert shares == sorted(shares)
    assert set(shares[600:]) == {1.0}


@pytest.mark.parametrize(
    ("rollout", "walked", "meaning", "verdict", "state", "share", "after"),
    [
        (ROLLOUT, 0, {3: 1.0}, KEPT, "walking", 0.01, split(0.01)),
        (at(0.01), 50, split(0.01), KEPT, "walking", 0.01, None),
        (at(0.01), 100, split(0.01), KEPT, "walking", 0.05, split(0.05)),
        (at(0.01), 450, split(0.01), KEPT, "walking", 0.5, split(0.5)),
        (at(0.5), 100, split(0.5), KEPT, "walking", 0.5, None),
        (at(0.75), 600, split(0.75), KEPT, "promoted", 1.0, {4: 1.0}),
        (at(0.75), 600, split(0.75), WANTING, "walking", 0.75, None),
        (at(0.5), 600, split(0.5), WANTING, "walking", 0.75, split(0.75)),
        (at(0.05), 110, split(0.05), WANTING, "walking", 0.05, None),
        (at(0.05), 110, split(0.05), BROKEN, "rolled_back", 0.05, {3: 1.0}),
        (at(0.75), 600, split(0.75), BROKEN, "rolled_back", 0.75, {3: 1.0}),
        (at(0.05), 110, {3: 1.0}, KEPT, "ended", 0.05, None),
        (at(0.05), 110, {5: 1.0}, BROKEN, "ended", 0.05, None),
        (at(0.05), 110, {}, KEPT, "ended", 0.05, None),
    ],
)
def test_a_step(
    rollout: Rollout, walked: float, meaning: Meaning, verdict: Verdict, state: str, share: float, after: Meaning | None
) -> None:
    step = next_step(rollout, walked, meaning, verdict)
    assert (step.state, step.share, step.meaning) == (state, share, after)
    assert verdict.broken in step.reason or state != "rolled_back"
    assert state != "ended" or "moved meanwhile" in step.reason


@pytest.mark.parametrize(
    ("share", "meaning", "state", "resumes_at"),
    [
        (0.0, {3: 1.0}, "walking", 0.0),
        (0.0, split(0.01), "walking", 0.01),
        (0.05, split(0.05), "walking", 0.05),
        (0.05, split(0.1), "walking", 0.1),
        (0.75, {4: 1.0}, "promoted", 1.0),
        (0.25, {3: 1.0}, "rolled_back", 0.25),
        (0.25, {5: 1.0}, "ended", 0.25),
        (0.25, split(0.3), "ended", 0.25),
        (0.25, {4: 0.25, 5: 0.75}, "ended", 0.25),
        (0.25, {}, "ended", 0.25),
    ],
)
def test_a_start_goes_on_or_says_what_became_of_it(share: float, meaning: Meaning, state: str, resumes_at: float) -> None:
    step = resumed(at(share), meaning)
    assert (step.state, step.share, step.meaning) == (state, resumes_at, None)
