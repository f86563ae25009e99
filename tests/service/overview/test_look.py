"""How series grew from one look to the next, and what that says of their rates, means and quantiles."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from cellserve.service.overview.look import Growth, Look, quantile

SECONDS = 10.0


def grown(before: str, after: str, seconds: float = SECONDS) -> Growth:
    first, second = (f"# TYPE asked counter\n{page}" for page in (before, after))
    return Growth(
        Look.at(text_string_to_metric_families(first), 100.0), Look.at(text_string_to_metric_families(second), 100.0 + seconds)
    )


def test_a_rate_is_what_came_between_the_looks_by_the_labels_that_are_asked_for() -> None:
    growth = grown(
        'asked_total{model="a",code="OK"} 5\nasked_total{model="b",code="OK"} 1\n',
        'asked_total{model="a",code="OK"} 25\nasked_total{model="b",code="OK"} 1\nasked_total{model="a",code="LATE"} 30\n',
    )
    assert growth.rates("asked_total", "model") == {("a",): 5.0, ("b",): 0.0}
    assert growth.rates("asked_total", "code") == {("OK",): 2.0, ("LATE",): 3.0}
    assert growth.per_second("asked_total") == 5.0
    assert growth.per_second("never_total") == 0.0


def test_a_counter_that_began_anew_is_all_new() -> None:
    assert grown("asked_total 500\n", "asked_total 20\n").per_second("asked_total") == 2.0


def test_looks_of_one_moment_have_no_rate() -> None:
    assert grown("asked_total 1\n", "asked_total 2\n", seconds=0.0).per_second("asked_total") == 0.0


def test_means_and_quantiles_are_of_what_came_and_not_of_what_was_there() -> None:
    growth = grown(
        'took_bucket{le="1"} 90\ntook_bucket{le="2"} 90\ntook_bucket{le="+Inf"} 90\ntook_sum 9\ntook_count 90\n',
        'took_bucket{le="1"} 90\ntook_bucket{le="2"} 94\ntook_bucket{le="+Inf"} 94\ntook_sum 15\ntook_count 94\n',
    )
    assert growth.means("took") == {(): 1.5}
    assert growth.quantiles("took", 0.5) == {(): 1.5}
    nothing = grown("took_sum 9\ntook_count 90\n", "took_sum 9\ntook_count 90\n")
    assert (nothing.means("took"), nothing.quantiles("took", 0.5)) == ({}, {})


def test_a_quantile_above_the_last_end_is_that_end() -> None:
    assert quantile(0.99, {0.1: 1.0, float("inf"): 100.0}) == 0.1
    assert quantile(0.5, {}) is None


def test_what_a_server_does_not_show_is_not_zero() -> None:
    growth = grown("", 'rows{state="free"} 2\nrows{state="used"} 3\n')
    assert growth.value("rows") == 5.0
    assert growth.now("rows", "state") == {("free",): 2.0, ("used",): 3.0}
    assert growth.value("descriptors") is None
