"""How much happens in one second is one line of the log: the first at once, the others together a second later."""

from __future__ import annotations

import logging

import pytest

from cellserve.service.counted_log import CountedLog
from tests.fakes import FakeClock


def test_one_line_a_second_with_the_numbers_of_each_cause(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    counted = CountedLog("%(total)d refused (%(causes)s)", clock)
    with caplog.at_level(logging.WARNING):
        counted.count("deadline")
        for _ in range(500):
            counted.count("deadline")
            counted.count("loop")
        clock.advance(0.9)
        counted.settle()
        assert caplog.messages == ["1 refused (1 deadline)"]
        clock.advance(0.2)
        counted.settle()
        counted.settle()
    assert caplog.messages[1:] == ["1000 refused (500 deadline, 500 loop)"]


def test_many_at_once_and_the_last_of_them(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    counted = CountedLog("%(total)d ended (%(causes)s), lastly %(last)s", clock)
    with caplog.at_level(logging.WARNING):
        counted.count("flood", last="1.2.3.4: why 100% so")
        counted.count("pings", 1000, last="1.2.3.4: other")
        counted.count("flood", last="1.2.3.5: last")
        clock.advance(1.0)
        counted.count("flood", last="1.2.3.6: very last")
    assert caplog.messages == [
        "1 ended (1 flood), lastly 1.2.3.4: why 100% so",
        "1002 ended (2 flood, 1000 pings), lastly 1.2.3.6: very last",
    ]
