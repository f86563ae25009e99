"""The whole server: composed, ready, drained, and dead; in process, and as a process of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cellserve.models import reference
from cellserve.service.app import serving
from cellserve.service.client import AsyncClient
from cellserve.service.config import Settings
from cellserve.service.engine.engine import Engine
from cellserve.service.pb import open_inference_pb2_grpc
from tests.compiled import PACKED
from tests.service.processes import HELD, LIMIT_SECONDS, SERVE, Process, sample, scrape, wait_for_rows
from tests.service.served import ARRAYS, SPEC, infer_request, publish

IMPLEMENTATIONS = ("0", "1", "2", "fused", "onnxruntime", *PACKED)
BROKEN = "from cellserve.service.api.submission.inbox import Inbox; Inbox.deliver = lambda inbox, deliveries: 1 / 0; " + SERVE


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    publish(root, alias="stable")
    return root


async def test_a_published_model_is_served_and_measured(repository: Path) -> None:
    settings = Settings(repository=repository, host="127.0.0.1", port=0, metrics_port=0)
    inputs = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    async with serving(settings) as running:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", "small", "small/1"):
                status = (await health.Check(health_pb2.HealthCheckRequest(service=name))).status
                assert status == health_pb2.HealthCheckResponse.SERVING
            before = scrape(running.metrics_port)
            for implementation in IMPLEMENTATIONS:
                request = infer_request(inputs)
                request.parameters["implementation"].string_param = implementation
                response = await stub.ModelInfer(request)
                answer = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(2, 4)
                (expected,), _ = reference.run(SPEC, ARRAYS, (inputs,), [6, 6])
                np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=2e-6)
        page = scrape(running.metrics_port)
        for implementation in IMPLEMENTATIONS:
            labels = f'{{implementation="{implementation}",model="small",version="1"}}'
            assert f"cellserve_request_duration_seconds_count{labels}" not in before
            assert sample(page, f"cellserve_request_duration_seconds_count{labels}") == 1
            assert sample(page, f"cellserve_timesteps_total{labels}") == 12
        assert sample(page, 'cellserve_model_state{model="small",state="READY",version="1"}') == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))


def choices(metrics_port: int) -> set[str]:
    """The implementations that requests get by themselves, once that has been measured."""
    end = time.monotonic() + LIMIT_SECONDS
    while not (found := re.findall(r"cellserve_implementation_choice_info\{implementation=\"(\w+)\"", scrape(metrics_port))):
        assert time.monotonic() < end
        time.sleep(0.01)
    return set(found)


async def test_what_is_measured_becomes_the_choice_and_is_kept(repository: Path, tmp_path: Path) -> None:
    settings = Settings(repository=repository, host="127.0.0.1", port=0, metrics_port=0, calibration_folder=tmp_path / "kept")
    async with serving(settings) as running:
        chosen = await asyncio.to_thread(choices, running.metrics_port)
        assert chosen <= set(IMPLEMENTATIONS)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            response = await stub.ModelInfer(infer_request(np.zeros((1, 2, 3), np.float32)))
            assert response.parameters["implementation"].string_param in chosen
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".json"]


async def test_a_forced_implementation_is_not_measured_against_others(repository: Path, tmp_path: Path) -> None:
    settings = Settings(
        repository=repository, host="127.0.0.1", port=0, metrics_port=0, implementation="1", calibration_folder=tmp_path / "kept"
    )
    async with serving(settings) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        response = await stub.ModelInfer(infer_request(np.zeros((1, 2, 3), np.float32)))
        assert response.parameters["implementation"].string_param == "1"
        assert "cellserve_implementation_choice_info{" not in scrape(running.metrics_port)
    assert not (tmp_path / "kept").exists()


async def test_a_version_published_while_it_runs_is_served(repository: Path, tmp_path: Path) -> None:
    settings = Settings(repository=tmp_path / "new", host="127.0.0.1", port=0, metrics_port=0)
    async with serving(settings) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stub.ModelInfer(infer_request(np.zeros((1, 2, 3), np.float32), "late"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        publish(tmp_path / "new", "late")
        response = await stub.ModelInfer(infer_request(np.zeros((1, 2, 3), np.float32), "late"))
        assert response.model_version == "1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_what_was_accepted(repository: Path, processes: list[Process], number: int) -> None:
    server = Process(repository, HELD + SERVE, at_once_seconds=0)
    processes.append(server)
    port, metrics_port = server.ready()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.hold.touch()
        slow = [stub.ModelInfer.future(infer_request(np.zeros((4, 10, 3), np.float32))) for _ in range(3)]
        wait_for_rows(metrics_port, 3 * 4 * 10)
        server.process.send_signal(number)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(infer_request(np.zeros((1, 1, 3), np.float32)), timeout=LIMIT_SECONDS)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        server.hold.unlink()
        for future in slow:
            assert len(future.result(timeout=LIMIT_SECONDS).raw_output_contents[0]) == 4 * 4 * 4
    code, out, err = server.end()
    assert (code, out) == (0, ""), err


@pytest.mark.parametrize(("implementation", "objects"), [("auto", 50_000), ("fused", 100_000)])
def test_the_collector_is_spared_the_libraries(
    repository: Path, processes: list[Process], implementation: str, objects: int
) -> None:
    """A full collection stops the event loop: with torch's hundreds of thousands of objects in it, for a tenth of a second.

    Those come later than the others, with the first version that needs torch.
    """
    count = "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr)); "
    server = Process(repository, count + SERVE, implementation=implementation)
    processes.append(server)
    server.ready()
    server.process.terminate()
    code, _, err = server.end()
    assert code == 0, err
    assert int(err.split()[-1]) > objects


def test_what_cannot_be_finished_in_time_is_told_so(repository: Path, processes: list[Process]) -> None:
    server = Process(repository, HELD + SERVE, at_once_seconds=0, drain_seconds=0.05)
    processes.append(server)
    port, metrics_port = server.ready()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        server.hold.touch()
        slow = stub.ModelInfer.future(infer_request(np.zeros((4, 10, 3), np.float32)))
        wait_for_rows(metrics_port, 4 * 10)
        server.process.terminate()
        with pytest.raises(grpc.RpcError) as cut:
            slow.result(timeout=LIMIT_SECONDS)
        assert cut.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "[DRAINING]" in cut.value.details()
        server.hold.unlink()
    assert server.end()[0] == 0


async def test_live_sequences_are_written_whatever_fails_before(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bool:
        raise OverflowError("out of order")

    monkeypatch.setattr(Engine, "drain", broken)
    settings = Settings(repository=repository, host="127.0.0.1", port=0, metrics_port=0, session_directory=tmp_path / "sessions")

    async def live_and_stop() -> None:
        async with serving(settings) as running, AsyncClient(f"127.0.0.1:{running.port}") as client:
            live = await client.sequence("small").open()
            await live.feed(np.zeros((2, 3), np.float32))

    with pytest.raises(OverflowError, match="out of order"):
        await live_and_stop()
    assert [path for path in (tmp_path / "sessions").rglob("*") if path.is_file()]


def test_a_device_that_is_not_there_is_one_sentence(repository: Path, processes: list[Process]) -> None:
    server = Process(repository, device="cuda:99")
    processes.append(server)
    code, out, err = server.end()
    assert (code, out) == (2, "")
    assert re.fullmatch(r"cellserve: device 'cuda:99' is not there: .*; use cpu or auto\n", err), err


def test_a_dead_engine_ends_the_process_with_an_error(repository: Path, processes: list[Process]) -> None:
    server = Process(repository, BROKEN, at_once_seconds=0)
    processes.append(server)
    port, _ = server.ready()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.ModelInfer(infer_request(np.zeros((1, 1, 3), np.float32)), timeout=LIMIT_SECONDS)
        assert failed.value.code() is grpc.StatusCode.INTERNAL
        assert "ZeroDivision" not in failed.value.details()
    assert server.end()[0] == 1


@pytest.mark.parametrize("which", ["port", "metrics_port"])
def test_a_taken_port_is_one_sentence(repository: Path, processes: list[Process], which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Process(repository, **{which: port})
        processes.append(server)
        code, out, err = server.end()
    assert (code, out) == (1, "")
    said = [line for line in err.splitlines() if line.startswith("cellserve: ")]
    assert len(said) == 1
    assert f"127.0.0.1:{port}" in said[0]
    assert "Traceback" not in err
