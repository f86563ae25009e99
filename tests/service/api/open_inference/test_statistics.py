"""The statistics extension: which versions it tells of, and that it tells what the metrics page tells."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cellserve.service.api.open_inference.statistics import live_versions
from cellserve.service.errors import ServiceError, UnknownModel, UnknownVersion, VersionUnavailable
from cellserve.service.pb import cellserve_pb2
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.status import VersionState, VersionStatus
from tests.service.served import Served, infer_request, publish, served

STATUSES = [
    VersionStatus("digits", 1, VersionState.UNLOADING),
    VersionStatus("digits", 2, VersionState.READY, aliases=("stable",)),
    VersionStatus("digits", 3, VersionState.FAILED, "damaged", aliases=("next",)),
    VersionStatus("speech", 1, VersionState.READY),
    VersionStatus("idle", 1, VersionState.UNLOADED),
]


@pytest.mark.parametrize(
    ("model", "version", "meant"),
    [
        ("", "", ["digits/1", "digits/2", "speech/1"]),
        ("digits", "", ["digits/1", "digits/2"]),
        ("digits", "2", ["digits/2"]),
        ("digits", "stable", ["digits/2"]),
        ("idle", "", []),
    ],
)
def test_which_versions_are_meant(model: str, version: str, meant: list[str]) -> None:
    assert [str(key) for key in live_versions(STATUSES, model, version)] == meant


@pytest.mark.parametrize(
    ("model", "version", "error"),
    [
        ("nobody", "", UnknownModel),
        ("digits", "9", UnknownVersion),
        ("digits", "canary", UnknownVersion),
        ("digits", "3", VersionUnavailable),
        ("digits", "next", VersionUnavailable),
    ],
)
def test_what_is_not_there_is_told(model: str, version: str, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        live_versions(STATUSES, model, version)


async def every_kind_of_traffic(server: Served) -> None:
    """10 unary and 20 streamed requests of 2 rows, 5 of the typed API with 1, and 3 that fail after they found their version."""
    inputs = np.zeros((2, 30, 3), np.float32)
    await asyncio.gather(*(server.open_inference.ModelInfer(infer_request(inputs)) for _ in range(10)))
    stream = server.open_inference.ModelStreamInfer(iter([infer_request(inputs)] * 20))
    assert not [reply.error_message async for reply in stream if reply.error_message]
    tensor = cellserve_pb2.Tensor(shape=[5, 3], data=np.zeros((5, 3), np.float32).tobytes())
    run = cellserve_pb2.RunRequest(model="small", lengths=[5], inputs=tensor, implementation="0")
    await asyncio.gather(*(server.sequences.Run(run) for _ in range(5)))
    bad = infer_request(np.full((1, 1, 3), np.nan, np.float32))
    with pytest.raises(grpc.aio.AioRpcError):
        await server.open_inference.ModelInfer(bad)
    assert all([reply.error_message async for reply in server.open_inference.ModelStreamInfer(iter([bad, bad]))])


def page_sums(port: int) -> dict[str, float]:
    """By sample name, over all implementations and codes; requests also by code, `requests{OK}`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        page = response.read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            names = [sample.name]
            if "code" in sample.labels:
                names.append(f"{sample.name}{{{sample.labels['code']}}}")
            if "reason" in sample.labels:
                names.append(f"{sample.name}{{{sample.labels['reason']}}}")
            for name in names if sample.labels.get("model") == "small" else []:
                sums[name] = sums.get(name, 0.0) + sample.value
    return sums


async def test_statistics_equal_the_metrics_page(tmp_path: Path) -> None:
    publish(tmp_path)
    async with served(tmp_path) as server:
        empty = await server.open_inference.ModelStatistics(pb.ModelStatisticsRequest(name="small"))
        assert [(each.name, each.version, each.inference_count) for each in empty.model_stats] == [("small", "1", 0)]
        await every_kind_of_traffic(server)
        (stats,) = (await server.open_inference.ModelStatistics(pb.ModelStatisticsRequest(name="small"))).model_stats
        page = page_sums(server.running.metrics_port)
    told = stats.inference_stats
    assert (told.success.count, told.fail.count) == (35, 3)
    assert stats.inference_count == 2 * 30 + 5
    assert stats.last_inference > 1_600_000_000_000
    for durations, name in ((told.success, "request"), (told.queue, "queue"), (told.compute_infer, "compute")):
        assert durations.count == page[f"cellserve_{name}_duration_seconds_count"]
        assert durations.ns == pytest.approx(1e9 * page[f"cellserve_{name}_duration_seconds_sum"], abs=durations.count)
    assert told.success.count == page["cellserve_requests_total{OK}"]
    assert told.fail.count == page["cellserve_requests_total{INVALID_ARGUMENT}"]
    assert stats.inference_count == page["cellserve_sequence_ended_total{done}"]
    assert stats.execution_count == page["cellserve_iteration_duration_seconds_count"]
    batches = stats.batch_stats
    assert sum(batch.compute_infer.count for batch in batches) == stats.execution_count
    assert sum(batch.batch_size * batch.compute_infer.count for batch in batches) == page["cellserve_iteration_rows_sum"]
    iteration_ns = sum(batch.compute_infer.ns for batch in batches)
    assert iteration_ns == pytest.approx(1e9 * page["cellserve_iteration_duration_seconds_sum"], abs=stats.execution_count)
    assert told.compute_input.ns > 0
    assert told.compute_output.ns > 0
    phases = (told.queue, told.compute_input, told.compute_output)
    assert sum(each.ns for each in phases) < told.success.ns


async def test_a_version_that_is_loaded_again_counts_from_zero(tmp_path: Path) -> None:
    publish(tmp_path)
    async with served(tmp_path) as server:
        stub = server.open_inference
        await stub.ModelInfer(infer_request(np.zeros((1, 2, 3), np.float32)))
        await stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="small"))
        assert not (await stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
        await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="small"))
        (stats,) = (await stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
        assert (stats.inference_stats.success.count, stats.execution_count) == (0, 0)
