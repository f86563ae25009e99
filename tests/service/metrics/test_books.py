"""Facts booked many at once, against the Prometheus client's own classes told one by one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cellserve.service.api.facts import CONNECTION_ENDS, ConnectionFact, RequestFact, RpcMethod
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.metrics.books import Books
from cellserve.service.metrics.facts import Fact, LoopFact, RpcEnd, SessionChange, SessionStep
from cellserve.service.metrics.families import ITERATION, LAG_SECONDS, PART_SECONDS, PREDICTED, RATIO, ROWS, SECONDS, STEPS
from cellserve.service.metrics.statistics import Statistics
from cellserve.service.sessions.observer import EVENTS

VERSIONS = [VersionKey("digits", 3), VersionKey("digits", 4), VersionKey("words", 3)]
RUN = ("model", "version", "implementation")
RPC = ("grpc_type", "grpc_service", "grpc_method")

versions = st.sampled_from(VERSIONS)
implementations = st.sampled_from(["fused", "2"])
seconds = st.floats(0.0, 20.0)
methods = st.sampled_from([RpcMethod("unary", "a.B", "C"), RpcMethod("bidi_stream", "a.B", "D")])
codes = st.sampled_from(["OK", "INVALID_ARGUMENT", "CANCELLED"])
reasons = st.sampled_from(["INVALID_INPUT", "OVERLOADED", "CANCELLED"])
iterations = st.tuples(versions, implementations, st.integers(1, 99), st.integers(1, 9999), st.integers(1, 9999), seconds)
sequences = st.tuples(versions, implementations, st.sampled_from(["done", "failed"]))
facts = st.one_of(
    iterations.map(lambda fields: IterationFact(*fields)),
    st.tuples(sequences, st.none() | st.floats(0.0, 9.0)).map(lambda each: SequenceFact(*each[0], 5, 1, 0.0, 0.0, each[1])),
    st.tuples(versions, implementations, codes, st.none(), *3 * [seconds]).map(lambda fields: RequestFact(*fields)),
    st.tuples(versions | st.none(), st.just(""), codes, reasons, seconds, st.sampled_from([None, "deadline", "loop"])).map(
        lambda fields: RequestFact(*fields[:-1], cause=fields[-1])
    ),
    seconds.map(LoopFact),
    st.tuples(st.integers(0, 9), st.none() | st.sampled_from(CONNECTION_ENDS)).map(lambda fields: ConnectionFact(*fields)),
    methods,
    st.tuples(methods, codes, seconds).map(lambda fields: RpcEnd(*fields)),
    st.tuples(versions | st.none(), st.sampled_from(EVENTS)).map(lambda fields: SessionChange(*fields)),
    st.tuples(versions, seconds).map(lambda fields: SessionStep(*fields)),
)
few_facts = st.lists(facts, max_size=12)


class OneByOne:
    """What the Prometheus client's own counters and histograms show of the same facts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._run_histograms = {
            name: self._histogram(name, buckets, RUN)
            for name, buckets in (
                ("request_duration_seconds", SECONDS),
                *((f"{phase}_duration_seconds", PART_SECONDS) for phase in ("queue", "compute")),
                ("iteration_duration_seconds", ITERATION),
                ("prediction_ratio", PREDICTED),
                *(("iteration_rows", ROWS), ("iteration_steps", STEPS), ("iteration_padding_ratio", RATIO)),
            )
        }
        names = ("timesteps", "goodput_timesteps", "cancelled")
        self._timesteps, self._goodput, self._cancelled = (self._counter(f"cellserve_{name}", RUN) for name in names)
        self._overload = self._counter("cellserve_overload_refused", ("cause",))
        self._connections = Gauge("cellserve_connections", "?", registry=self.registry)
        self._ends = self._counter("cellserve_connections_ended", ("cause",))
        for end in CONNECTION_ENDS:
            self._ends.labels(end)
        self._lag: Histogram | None = None  # which the client would show at zero
        self._requests = self._counter("cellserve_requests", (*RUN, "code"))
        self._sequences = self._counter("cellserve_sequence_ended", (*RUN, "reason"))
        self._rejected = self._counter("cellserve_rejected", ("reason",))
        self._steps = self._histogram("session_step_duration_seconds", PART_SECONDS, RUN[:2])
        self._events = self._counter("cellserve_session_events", (*RUN[:2], "event"))
        self._started = self._counter("grpc_server_started", RPC)
        self._handled = self._counter("grpc_server_handled", (*RPC, "grpc_code"))
        self._open_calls = Gauge("cellserve_open_calls", "?", RPC, registry=self.registry)
        self._handling = Histogram("grpc_server_handling_seconds", "?", RPC, buckets=SECONDS, registry=self.registry)

    def tell(self, fact: Fact) -> None:
        match fact:
            case IterationFact(version, implementation, rows, steps, timesteps, spent):
                run = self._run(version, implementation)
                self._timesteps.labels(*run).inc(timesteps)
                values = {"duration_seconds": spent, "rows": rows, "steps": steps, "padding_ratio": fact.padding_ratio}
                for name, value in values.items():
                    self._run_histograms[f"iteration_{name}"].labels(*run).observe(value)
            case SequenceFact(version, implementation, reason):
                run = self._run(version, implementation)
                self._sequences.labels(*run, reason).inc()
                self._goodput.labels(*run).inc(fact.steps if reason == "done" else 0)
                if fact.prediction_ratio is not None:
                    self._run_histograms["prediction_ratio"].labels(*run).observe(fact.prediction_ratio)
            case ConnectionFact(number, end):
                self._connections.set(number)
                if end is not None:
                    self._ends.labels(end).inc()
            case LoopFact(lag):
                self._lag = self._lag or self._histogram("event_loop_lag_seconds", LAG_SECONDS, ())
                self._lag.observe(lag)
            case RequestFact():
                self._tell_request(fact)
            case RpcMethod():
                self._started.labels(*fact).inc()
                self._open_calls.labels(*fact).inc()
            case RpcEnd(method, code, spent):
                name = {"OK": "OK", "INVALID_ARGUMENT": "InvalidArgument", "CANCELLED": "Cancelled"}[code]
                self._handled.labels(*method, name).inc()
                self._handling.labels(*method).observe(spent)
                self._open_calls.labels(*method).dec()
            case SessionChange(version, event):
                self._events.labels(*(version or ("", "")), event).inc()
            case SessionStep(version, spent):
                self._steps.labels(*version).observe(spent)

    def _tell_request(self, fact: RequestFact) -> None:
        run = self._run(fact.version, fact.implementation)
        self._requests.labels(*run, fact.code).inc()
        if fact.code == "CANCELLED":
            self._cancelled.labels(*run).inc()
        if fact.reason in ("INVALID_INPUT", "OVERLOADED"):
            self._rejected.labels(fact.reason).inc()
        if fact.cause is not None:
            self._overload.labels(fact.cause).inc()
        if fact.queue_seconds is not None and fact.compute_seconds is not None:
            phases = {"request": fact.seconds, "queue": fact.queue_seconds, "compute": fact.compute_seconds}
            for phase, spent in phases.items():
                self._run_histograms[f"{phase}_duration_seconds"].labels(*run).observe(spent)

    def _run(self, version: VersionKey | None, implementation: str) -> tuple[object, ...]:
        return (*(version or ("", "")), implementation)

    def _counter(self, name: str, labels: Sequence[str]) -> Counter:
        return Counter(name, "?", labels, registry=self.registry)

    def _histogram(self, name: str, buckets: Sequence[float], labels: Sequence[str]) -> Histogram:
        return Histogram(f"cellserve_{name}", "?", labels, buckets=buckets, registry=self.registry)


