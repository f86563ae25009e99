"""What a gradual promote does next. Pure: the same facts give the same step; the clock is passed in as seconds walked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from cellserve.service.registry.policy.rollout import Rollout, State
from cellserve.service.registry.policy.split import split_words
from cellserve.service.registry.rollout.judging import Verdict
from cellserve.service.registry.rollout.walk import SHARES, share_after

Meaning = Mapping[int, float]  # version → share of an alias' requests; empty: there is no such alias

_LAST_SHARE: Final = SHARES[-1]


class Step(NamedTuple):
    """share: that the new version is to have from now on. meaning: of the alias then; None: it is left as it is."""

    state: State
    share: float
    reason: str = ""
    meaning: Meaning | None = None


def next_step(rollout: Rollout, walked_seconds: float, meaning: Meaning, verdict: Verdict) -> Step:
    """meaning: of the alias, now. The last share is left only when all bounds could be judged: until then it waits there."""
    if meaning != expected(rollout):
        return Step("ended", rollout.share, f"the alias was moved meanwhile: {told(meaning)}")
    if verdict.broken:
        return Step("rolled_back", rollout.share, verdict.broken, {rollout.before: 1.0})
    share = max(share_after(walked_seconds, rollout.seconds), rollout.share)
    if share < 1:
        return _walk_on(rollout, share)
    if verdict.wanting:
        return _walk_on(rollout, _LAST_SHARE, f"waits for evidence, {verdict.wanting}")
    return Step("promoted", 1.0, meaning={rollout.version: 1.0})


def resumed(rollout: Rollout, meaning: Meaning) -> Step:
    """By a server that starts. An alias is written before the record of its step, so it may be one step ahead of that."""
    if meaning == {rollout.version: 1.0}:
        return Step("promoted", 1.0)
    if meaning == {rollout.before: 1.0} and rollout.share:
        return Step("rolled_back", rollout.share, "the server ended as it went back")
    share = meaning.get(rollout.version, 0.0)
    walks = share in SHARES and meaning == _split(rollout, share)
    if walks or meaning == {rollout.before: 1.0}:
        return Step("walking", share)
    return Step("ended", rollout.share, f"the alias was moved meanwhile: {told(meaning)}")


def expected(rollout: Rollout) -> Meaning:
    """What the alias means while nobody else has moved it."""
    return _split(rollout, rollout.share) if rollout.share else {rollout.before: 1.0}


def told(meaning: Meaning) -> str:
    return split_words(meaning) if meaning else "there is none any more"


def _walk_on(rollout: Rollout, share: float, reason: str = "") -> Step:
    return Step("walking", share, reason, None if share == rollout.share else _split(rollout, share))


def _split(rollout: Rollout, share: float) -> Meaning:
    return {rollout.version: share, rollout.before: 1 - share}
