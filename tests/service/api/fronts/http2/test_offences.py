"""Connections that were ended for what their clients did, told once a second at most."""

from __future__ import annotations

import logging

import pytest

from cellserve.service.api.fronts.http2.offences import Offences
from tests.fakes import FakeClock


def test_the_first_is_told_at_once_and_the_others_together_a_second_later(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    offences = Offences(clock)
    with caplog.at_level(logging.WARNING):
        offences.told("flood", "ipv4:1.2.3.4:5", "why")
        for _ in range(1000):
            offences.told("pings", "ipv4:1.2.3.4:6", "other")
        offences.told("flood", "ipv4:1.2.3.4:7", "last")
        offences.settle()
        clock.advance(1.0)
        offences.settle()
        offences.settle()
    assert [record.message for record in caplog.records] == [
        "1 connections ended for what their clients did (1 flood), lastly ipv4:1.2.3.4:5: why",
        "1001 connections ended for what their clients did (1 flood, 1000 pings), lastly ipv4:1.2.3.4:7: last",
    ]
