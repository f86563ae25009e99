"""Where work goes, over lanes that only say what they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from cellserve.models.measuring.traffic import TRAFFIC_KINDS
from cellserve.service.engine.admission.workload import Workload
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.lane import Lane
from cellserve.service.engine.placement import Placement
from cellserve.service.engine.running.at_once import AtOnce
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import UnknownImplementation, UnsupportedImplementation
from tests.fakes import FakeNetwork

KEY = VersionKey("sums", 1)


@dataclass
class LaneAlone:
    key: VersionKey = KEY
    network: Any = field(default_factory=lambda: FakeNetwork(interpreted=False))
    implementation: str = "onnxruntime"
    workload: Workload = field(default_factory=Workload)


def placement(*outstanding_steps: int, home: int = 0) -> Placement:
    """One lane and one workload for each figure."""
    workloads = [Workload() for _ in outstanding_steps]
    for workload, steps in zip(workloads, outstanding_steps):
        workload.submitted_steps = steps
    lanes = [LaneAlone() for _ in workloads]
    return Placement(cast(list[Lane], lanes), workloads, home, cast(AtOnce, None))


def work(steps: int = 9, implementation: str | None = None) -> Work:
    return Work(KEY, (np.zeros((steps, 2), np.float32),), implementation=implementation)


def test_the_worker_with_the_least_outstanding_steps_and_the_default() -> None:
    assert placement(5, 3, 4).place(work()) == (1, "onnxruntime")


def test_a_loop_of_python_goes_home_however_busy_it_is() -> None:
    assert placement(5, 0, 900, home=2).place(work(implementation="2")) == (2, "2")


def test_what_was_chosen_for_its_kind_of_traffic_on_each_worker() -> None:
    placed = placement(7, 8)
    placed.choose({kind: "1" if kind == "bulk_many" else "2" for kind in TRAFFIC_KINDS})
    placed.lanes[1].workload.submitted_sequences = 50
    assert (placed.implementation(work(), 0), placed.implementation(work(), 1)) == ("2", "1")
    assert placed.implementation(work(implementation="onnxruntime"), 0) == "onnxruntime"


def test_what_cannot_run_it_is_refused_in_words_and_the_choice_stays() -> None:
    placed = placement(0)
    with pytest.raises(UnknownImplementation, match="'3' is no implementation; sums/1 offers 0, 1, 2, onnxruntime"):
        placed.place(work(implementation="3"))
    with pytest.raises(UnsupportedImplementation, match="sums/1 cannot run under implementation 'fused': layer 'sums'"):
        placed.choose(dict.fromkeys(TRAFFIC_KINDS, "fused"))
    assert placed.place(work()) == (0, "onnxruntime")
