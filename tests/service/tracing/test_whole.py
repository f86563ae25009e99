"""Traced requests to a whole server, from the caller's traceparent to a collector that takes the spans."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from cellserve.service.app import run
from cellserve.service.config import Settings
from cellserve.service.pb import cellserve_pb2
from tests.service.served import Served, infer_request, publish, served
from tests.service.tracing.collector import attributes, collecting

CALLER_SPAN = "00f067aa0ba902b7"
LONG, SHORT = 5_000, 4


def trace_of(number: int) -> str:
    return f"{number:032x}"


def asked_by(number: int, sampled: bool = True) -> tuple[tuple[str, str], ...]:
    return (("traceparent", f"00-{trace_of(number)}-{CALLER_SPAN}-{'01' if sampled else '00'}"),)


def steps(number: int) -> np.ndarray[Any, Any]:
    return np.zeros((1, number, 3), np.float32)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("traced")
    publish(root, alias="stable")
    return root


async def infer(server: Served, number: int, length: int, sampled: bool = True) -> None:
    await server.open_inference.ModelInfer(infer_request(steps(length)), metadata=asked_by(number, sampled))


async def streamed(server: Served, number: int) -> None:
    async def requests() -> AsyncIterator[Any]:
        yield infer_request(steps(SHORT), request_id="one")
        yield infer_request(steps(SHORT), request_id="two")

    async for _ in server.open_inference.ModelStreamInfer(requests(), metadata=asked_by(number)):
        pass


async def fed(server: Served, number: int) -> None:
    await server.sequences.Open(cellserve_pb2.OpenRequest(model="small", sequence_id="s", restart=True))
    two = cellserve_pb2.Tensor(shape=[2, 3], data=steps(2).tobytes())
    await server.sequences.Feed(
        cellserve_pb2.FeedRequest(model="small", sequence_id="s", position=0, inputs=two), metadata=asked_by(number)
    )


@pytest.mark.parametrize("front", ["grpc", "http2"])
async def test_a_request_that_its_caller_traces_is_told_to_the_collector(repository: Path, front: str) -> None:
    with collecting() as collector:
        async with served(repository, front=front, trace_endpoint=collector.url, trace_share=0.0) as server:
            await infer(server, 1, LONG)
            await infer(server, 2, SHORT)
            await infer(server, 3, SHORT, sampled=False)
            await server.open_inference.ModelInfer(infer_request(steps(SHORT)))
            with pytest.raises(grpc.aio.AioRpcError):
                await server.open_inference.ModelInfer(infer_request(steps(SHORT)[:, :, :2]), metadata=asked_by(4))
            await streamed(server, 5)
            await fed(server, 6)
            page = scraped(server, "application/openmetrics-text")
            plain = scraped(server, "text/plain")
    assert {span.trace_id.hex() for span in collector.spans} == {trace_of(number) for number in (1, 2, 4, 5, 6)}
    assert collector.resources[0]["service.name"] == "cellserve"
    long, short = collector.trace(trace_of(1)), collector.trace(trace_of(2))
    _is_whole(long)
    _is_whole(short)
    assert sum(_steps(span) for span in long) + _left_out(long[0]) >= 1
    assert sum(_steps(span) for span in short) == SHORT
    refused = collector.trace(trace_of(4))
    assert [span.name for span in refused[1:]] == ["door"]
    assert attributes(refused[0])["error.type"] == "INVALID_INPUT"
    assert refused[0].status.code == Status.STATUS_CODE_UNSET  # the caller's fault
    both = [span for span in collector.trace(trace_of(5)) if span.kind == Span.SPAN_KIND_SERVER]
    assert len(both) == 2
    (feed, *_) = collector.trace(trace_of(6))
    assert attributes(feed)["cellserve.sequence"] == "s"
    exemplars = _exemplars(page)
    assert {trace_of(6)} <= exemplars <= {trace_of(number) for number in (1, 2, 5, 6)}  # one a bucket, the last
    assert "trace_id" not in plain


async def test_of_others_a_share_is_traced(repository: Path) -> None:
    with collecting() as collector:
        async with served(repository, trace_endpoint=collector.url, trace_share=1.0) as server:
            await server.open_inference.ModelInfer(infer_request(steps(SHORT)))
    (request, *_) = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
    assert request.parent_span_id == b""
    assert attributes(request)["cellserve.model"] == "small"


def test_without_the_package_a_sentence_says_what_to_install(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "cellserve.service.tracing.traces", raising=False)
    asked = Settings(repository=repository, host="127.0.0.1", port=0, metrics_port=0, trace_endpoint="http://127.0.0.1:1")
    assert run(asked) == 2
    assert "pip install 'cellserve[otel]'" in capsys.readouterr().err


def _is_whole(spans: list[Span]) -> None:
    """Door, queue, iterations, reply, one after the other, inside the request, which is the caller's child."""
    request, *parts = spans
    assert request.parent_span_id.hex() == CALLER_SPAN
    assert request.name == "inference.GRPCInferenceService/ModelInfer"
    names = [span.name for span in parts]
    assert names[:2] == ["door", "queue"]
    assert names[-1] == "reply"
    assert set(names[2:-1]) == {"iteration"}
    assert all(span.parent_span_id == request.span_id for span in parts)
    told = attributes(request)
    assert {
        "rpc.system": "grpc",
        "rpc.grpc.status_code": 0,
        "cellserve.model": "small",
        "cellserve.version": 1,
    }.items() <= told.items()
    assert told["cellserve.implementation"]
    for span in parts:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    assert parts[0].end_time_unix_nano == parts[1].start_time_unix_nano
    assert parts[1].end_time_unix_nano == parts[2].start_time_unix_nano
    assert parts[-1].end_time_unix_nano <= request.end_time_unix_nano


def _steps(span: Span) -> int:
    return int(str(attributes(span).get("cellserve.own_steps", 0)))


def _left_out(request: Span) -> int:
    return int(str(attributes(request).get("cellserve.iterations_left_out", 0)))


def scraped(server: Served, accepted: str) -> str:
    url = f"http://127.0.0.1:{server.running.metrics_port}/metrics"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accepted}), timeout=30) as page:
        return str(page.read().decode())


def _exemplars(page: str) -> set[str]:
    """The traces that latency buckets name."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples if sample.exemplar]
    assert {sample.name for sample in samples} == {"cellserve_request_duration_seconds_bucket"}
    return {sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar}