def samples(registry: CollectorRegistry) -> set[str]:
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if not line.startswith("#") and "_created" not in line and "build_info" not in line}


@given(st.lists(st.lists(facts, max_size=12), max_size=3))
def test_the_samples_are_those_of_facts_told_one_by_one(portions: list[list[Fact]]) -> None:
    registry, expected = CollectorRegistry(), OneByOne()
    books = Books(registry, Statistics(), "1", "http2")
    for portion in portions:
        books.book(portion)
        for fact in portion:
            expected.tell(fact)
    assert samples(registry) == samples(expected.registry)


@given(st.lists(facts, max_size=40), st.lists(st.integers(0, 40), max_size=3))
def test_samples_and_statistics_agree_however_facts_are_cut(told: list[Fact], cuts: list[int]) -> None:
    registry, statistics = CollectorRegistry(), Statistics()
    books = Books(registry, statistics, "1", "http2")
    for begin, end in zip((0, *sorted(cuts)), (*sorted(cuts), len(told))):
        books.book(told[begin:end])

    def total(name: str, version: VersionKey, **labels: str) -> float:
        wanted = {"model": version.model, "version": str(version.version)} | labels
        found = [sample for family in registry.collect() for sample in family.samples if sample.name == f"cellserve_{name}"]
        return sum(sample.value for sample in found if wanted.items() <= sample.labels.items())

    for version in VERSIONS:
        counts = statistics.of(version)
        assert counts.success.count == total("request_duration_seconds_count", version)
        assert counts.success.count + counts.fail.count == total("requests_total", version)
        assert counts.rows_done == total("sequence_ended_total", version, reason="done")
        by_rows = counts.iterations.items()
        assert sum(each.count for _, each in by_rows) == total("iteration_duration_seconds_count", version)
        assert sum(rows * each.count for rows, each in by_rows) == total("iteration_rows_sum", version)
        spent = ((counts.success, "request"), (counts.queue, "queue"), (counts.compute_infer, "compute"))
        for durations, phase in spent:
            assert abs(durations.nanoseconds - 1e9 * total(f"{phase}_duration_seconds_sum", version)) <= 40


@given(few_facts, few_facts, few_facts)
def test_a_version_that_was_closed_shows_only_what_came_after_it_was_opened_again(
    before: list[Fact], late: list[Fact], after: list[Fact]
) -> None:
    registry, statistics, expected = CollectorRegistry(), Statistics(), OneByOne()
    books, key = Books(registry, statistics, "1", "http2"), VERSIONS[0]

    def shown(of: CollectorRegistry) -> set[str]:
        return {line for line in samples(of) if f'model="{key.model}",version="{key.version}"' in line}

    books.book(before)
    books.close(key)
    books.book(late)
    assert not shown(registry)
    assert statistics.of(key) == Statistics().of(key)
    books.open(key)
    books.book(after)
    for fact in after:
        expected.tell(fact)
    assert shown(registry) == shown(expected.registry)
