"""Series as Prometheus reads them, from facts alone."""

from __future__ import annotations

import gc
import http.client
import urllib.request
from collections.abc import Callable
from threading import Thread

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cellserve.service.api.facts import RequestFact, RpcMethod, ShadowFact, TurnedAway
from cellserve.service.engine.facts import IterationFact, LaneFact, SequenceFact, VersionKey
from cellserve.service.metrics.families import GC_PAUSES, GROUPS, SECONDS
from cellserve.service.metrics.metrics import Metrics
from cellserve.service.metrics.series import grpc_code
from cellserve.service.registry.memory.footprint import Footprint
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus
from cellserve.service.sessions.observer import SessionCount

KEY = VersionKey("digits", 3)
RUN = {"model": "digits", "version": "3", "implementation": "fused"}
INFER = RpcMethod("unary", "inference.GRPCInferenceService", "ModelInfer")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def answered(**changes: object) -> RequestFact:
    facts = {"version": KEY, "implementation": "fused", "code": "OK", "reason": None, "seconds": 0.003}
    return RequestFact(**(facts | {"queue_seconds": 0.001, "compute_seconds": 0.002} | changes))


def refused(code: str, reason: str | None, version: VersionKey | None = KEY) -> RequestFact:
    return RequestFact(version, "", code, reason, 0.001)


def test_an_answered_request_is_in_every_phase_of_its_implementation(metrics: Metrics) -> None:
    metrics.on_request(answered())
    for phase, seconds in (("request", 0.003), ("queue", 0.001), ("compute", 0.002)):
        assert value(metrics, f"cellserve_{phase}_duration_seconds_count", **RUN) == 1
        assert value(metrics, f"cellserve_{phase}_duration_seconds_sum", **RUN) == pytest.approx(seconds)
    assert value(metrics, "cellserve_requests_total", **RUN, code="OK") == 1


def test_buckets_begin_at_50_microseconds(metrics: Metrics) -> None:
    assert SECONDS[0] == 50e-6
    metrics.on_request(answered(seconds=40e-6))
    assert value(metrics, "cellserve_request_duration_seconds_bucket", **RUN, le="5e-05") == 1


def test_a_refused_request_is_counted_by_code_and_reason_and_has_no_latency(metrics: Metrics) -> None:
    metrics.on_request(refused("INVALID_ARGUMENT", "INVALID_INPUT"))
    metrics.on_request(refused("NOT_FOUND", "MODEL_UNKNOWN", None))
    labels = {"model": "digits", "version": "3", "implementation": ""}
    assert value(metrics, "cellserve_requests_total", **labels, code="INVALID_ARGUMENT") == 1
    assert value(metrics, "cellserve_requests_total", model="", version="", implementation="", code="NOT_FOUND") == 1
    assert value(metrics, "cellserve_rejected_total", reason="INVALID_INPUT") == 1
    assert value(metrics, "cellserve_rejected_total", reason="MODEL_UNKNOWN") == 1
    assert value(metrics, "cellserve_request_duration_seconds_count", **labels) is None


def test_a_cancelled_request_is_no_refusal(metrics: Metrics) -> None:
    metrics.on_request(answered(code="CANCELLED", reason="CANCELLED", queue_seconds=None, compute_seconds=None))
    assert value(metrics, "cellserve_cancelled_total", **RUN) == 1
    assert value(metrics, "cellserve_rejected_total", reason="CANCELLED") is None


def test_iterations_and_sequences_are_counted(metrics: Metrics) -> None:
    metrics.on_iteration(IterationFact(KEY, "fused", rows=4, steps=10, timesteps=30, seconds=0.004))
    metrics.on_sequence_end(SequenceFact(KEY, "fused", "done", 10, 1, 0.0, 0.001))
    assert value(metrics, "cellserve_timesteps_total", **RUN) == 30
    for name, total in (("duration_seconds", 0.004), ("rows", 4), ("steps", 10), ("padding_ratio", 0.25)):
        assert value(metrics, f"cellserve_iteration_{name}_sum", **RUN) == pytest.approx(total)
    assert value(metrics, "cellserve_sequence_ended_total", **RUN, reason="done") == 1


