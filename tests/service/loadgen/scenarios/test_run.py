"""A run made into a record, and pages of metrics into moments."""

import pytest

from cellserve.service.loadgen.generator_load import GeneratorLoad
from cellserve.service.loadgen.outcomes import Outcome, Verdict
from cellserve.service.loadgen.scenarios.run import PERCENTS, Run, record
from cellserve.service.loadgen.scenarios.server_watch import moment, sums
from cellserve.service.loadgen.scenarios.target import parse

AT_EASE = GeneratorLoad(cpu_cores=0.1, send_lag_p99_seconds=0.0, send_lag_max_seconds=0.0, loop_lag_p99_seconds=0.0)
AT_ITS_LIMIT = GeneratorLoad(cpu_cores=1.0, send_lag_p99_seconds=0.0, send_lag_max_seconds=0.0, loop_lag_p99_seconds=0.0)


def outcome(due: float, latency: float = 0.01, version: int = 1, **fields: object) -> Outcome:
    fields = {"verdict": Verdict.RIGHT, "answered_by": f"m/{version} packed", "traffic": "a", **fields}
    return Outcome(100 + due, 100 + due, 100 + due + latency, 5, **fields)  # type: ignore[arg-type]


def recorded(*outcomes: Outcome, generator: GeneratorLoad = AT_EASE, target: str = "p99<50ms") -> Run:
    return record("", 1.0, 100.0, outcomes, [AT_EASE, generator], [], 0, parse(target))


def test_each_kind_of_traffic_has_its_figures() -> None:
    run = recorded(outcome(0), outcome(1), outcome(1.5, traffic="b"))
    assert {name: summary.requests for name, summary in run.traffic.items()} == {"a": 2, "b": 1}
    assert len(run.percentiles_seconds) == len(PERCENTS)


def test_the_time_line_says_when_what_was_refused() -> None:
    run = recorded(outcome(0), outcome(0.05), outcome(1.0, error="OVERLOADED"), outcome(1.05, verdict=Verdict.WRONG))
    assert (run.slices[0].due_per_second, run.slices[0].answered_per_second) == (pytest.approx(20), pytest.approx(20))
    assert run.slices[5].p99_seconds is None
    last = run.slices[-1]
    assert (last.from_seconds, last.errors, last.wrong) == (pytest.approx(1.0), {"OVERLOADED": 1}, 1)


def test_a_swap_stands_where_the_new_version_first_answered() -> None:
    swaps = recorded(
        outcome(0), outcome(1, version=2), outcome(1.2, version=2, traffic="b"), outcome(2), outcome(3, version=3)
    ).swaps
    assert [(round(swap.seconds, 2), swap.answered_by) for swap in swaps] == [(1.01, "m/2"), (3.01, "m/3")]


@pytest.mark.parametrize(
    ("outcomes", "generator", "met"),
    [
        ([outcome(0)], AT_EASE, True),
        ([outcome(0, 0.06)], AT_EASE, False),
        ([outcome(0), outcome(0, error="OVERLOADED")], AT_EASE, False),
        ([outcome(0, verdict=Verdict.WRONG)], AT_EASE, False),
        ([outcome(0)], AT_ITS_LIMIT, False),
        ([], AT_EASE, False),
    ],
    ids=["met", "slow", "refused", "wrong", "generator", "nothing"],
)
def test_a_target_is_met_by_right_answers_in_time_from_a_generator_that_kept_up(
    outcomes: list[Outcome], generator: GeneratorLoad, met: bool
) -> None:
    assert recorded(*outcomes, generator=generator).met is met


def test_the_process_that_was_the_limit_is_named() -> None:
    (complaint,) = recorded(outcome(0), generator=AT_ITS_LIMIT).complaints
    assert complaint.startswith("process 2: it used 1.00")


PAGE = """# HELP cellserve_iteration_rows Rows.
cellserve_iteration_rows_sum{model="m",version="1"} 10.0
cellserve_iteration_rows_count{model="m",version="1"} 4.0
cellserve_iteration_rows_sum{model="n {odd}",version="1"} 2.0
cellserve_waiting_timesteps{model="m",version="1"} 7.0
process_cpu_seconds_total 3.0
"""


def test_the_page_of_metrics_is_summed_over_its_labels() -> None:
    assert sums(PAGE)["cellserve_iteration_rows_sum"] == 12.0


def test_a_moment_is_what_came_between_two_looks() -> None:
    before = sums(PAGE)
    after = before | {
        "cellserve_iteration_rows_sum": 32.0,
        "cellserve_iteration_rows_count": 8.0,
        "process_cpu_seconds_total": 4.0,
    }
    seen = moment(5.0, 2.0, before, after)
    assert (seen.cpu_cores, seen.rows, seen.waiting_steps) == (0.5, 5.0, 7.0)
    assert (seen.padding_ratio, seen.resident_bytes) == (None, None)
    assert moment(5.0, 2.0, before, before).rows is None  # no iteration between
