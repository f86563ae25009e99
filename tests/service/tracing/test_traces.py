"""Which requests are traced, and what of a call becomes a span of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from cellserve.service.api.calls import Call
from cellserve.service.api.facts import RequestFact, RpcMethod, TraceIds
from cellserve.service.api.trace import Ended, Trace
from cellserve.service.engine.facts import IterationLog, Share, VersionKey
from cellserve.service.tracing.traces import Traces

METHOD = RpcMethod("unary", "cellserve.v1.Sequences", "Run")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-"


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def draws() -> list[float]:
    """What is drawn next."""
    return []


@pytest.fixture
def traces(kept: InMemorySpanExporter, draws: list[float]) -> Iterator[Traces]:
    traces = Traces(SimpleSpanProcessor(kept), 0.25, "1.2.3", "west-3", lambda: draws.pop(0))
    yield traces
    traces.close()


def ended(code: str = "OK", reason: str | None = None) -> Ended:
    return Ended(RequestFact(VersionKey("digits", 3), "fused", code, reason, 0.01), "id-1", "")


def named(kept: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in kept.get_finished_spans() if span.name == name]


def test_who_says_whether_he_is_traced_is_believed(traces: Traces) -> None:
    asked = traces.begin(METHOD, (("traceparent", f"{PARENT}01"), ("tracestate", "a=b"), ("other-bin", b"1")))
    assert asked is not None
    assert asked.ids.trace_id == TRACE
    assert traces.begin(METHOD, (("traceparent", f"{PARENT}00"),)) is None


@pytest.mark.parametrize("metadata", [(), (("traceparent", "nonsense"),), (("traceparent", f"00-{'0' * 32}-{'0' * 16}-01"),)])
def test_of_all_others_a_share_is_traced(traces: Traces, draws: list[float], metadata: tuple[tuple[str, str], ...]) -> None:
    draws += [0.2499, 0.25]
    first = traces.begin(METHOD, metadata)
    assert first is not None
    assert first.ids.trace_id != TRACE
    assert traces.begin(METHOD, metadata) is None


def test_iterations_beyond_those_that_are_kept_are_counted(
    traces: Traces, draws: list[float], kept: InMemorySpanExporter
) -> None:
    draws.append(0.0)
    trace = traces.begin(METHOD, ())
    assert trace is not None
    trace.submit([])
    for number in range(IterationLog.MOST + 5):
        trace.iterations.add(Share(trace.began_seconds + number, 0.5, "fused", 1, 2, 8, 4))
    trace.answer([])
    trace.end(ended())
    (request,) = named(kept, "cellserve.v1.Sequences/Run")
    assert len(named(kept, "iteration")) == IterationLog.MOST
    assert (request.attributes or {})["cellserve.iterations_left_out"] == 5
    assert request.resource.attributes["service.instance.id"] == "west-3"
    assert (named(kept, "iteration")[0].attributes or {})["cellserve.rows"] == 8


def test_rows_of_one_request_in_one_iteration_are_one_share() -> None:
    log = IterationLog()
    for steps in (4, 3):
        log.add(Share(7.0, 0.5, "fused", 1, steps, 8, 4))
    log.add(Share(7.5, 0.5, "fused", 1, 1, 8, 4))
    assert log.shares == [Share(7.0, 0.5, "fused", 2, 7, 8, 4), Share(7.5, 0.5, "fused", 1, 1, 8, 4)]


def test_lines_of_the_log_name_the_trace_of_their_request(traces: Traces, draws: list[float]) -> None:
    draws.append(0.0)
    trace = traces.begin(METHOD, ())
    assert trace is not None
    assert Call("id-1", trace=trace).about()["trace_id"] == trace.ids.trace_id


def test_spans_that_cannot_be_made_cost_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fails(trace: Trace, ended: Ended, ended_seconds: float) -> None:
        raise RuntimeError("no spans today")

    call = Call("id-1", trace=Trace(TraceIds(TRACE, "00f067aa0ba902b7"), fails))
    assert call.fact("OK", None, 0.01).trace == TraceIds(TRACE, "00f067aa0ba902b7")
    assert "no spans today" in caplog.text


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [("INTERNAL", "INTERNAL", StatusCode.ERROR), ("INVALID_ARGUMENT", "INVALID_INPUT", StatusCode.UNSET)],
)
def test_only_the_servers_own_fault_is_an_error(
    traces: Traces, draws: list[float], kept: InMemorySpanExporter, code: str, reason: str, status: StatusCode
) -> None:
    draws.append(0.0)
    trace = traces.begin(METHOD, ())
    assert trace is not None
    trace.end(ended(code, reason))
    (request,) = named(kept, "cellserve.v1.Sequences/Run")
    assert request.status.status_code is status
    assert (request.attributes or {})["error.type"] == reason
    assert len(named(kept, "door")) == 1
    assert named(kept, "queue") == []