def test_series_exist_at_zero_from_the_load_on_and_vanish_with_the_version(metrics: Metrics) -> None:
    metrics.on_state(KEY, VersionState.LOADING)
    metrics.on_offer(KEY, ["fused", "2"])
    metrics.on_loaded(KEY, 0.2)
    for implementation in ("fused", "2"):
        labels = RUN | {"implementation": implementation}
        assert value(metrics, "cellserve_request_duration_seconds_count", **labels) is None  # nothing to show of zeros
        assert value(metrics, "cellserve_requests_total", **labels, code="OK") == 0
    assert value(metrics, "cellserve_model_load_duration_seconds_count", model="digits", version="3") == 1
    metrics.on_state(KEY, VersionState.UNLOADED)
    metrics.on_request(answered())  # too late
    metrics.on_iteration(IterationFact(KEY, "fused", 1, 1, 1, 0.1))
    assert not [
        sample for family in metrics.registry.collect() for sample in family.samples if "digits" in sample.labels.values()
    ]
    metrics.on_state(KEY, VersionState.LOADING)
    metrics.on_request(answered())
    assert value(metrics, "cellserve_requests_total", **RUN, code="OK") == 1


def test_facts_of_before_an_unload_and_late_ones_do_not_count_for_the_version_when_it_is_loaded_again(metrics: Metrics) -> None:
    metrics.on_request(answered())
    metrics.on_state(KEY, VersionState.UNLOADED)
    metrics.on_request(answered())
    metrics.on_session_step(KEY, 0.002)
    metrics.on_state(KEY, VersionState.LOADING)
    metrics.on_request(answered())
    assert metrics.statistics.of(KEY).success.count == 1
    assert value(metrics, "cellserve_requests_total", **RUN, code="OK") == 1
    assert value(metrics, "cellserve_session_step_duration_seconds_count", model="digits", version="3") is None


def test_whoever_looks_sees_what_waits_to_be_booked() -> None:
    later: list[Callable[[], None]] = []
    metrics = Metrics("1", soon=later.append)
    for _ in range(2000):
        metrics.on_request(answered())
    assert len(later) == 1
    assert metrics.statistics.of(KEY).success.count == 2000
    metrics.on_request(answered())
    assert value(metrics, "cellserve_requests_total", **RUN, code="OK") == 2001
    later.pop()()
    assert value(metrics, "cellserve_requests_total", **RUN, code="OK") == 2001


