"""How many refusals in one second are logged."""

from __future__ import annotations

import logging

import pytest

from cellserve.service.api.overload.refusal_log import RefusalLog
from tests.fakes import FakeClock


def test_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    refusal_log = RefusalLog(clock)
    with caplog.at_level(logging.WARNING):
        refusal_log.refused("deadline")
        for _ in range(500):
            refusal_log.refused("deadline")
            refusal_log.refused("loop")
        clock.advance(0.9)
        refusal_log.settle()
        assert [record.getMessage() for record in caplog.records] == [
            "overload: 1 requests refused and told when to come again (1 deadline)"
        ]
        clock.advance(0.2)
        refusal_log.settle()
        refusal_log.settle()
    assert caplog.messages[1:] == ["overload: 1000 requests refused and told when to come again (500 deadline, 500 loop)"]
