"""How a storm of refusals is logged."""

from __future__ import annotations

import logging

import pytest

from cellserve.service.api.overload.storm import Storm
from tests.fakes import FakeClock


def test_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    storm = Storm(clock)
    with caplog.at_level(logging.WARNING):
        storm.refused("deadline")
        for _ in range(500):
            storm.refused("deadline")
            storm.refused("loop")
        clock.advance(0.9)
        storm.settle()
        assert [record.getMessage() for record in caplog.records] == [
            "overload: 1 requests refused and told when to come again (1 deadline)"
        ]
        clock.advance(0.2)
        storm.settle()
        storm.settle()
    assert caplog.messages[1:] == ["overload: 1000 requests refused and told when to come again (500 deadline, 500 loop)"]