def test_all_that_many_threads_tell_is_on_the_page_and_in_the_statistics(metrics: Metrics) -> None:
    def tell() -> None:
        for _ in range(1000):
            metrics.on_rpc_started(INFER)
            metrics.on_iteration(IterationFact(KEY, "fused", 1, 10, 10, 0.001))
            metrics.on_sequence_end(SequenceFact(KEY, "fused", "done", 10, 1, 0.0, 0.001))
            metrics.on_rpc_handled(INFER, "OK", 0.003)
            metrics.on_request(answered())

    threads = [Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = [0]
    while any(thread.is_alive() for thread in threads):
        seen.append(metrics.statistics.of(KEY).success.count)
        seen.append(int(value(metrics, "cellserve_request_duration_seconds_count", **RUN) or 0))
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    counts = metrics.statistics.of(KEY)
    assert (counts.success.count, counts.rows_done, counts.iterations[1].count) == (3000, 3000, 3000)
    for name in ("request_duration_seconds_count", "iteration_rows_sum", "iteration_duration_seconds_count"):
        assert value(metrics, f"cellserve_{name}", **RUN) == 3000
    assert value(metrics, "cellserve_timesteps_total", **RUN) == 30000
    assert value(metrics, "cellserve_sequence_ended_total", **RUN, reason="done") == 3000
    labels = {"grpc_type": INFER.type, "grpc_service": INFER.service, "grpc_method": INFER.method}
    assert value(metrics, "grpc_server_started_total", **labels) == 3000
    assert value(metrics, "grpc_server_handling_seconds_count", **labels) == 3000


def test_the_choice_of_a_version_is_told_replaced_and_forgotten(metrics: Metrics) -> None:
    def told() -> set[tuple[str, str]]:
        samples = (sample for family in metrics.registry.collect() for sample in family.samples)
        mine = [sample for sample in samples if sample.name == "cellserve_implementation_choice_info"]
        assert all(sample.value == 1 and sample.labels["version"] == "3" for sample in mine)
        return {(sample.labels["kind"], sample.labels["implementation"]) for sample in mine}

    metrics.on_state(KEY, VersionState.READY)
    metrics.on_choice(KEY, {"bulk_few": "fused", "bulk_many": "2"})
    metrics.on_choice(KEY, {"bulk_few": "2", "bulk_many": "2"})
    assert told() == {("bulk_few", "2"), ("bulk_many", "2")}
    metrics.on_state(KEY, VersionState.UNLOADED)
    metrics.on_choice(KEY, {"bulk_few": "2"})  # too late
    assert told() == set()


def test_unloading_leaves_other_versions_alone(metrics: Metrics) -> None:
    metrics.on_request(answered())
    metrics.on_request(answered(version=VersionKey("digits", 4)))
    metrics.on_state(KEY, VersionState.UNLOADED)
    assert value(metrics, "cellserve_requests_total", **(RUN | {"version": "4"}), code="OK") == 1


def test_the_present_is_asked_for_at_each_scrape(metrics: Metrics) -> None:
    lanes = [LaneFact(KEY, 70, active_sequences=2, rows_free=6, rows_used=2, weights_bytes=400, states_bytes=320)]
    metrics.watch(lambda: lanes, lambda: [VersionStatus("digits", 3, VersionState.READY)])
    version = {"model": "digits", "version": "3"}
    assert value(metrics, "cellserve_waiting_timesteps", **version) == 70
    assert value(metrics, "cellserve_active_sequences", **version) == 2
    assert value(metrics, "cellserve_state_rows", **version, state="free") == 6
    assert value(metrics, "cellserve_state_rows", **version, state="used") == 2
    assert value(metrics, "cellserve_version_weights_bytes", **version) == 400
    assert value(metrics, "cellserve_version_states_bytes", **version) == 320
    assert value(metrics, "cellserve_model_state", **version, state="READY") == 1
    assert value(metrics, "cellserve_model_state", **version, state="FAILED") == 0
    lanes.clear()
    assert value(metrics, "cellserve_waiting_timesteps", **version) is None


def test_live_sequences_are_counted_and_timed_until_their_version_goes(metrics: Metrics) -> None:
    metrics.watch(list, list, lambda: [SessionCount(KEY, 1, 2, 3, 96)])
    labels = {"model": "digits", "version": "3"}
    metrics.on_session_event(KEY, "started")
    metrics.on_session_event(KEY, "started")
    metrics.on_session_event(KEY, "expired")
    metrics.on_session_event(None, "lost")
    metrics.on_session_step(KEY, 0.002)
    assert [value(metrics, "cellserve_sessions", **labels, state=state) for state in ("active", "idle", "parked")] == [1, 2, 3]
    assert value(metrics, "cellserve_session_states_bytes", **labels) == 96
    assert value(metrics, "cellserve_session_events_total", **labels, event="started") == 2
    assert value(metrics, "cellserve_session_events_total", **labels, event="expired") == 1
    assert value(metrics, "cellserve_session_events_total", model="", version="", event="lost") == 1
    assert value(metrics, "cellserve_session_step_duration_seconds_sum", **labels) == 0.002
    metrics.on_state(KEY, VersionState.UNLOADED)
    metrics.on_session_event(KEY, "retired")
    metrics.on_session_step(KEY, 0.002)
    assert value(metrics, "cellserve_session_events_total", **labels, event="started") is None
    assert value(metrics, "cellserve_session_events_total", **labels, event="retired") is None
    assert value(metrics, "cellserve_session_step_duration_seconds_count", **labels) is None


def test_rpcs_are_counted_under_the_usual_names(metrics: Metrics) -> None:
    labels = {"grpc_type": "unary", "grpc_service": "inference.GRPCInferenceService", "grpc_method": "ModelInfer"}
    metrics.on_rpc_started(INFER)
    assert value(metrics, "cellserve_open_calls", **labels) == 1
    metrics.on_rpc_handled(INFER, "INVALID_ARGUMENT", 0.01)
    assert value(metrics, "cellserve_open_calls", **labels) == 0
    assert value(metrics, "grpc_server_started_total", **labels) == 1
    assert value(metrics, "grpc_server_handled_total", **labels, grpc_code="InvalidArgument") == 1
    assert value(metrics, "grpc_server_handling_seconds_count", **labels) == 1
    assert (grpc_code("OK"), grpc_code("DEADLINE_EXCEEDED")) == ("OK", "DeadlineExceeded")


def test_two_registries_share_nothing() -> None:
    first, second = Metrics("1"), Metrics("2", "http2")
    first.on_request(answered())
    assert value(second, "cellserve_requests_total", **RUN, code="OK") is None
    assert value(second, "cellserve_build_info", version="2", front="http2") == 1


def test_the_page_shows_metrics_and_nothing_else(metrics: Metrics) -> None:
    metrics.on_request(answered())
    page = metrics.open_page("127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics") as response:
            families = {family.name for family in text_string_to_metric_families(response.read().decode())}
        assert {"cellserve_requests", "cellserve_request_duration_seconds", "cellserve_build_info"} <= families
        connection = http.client.HTTPConnection("127.0.0.1", page.port)
        for path, status in (("/", 404), ("/metricsx", 404), ("/metrics?x=1", 200)):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.request("POST", "/metrics")
        assert connection.getresponse().status == 501
        connection.close()
    finally:
        page.close()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", page.port).connect()


def test_a_taken_port_is_told(metrics: Metrics) -> None:
    page = metrics.open_page("127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use"):
            metrics.open_page("127.0.0.1", page.port)
    finally:
        page.close()


def test_aliases_and_those_that_fall_back_are_shown() -> None:
    metrics = Metrics("1.0")
    aliases = [AliasStatus("digits", "stable", 2, 1, "failed to load: damaged"), AliasStatus("digits", "canary", 3, 3)]
    aliases += [AliasStatus("speech", "", 1, None, "failed to load: damaged")]
    metrics.watch(list, list, list, lambda: aliases)
    told = [
        [value(metrics, f"cellserve_alias_{name}", model=one.model, alias=one.alias) for name in ("fallback", "version")]
        for one in aliases
    ]
    assert told == [[1, 1], [0, 3], [0, 0]]


def test_shadow_runs_are_told_by_how_they_ended_until_a_version_of_theirs_has_left() -> None:
    metrics = Metrics("1.0")
    old, new = VersionKey("digits", 3), VersionKey("digits", 4)
    metrics.on_shadow(ShadowFact(old, new, "dropped"))
    metrics.on_shadow(ShadowFact(old, new, "compared", 0.02, 0.001))
    labels = {"model": "digits", "version": "3", "shadow": "4"}
    assert value(metrics, "cellserve_shadow_requests_total", result="dropped", **labels) == 1
    assert value(metrics, "cellserve_shadow_requests_total", result="compared", **labels) == 1
    assert value(metrics, "cellserve_shadow_difference_sum", **labels) == 0.02
    assert value(metrics, "cellserve_shadow_compute_duration_seconds_count", **labels) == 1
    metrics.on_state(new, VersionState.UNLOADED)
    metrics.on_shadow(ShadowFact(old, new, "dropped"))
    assert value(metrics, "cellserve_shadow_requests_total", result="dropped", **labels) is None
    assert value(metrics, "cellserve_shadow_difference_sum", **labels) is None


def test_how_far_an_alias_has_walked_and_how_walks_end() -> None:
    metrics = Metrics("1.0")
    walking = [("digits", "stable", 0.25)]
    metrics.watch(list, list, walking=lambda: walking)
    labels = {"model": "digits", "alias": "stable"}
    assert value(metrics, "cellserve_rollout_progress_ratio", **labels) == 0.25
    walking.clear()
    assert value(metrics, "cellserve_rollout_progress_ratio", **labels) is None
    rollout = Rollout(alias="stable", version=4, before=3, seconds=600)
    metrics.on_rollout("digits", rollout)
    assert value(metrics, "cellserve_rollouts_total", result="promoted", **labels) is None
    metrics.on_rollout("digits", rollout.model_copy(update={"state": "promoted"}))
    assert value(metrics, "cellserve_rollouts_total", result="promoted", **labels) == 1


def test_requests_are_told_to_whoever_listens() -> None:
    metrics, told = Metrics("1.0"), []
    metrics.requests_also_to(told.append)
    fact = RequestFact(VersionKey("digits", 3), "2", "OK", None, 0.01)
    metrics.on_request(fact)
    assert told == [fact]


def test_calls_that_are_turned_away_count_as_others_that_are_refused() -> None:
    metrics = Metrics("1")
    method = RpcMethod("unary", "some.Service", "Method")
    metrics.on_turned_away(TurnedAway(method, "RESOURCE_EXHAUSTED", "OVERLOADED", "loop", 1e-5, 3))
    labels = {"grpc_type": "unary", "grpc_service": "some.Service", "grpc_method": "Method"}
    assert value(metrics, "grpc_server_started_total", **labels) == 3
    assert value(metrics, "grpc_server_handled_total", grpc_code=grpc_code("RESOURCE_EXHAUSTED"), **labels) == 3
    assert value(metrics, "cellserve_rejected_total", reason="OVERLOADED") == 3
    assert value(metrics, "cellserve_overload_refused_total", cause="loop") == 3


def test_a_store_is_shown_where_there_is_one() -> None:
    metrics = Metrics("1")
    assert value(metrics, "cellserve_session_store_available") is None
    metrics.on_store_records(5)
    metrics.on_store_call("write", 3, 0.002)
    assert value(metrics, "cellserve_session_store_available") == 1
    assert value(metrics, "cellserve_session_store_sequences") == 5
    assert value(metrics, "cellserve_session_store_duration_seconds_sum", operation="write") == 0.002
    assert value(metrics, "cellserve_session_store_records_sum", operation="write") == 3
    metrics.on_store_away(True, 0.0)
    metrics.on_store_away(True, 0.5)
    assert value(metrics, "cellserve_session_store_available") == 0
    metrics.on_store_away(False, 0.25)
    assert value(metrics, "cellserve_session_store_available") == 1
    assert value(metrics, "cellserve_session_store_degraded_seconds_total") == 0.75


def test_calls_that_are_denied_unread_count_as_others_that_are_denied() -> None:
    metrics = Metrics("1")
    method = RpcMethod("unary", "some.Service", "Method")
    metrics.on_turned_away(TurnedAway(method, "UNAUTHENTICATED", "TOKEN_MISSING", None, 1e-5, 3))
    labels = {"grpc_type": "unary", "grpc_service": "some.Service", "grpc_method": "Method"}
    assert value(metrics, "grpc_server_handled_total", grpc_code=grpc_code("UNAUTHENTICATED"), **labels) == 3
    assert value(metrics, "cellserve_rejected_total", reason="OVERLOADED") is None


def test_who_is_turned_away_is_told_by_whose_token_it_was(metrics: Metrics) -> None:
    for token in ("the web shop", "the web shop", "", None):
        metrics.on_request(refused("RESOURCE_EXHAUSTED", "OVERLOADED")._replace(token=token))
    assert value(metrics, "cellserve_rejected_total", reason="OVERLOADED") == 4
    assert value(metrics, "cellserve_rejected_by_token_total", reason="OVERLOADED", token="the web shop") == 2
    assert value(metrics, "cellserve_rejected_by_token_total", reason="OVERLOADED", token="") == 1


def test_loads_are_counted_by_how_they_ended_and_leave_with_their_model(metrics: Metrics) -> None:
    metrics.on_loaded(KEY, 0.2)
    metrics.on_state(VersionKey("digits", 4), VersionState.FAILED)
    assert value(metrics, "cellserve_model_loads_total", model="digits", result="ready") == 1
    assert value(metrics, "cellserve_model_loads_total", model="digits", result="failed") == 1
    metrics.on_state(KEY, VersionState.UNLOADED)
    assert value(metrics, "cellserve_model_loads_total", model="digits", result="failed") == 1
    metrics.on_state(VersionKey("digits", 4), VersionState.UNLOADED)
    assert value(metrics, "cellserve_model_loads_total", model="digits", result="failed") is None


def test_a_swap_is_that_another_version_answers(metrics: Metrics) -> None:
    def swaps(answering: int | None) -> float | None:
        metrics.on_aliases([AliasStatus("digits", "stable", 1, answering)])
        return value(metrics, "cellserve_alias_swaps_total", model="digits", alias="stable")

    assert [swaps(version) for version in (None, 1, 1, 2, None, 2, 3)] == [None, 0, 0, 1, 1, 1, 2]
    metrics.on_aliases([])
    assert value(metrics, "cellserve_alias_swaps_total", model="digits", alias="stable") is None


def test_the_process_is_told_of() -> None:
    metrics = Metrics("1")
    metrics.listen()
    try:
        gc.collect()
    finally:
        metrics.close()
    for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "max_fds", "start_time_seconds"):
        assert value(metrics, f"process_{name}") is not None, name
    assert (value(metrics, "cellserve_threads") or 0) >= 1
    heard = value(metrics, "cellserve_gc_pause_seconds_count", generation="2")
    assert heard is not None
    assert heard >= 1
    gc.collect()
    assert value(metrics, "cellserve_gc_pause_seconds_count", generation="2") == heard


