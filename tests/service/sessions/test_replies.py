"""What a feed is known by, when somebody asks for its answer again: here, or at a server of another release."""

from __future__ import annotations

import numpy as np

from cellserve.service.sessions.feed import CheckedFeed
from cellserve.service.sessions.replies import fingerprint

STEPS = np.arange(4, dtype=np.float32).reshape(2, 2)


def test_a_feed_is_known_by_the_same_bytes_in_every_release() -> None:
    """Two servers of one store may be of two releases: a feed that either of them has applied is not applied again."""
    assert fingerprint(CheckedFeed((STEPS,), want_state=True)).hex() == "6c4e780d88953b930d69d66275706127"


def test_what_feeds_other_numbers_or_wants_another_answer_is_another_feed() -> None:
    mask = np.array([True, False])
    feeds = (
        CheckedFeed((STEPS,)),
        CheckedFeed((STEPS,), want_state=True),
        CheckedFeed((STEPS.reshape(1, 4),)),
        CheckedFeed((STEPS + 1,)),
        CheckedFeed((STEPS.astype(np.int32),)),
        CheckedFeed((STEPS, STEPS)),
        CheckedFeed((STEPS,), mask=mask),
        CheckedFeed((STEPS,), mask=~mask),
        CheckedFeed((STEPS,), initial_state=STEPS[0]),
    )
    assert len({fingerprint(each) for each in feeds}) == len(feeds)
    laid_out_otherwise = np.asfortranarray(STEPS)
    assert fingerprint(CheckedFeed((laid_out_otherwise,))) == fingerprint(feeds[0])
