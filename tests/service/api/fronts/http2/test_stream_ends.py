"""Streams that end while their client may be sending: told once it has spoken, stopped once nothing of theirs would be lost."""

from __future__ import annotations

from cellserve.service.api.fronts.http2.stream_ends import PATIENCE_SECONDS, StreamEnds

FIELDS = ((b"grpc-status", b"12"),)


def nothing(stream_id: int) -> int:
    return 0


def test_who_has_not_spoken_is_told_once() -> None:
    ends = StreamEnds()
    ends.begun(1)
    assert ends.postponed(1, FIELDS)
    assert list(ends.untold) == [1]
    assert ends.due(1) == FIELDS
    assert ends.due(1) is None
    assert not ends.postponed(1, FIELDS)


def test_who_has_not_spoken_is_known_until_it_does_or_is_gone() -> None:
    ends = StreamEnds()
    for stream_id in (1, 3, 5):
        ends.begun(stream_id)
    ends.spoken(1)
    ends.gone(5)
    assert list(ends.silent) == [3]


def test_who_has_spoken_is_told_at_once() -> None:
    ends = StreamEnds()
    for stream_id, spoken in ((1, lambda: ends.spoken(1)), (3, ends.all_spoken)):
        ends.begun(stream_id)
        spoken()
        assert not ends.postponed(stream_id, FIELDS)
    assert not ends.untold


def test_who_was_turned_away_is_stopped_once_its_answer_has_left() -> None:
    ends = StreamEnds()
    for stream_id in (1, 3):
        ends.turned_away(stream_id)
    assert ends.unwanted(lambda stream_id: stream_id == 1) == [3]
    assert ends.any_turned_away
    assert ends.unwanted(nothing) == [1]
    assert not ends.any_turned_away


def test_who_goes_on_sending_is_stopped_after_a_while() -> None:
    ends = StreamEnds()
    ends.answered(1, 10.0)
    ends.answered(3, 10.0 + PATIENCE_SECONDS)
    assert ends.overdue(10.0, nothing) == []
    assert ends.overdue(10.0 + PATIENCE_SECONDS, lambda stream_id: 5) == []
    assert ends.overdue(10.0 + PATIENCE_SECONDS, nothing) == [1]
    assert ends.any_answered
    assert ends.overdue(10.0 + 2 * PATIENCE_SECONDS, nothing) == [3]
    assert not ends.any_answered


def test_of_a_stream_that_is_gone_nothing_is_known() -> None:
    ends = StreamEnds()
    ends.begun(1)
    ends.postponed(1, FIELDS)
    ends.answered(1, 0.0)
    ends.turned_away(1)
    ends.gone(1)
    assert not ends.untold
    assert not ends.any_answered
    assert not ends.any_turned_away
    assert ends.due(1) is None