def test_the_end_of_the_certificate_is_told_where_there_is_one() -> None:
    ends: list[float | None] = [None, 1.9e9]
    metrics = Metrics("1")
    metrics.watch(list, list, certificate_expiry=lambda: ends[0])
    assert value(metrics, "cellserve_certificate_expiry_timestamp_seconds") is None
    ends.pop(0)
    assert value(metrics, "cellserve_certificate_expiry_timestamp_seconds") == 1.9e9


def test_eight_busy_versions_make_a_page_that_is_read_at_a_glance() -> None:
    metrics = Metrics("1")
    keys = [VersionKey("digits", version) for version in range(1, 9)]
    labels = ["packed", "onnxruntime", "fused", "0", "1", "2"]
    metrics.watch(
        lambda: [LaneFact(key, 70, 2, 6, 2, 400, 320) for key in keys],
        lambda: [VersionStatus(*key, VersionState.READY) for key in keys],
        lambda: [SessionCount(key, 1, 2, 3) for key in keys],
    )
    for key in keys:
        metrics.on_offer(key, labels)
        metrics.on_loaded(key, 0.2)
        metrics.on_request(answered(version=key, implementation="packed"))
        metrics.on_iteration(IterationFact(key, "packed", 4, 10, 30, 0.004))
        metrics.on_sequence_end(SequenceFact(key, "packed", "done", 10, 1, 0.0, 0.001, None))
    for key in keys[:2]:  # with live sequences, and waits long enough to be predicted
        metrics.on_sequence_end(SequenceFact(key, "packed", "done", 10, 1, 0.0, 0.001, 0.9))
        metrics.on_session_step(key, 0.002)
    metrics.on_loop(0.001)
    for method in ("ModelInfer", "ModelStreamInfer", "ServerReady"):
        metrics.on_rpc_started(INFER._replace(method=method))
        metrics.on_rpc_handled(INFER._replace(method=method), "OK", 0.003)
    assert len(generate_latest(metrics.registry)) <= 100_000


