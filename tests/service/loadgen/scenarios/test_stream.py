"""Kinds of traffic made ready, and shared out among processes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.loadgen.scenarios.scenario import Scenario, of_data
from cellserve.service.loadgen.scenarios.stream import Stream, questions_of, stream


def scenario(**part: object) -> Scenario:
    return of_data({"name": "s", "duration_seconds": 10, "traffic": [{"name": "a", "model": "m", "features": 2, **part}]}, "here")


def ready(given: Scenario, scale: float = 1.0) -> Stream:
    (part,) = given.traffic
    return stream(given, part, questions_of(given, part, None), scale)


POISSON = {"kind": "poisson", "rate_per_second": 20}


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_the_processes_together_send_the_whole_once(processes: int) -> None:
    whole = ready(scenario(arrivals=POISSON, lengths="uniform:1:9"))
    shares = [whole.share(number, processes) for number in range(processes)]
    sent = Counter(pair for share in shares for pair in zip(share.due_seconds.tolist(), share.choices.tolist()))
    assert sent == Counter(zip(whole.due_seconds.tolist(), whole.choices.tolist()))


@pytest.mark.parametrize(("callers", "processes"), [(5, 2), (1, 3), (8, 4)])
def test_callers_are_shared_out(callers: int, processes: int) -> None:
    whole = ready(scenario(arrivals={"kind": "callers", "callers": callers}))
    assert sum(whole.share(number, processes).callers for number in range(processes)) == callers


def test_the_same_seed_is_the_same_stream_and_another_scale_another_rate() -> None:
    given = scenario(arrivals=POISSON)
    assert ready(given).due_seconds.tolist() == ready(given).due_seconds.tolist()
    assert len(ready(given, 5.0).due_seconds) > 3 * len(ready(given).due_seconds)


def test_a_live_sequence_is_cut_into_its_feeds() -> None:
    whole = ready(scenario(arrivals=POISSON, feeds={"count": 3, "steps": 4}, samples=2))
    assert [[len(sample.x) for sample in question] for question in whole.questions] == [[4, 4, 4]] * 2


def test_a_recording_is_sent_as_it_was_recorded(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("seconds,steps\n5,30\n6,2\n8,30\n80,2\n")
    whole = ready(scenario(arrivals={"kind": "recorded", "file": str(tmp_path / "t.csv")}), scale=2.0)
    assert whole.due_seconds.tolist() == [0, 0.5, 1.5]  # the fourth is due after the end
    assert [len(whole.questions[choice][0].x) for choice in whole.choices] == [30, 2, 30]


def test_a_recording_of_many_lengths_asks_with_near_ones(tmp_path: Path) -> None:
    steps = np.arange(1, 2001)
    (tmp_path / "t.csv").write_text(
        "seconds,steps\n" + "\n".join(f"{number * 1e-3},{count}" for number, count in enumerate(steps))
    )
    whole = ready(scenario(arrivals={"kind": "recorded", "file": str(tmp_path / "t.csv")}))
    assert len(whole.questions) <= 128
    asked = np.array([len(whole.questions[choice][0].x) for choice in whole.choices])
    assert np.abs(asked - steps).max() <= 10
