"""Networks in passes, cut anywhere and in any company: against the oracle, and against the whole run, in every implementation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.models.network import Network
from tests.models.networks import Case, agree, agree_with_oracle, cases, public_states, supported
from tests.models.passing import Feeder

modest = settings(deadline=None, max_examples=80)


def feeder(case: Case, network: Network) -> Feeder:
    rows = [
        ((case.inputs[row, :length],), None if case.mask is None else case.mask[row, :length])
        for row, length in enumerate(case.lengths)
    ]
    return Feeder(network, rows, case.start(network))


def fed(case: Case, network: Network, label: str, data: st.DataObject) -> Feeder:
    made = feeder(case, network)
    made.finish(lambda low, high: data.draw(st.integers(low, high)), lambda: label)
    return made


def agrees(case: Case, made: Feeder, label: str) -> None:
    expected, states = case.expected()
    for row, length in enumerate(case.lengths):
        for name, actual, oracle in zip(case.spec.outputs, made.outputs(row), expected, strict=True):
            shape = made.network.shapes[name]
            right = oracle[row, : shape.clock.steps(length)] if shape.sequence else oracle[row]
            agree(actual, right, f"implementation {label}: output {name}, row {row}")
    found = public_states(made.state)
    for key, oracle in states.items():
        agree(found[key], oracle, f"implementation {label}: state {key}")


@modest
@given(cases(fusable=True) | cases(fusable=False), st.data())
def test_cuts_into_passes_and_chunks_leave_no_trace(case: Case, data: st.DataObject) -> None:
    network = case.network()
    if network.passes is None:
        return
    for label in supported(network):
        agrees(case, fed(case, network, label, data), label)