def test_no_series_is_shown_that_the_table_of_families_does_not_name(metrics: Metrics) -> None:
    metrics.watch(list, list, walking=lambda: [("digits", "stable", 0.5)], certificate_expiry=lambda: 1.9e9)
    metrics.on_rollout("digits", Rollout(alias="stable", version=4, before=3, seconds=600, state="promoted"))
    metrics.on_shadow(ShadowFact(VersionKey("digits", 3), VersionKey("digits", 4), "compared", 0.02, 0.001))
    metrics.on_store_records(5)
    metrics.on_store_call("write", 3, 0.002)
    metrics.on_request(answered())
    named = {family.name: family for group in GROUPS.values() for family in group}
    shown = {family.name: family for family in metrics.registry.collect()}
    assert shown.keys() == named.keys() - ({GC_PAUSES.name} - shown.keys())
    for name, family in shown.items():
        assert family.type == named[name].kind, name
        for sample in family.samples:
            assert sample.name in named[name].sample_names
            assert sample.labels.keys() - {"le"} == set(named[name].labels), name


def test_what_versions_take_of_memory_and_what_there_is_for_them() -> None:
    metrics = Metrics("1.0")
    footprint = Footprint(400, lambda: 900)
    footprint.measure()
    metrics.watch(list, list, memory=lambda: {KEY: footprint}, memory_budget_bytes=5000)
    version = {"model": KEY.model, "version": str(KEY.version)}
    assert value(metrics, "cellserve_version_copies_bytes", **version) == 500
    assert value(metrics, "cellserve_memory_budget_bytes") == 5000
