"""A step model behind a real server: live sequences with their states, snapshots, forks, and what is refused at the door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto

from cellserve.models import importers
from cellserve.models.importers import ImportedStepModel
from cellserve.service.client import AsyncClient
from cellserve.service.errors import InvalidInput, RepositoryError
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.verifying import verify
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved
from tests.models.importers.onnx.test_step_models import FILES, filter_model, named, written
from tests.service.served import served

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(3)


def publish(root: Path, path: Path, name: str, description: Path | None = None) -> ImportedStepModel:
    imported = importers.load(path, description=description)
    assert isinstance(imported, ImportedStepModel)
    Repository(root).publish(name, imported, alias="stable")
    return imported


@asynccontextmanager
async def client_of(root: Path) -> AsyncIterator[AsyncClient]:
    async with served(root) as server, AsyncClient(f"127.0.0.1:{server.running.port}") as client:
        yield client


async def test_a_voice_detector_streams(tmp_path: Path) -> None:
    """Whole, frame by frame, on from a snapshot, and beside a fork that hears something else."""
    root = tmp_path / "repository"
    publish(root, FILES / "onnx_step_conv_lstm_state.onnx", "voice")
    with np.load(FILES / "onnx_step_conv_lstm_state.npz") as stored:
        frames, expected, last = stored["x0"][:, 0], stored["y0"][:, 0], stored["y1"]
    near = {"rtol": 1e-5, "atol": 2e-6}
    async with client_of(root) as client:
        whole = await client.run("voice", frames, return_state=True)
        np.testing.assert_allclose(whole.answer, expected, **near)
        np.testing.assert_allclose(whole.state["0.state"][0], last[:, 0].ravel(), **near)
        async with client.sequence("voice") as heard:
            found = [await heard.feed(frame) for frame in frames[:2]]
            snapshot = await heard.snapshot()
            fork = await client.fork("voice", heard.id)
            await heard.feed(np.zeros((3, 32), np.float32))
            found += [await fork.feed(frame) for frame in frames[2:]]
            np.testing.assert_allclose(found, expected, **near)
            await fork.close()
        again = await client.restore("voice", snapshot)
        assert again.position == 2
        np.testing.assert_allclose(await again.feed(frames[2:]), expected[2:], **near)
        await again.close()
        half = await client.run("voice", frames[:3], return_state=True)
        rest = await client.run("voice", frames[3:], initial_state=half.state)
        np.testing.assert_allclose(rest.answer, expected[3:], **near)
        shown = await client.show("voice")
        assert [(state.name, state.width) for state in shown.states] == [("0.state", 12)]
        assert shown.causal


async def test_a_hundred_streams_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    publish(root, FILES / "onnx_step_conv_lstm_state.onnx", "voice")
    with np.load(FILES / "onnx_step_conv_lstm_state.npz") as stored:
        frames, expected = stored["x0"][:, 0], stored["y0"][:, 0]

    async def stream(client: AsyncClient, late: int) -> None:
        async with client.sequence("voice") as heard:
            for _ in range(late % 3):
                await asyncio.sleep(0)
            found = [await heard.feed(frame) for frame in frames]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)

    async with client_of(root) as client:
        await asyncio.gather(*(stream(client, late) for late in range(100)))


async def test_whole_feeds_with_a_number_that_each_tells(tmp_path: Path) -> None:
    """Each feed is one call, whatever its length, at the rate that it names."""
    graph = OnnxGraph()
    scaled = graph.add("Mul", ["x", graph.add("Cast", ["rate"], to=TensorProto.FLOAT)])
    moved = graph.add("Add", ["h", graph.add("ReduceMax", [scaled], axes=[1], keepdims=1)])
    float_ = TensorProto.FLOAT
    outputs = [named(graph, graph.add("Add", [scaled, moved]), "y"), named(graph, moved, "hn")]
    model = graph.model(
        {"x": (float_, ["batch", "samples"]), "h": (float_, ["batch", 1]), "rate": (TensorProto.INT64, [])}, outputs
    )
    root = tmp_path / "repository"
    publish(root, saved(tmp_path / "m.onnx", model), "loud")
    feeds = [RANDOM.standard_normal(length).astype(np.float32) for length in (5, 1, 9)]
    async with client_of(root) as client:
        for rate in (2, 3):
            state = np.zeros((1, 1), np.float32)
            async with client.sequence("loud") as heard:
                for feed in feeds:
                    found = await heard.feed(feed[:, None], more_inputs=[np.float32([rate])])
                    y, state = asked(model, {"x": feed[None], "h": state, "rate": np.array(rate, np.int64)})
                    np.testing.assert_allclose(found[:, 0] if found.ndim > 1 else found, y[0], rtol=1e-6)
        with pytest.raises(InvalidInput, match="takes 2"):
            await client.run("loud", feeds[0][:, None])


async def test_what_a_graph_does_not_take_is_refused_at_the_door(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    publish(root, saved(tmp_path / "m.onnx", filter_model()), "filter", written(tmp_path, "initial: {state: 2.0}"))
    async with client_of(root) as client:
        x = np.zeros((2, 4), np.float32)
        with pytest.raises(InvalidInput, match="knows no masks"):
            await client.run("filter", x, mask=[True, False])
        with pytest.raises(InvalidInput, match="expected"):
            await client.run("filter", np.zeros((2, 5), np.float32))
        with pytest.raises(InvalidInput, match="finite"):
            await client.run("filter", np.full((1, 4), np.nan, np.float32))
        async with client.sequence("filter") as heard:
            np.testing.assert_array_equal(await heard.feed(x), [np.ones(4), np.full(4, 0.5)])


def test_a_graph_that_is_not_what_was_published(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    publish(root, saved(tmp_path / "m.onnx", filter_model()), "filter")
    assert [verdict.problem for verdict in verify(Repository(root))] == [""]
    graph = root / "filter" / "1" / "graph.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert "is not what was published" in next(iter(verify(Repository(root)))).problem
    graph.unlink()
    with pytest.raises(RepositoryError, match=r"graph\.onnx is missing"):
        Repository(root).weights("filter", 1)


async def test_feeds_of_a_multiple_answered_with_fewer_steps(tmp_path: Path) -> None:
    """Means of four samples each: how long a feed may be, and how many steps answer it, was found by running the graph."""
    graph = OnnxGraph()
    fours = graph.add("Reshape", ["x", graph.constant(np.array([0, -1, 4], np.int64))])
    means = graph.add("ReduceMean", [fours], axes=[2], keepdims=0)
    y = graph.add("Add", [means, "h"])
    outputs = [named(graph, y, "y"), named(graph, graph.add("ReduceMax", [y], axes=[1], keepdims=1), "hn")]
    float_ = TensorProto.FLOAT
    model = graph.model({"x": (float_, ["batch", "samples"]), "h": (float_, ["batch", 1])}, outputs)
    root = tmp_path / "repository"
    spec = publish(root, saved(tmp_path / "m.onnx", model), "fours").spec
    assert (spec.fewest_steps, spec.multiple_of, spec.answers[0].window) == (4, 4, (4, 4))
    async with client_of(root) as client:
        state = np.zeros((1, 1), np.float32)
        async with client.sequence("fours") as heard:
            for length in (8, 4, 20):
                feed = RANDOM.standard_normal(length).astype(np.float32)
                found = await heard.feed(feed[:, None])
                expected, state = asked(model, {"x": feed[None], "h": state})
                np.testing.assert_allclose(np.ravel(found), expected[0], rtol=1e-6)
            with pytest.raises(InvalidInput, match="multiples of 4"):
                await heard.feed(np.zeros((6, 1), np.float32))
        rows = [np.ones((length, 1), np.float32) for length in (4, 12, 4)]
        assert [answer.shape for answer in await client.predict("fours", rows)] == [(1,), (3,), (1,)]
