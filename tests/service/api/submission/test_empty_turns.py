"""Empty turns of a loop are told from others by what the machine has shown, not by seconds."""

from __future__ import annotations

import pytest

from cellserve.service.api.submission.empty_turns import EmptyTurns


@pytest.mark.parametrize("slowness", [1.0, 20.0])
def test_busy_turns_are_told_from_empty_ones_on_a_machine_of_any_speed(slowness: float) -> None:
    turns = EmptyTurns()
    for _ in range(10):
        turns.turn(5e-6 * slowness)
    assert turns.since_busy == 10
    turns.turn(40e-6 * slowness)
    assert turns.since_busy == 0
    turns.turn(12e-6 * slowness)
    assert turns.since_busy == 1
    turns.interrupted()
    assert turns.since_busy == 0


def test_on_a_machine_that_became_slower_turns_are_empty_again_in_time() -> None:
    turns = EmptyTurns()
    turns.turn(5e-6)
    turns.turn(100e-6)
    assert turns.since_busy == 0
    for _ in range(3000):
        turns.turn(100e-6)
    assert turns.since_busy > 100
