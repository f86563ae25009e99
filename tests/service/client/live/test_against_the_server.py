"""Live sequences of both clients against the whole server in this process: a life, restarts, broken connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service import errors
from cellserve.service.app import Running, serving
from cellserve.service.client import AsyncClient, Client, Prediction, RetryPolicy
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import imported, measured_once, weights

X = np.random.default_rng(8).normal(size=(24, 3)).astype(np.float32)
KINDS = ["sync", "async on calls", "async on a stream"]


class Proxy:
    """Between a client and a server: `cut` breaks every connection that is open, `lose_replies` lets nothing come back first."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._open: set[asyncio.StreamWriter] = set()
        self.lose_replies = False
        self.address = ""

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    def cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._open |= {writer, ours}
        await asyncio.gather(self._carry(reader, ours, back=False), self._carry(theirs, writer, back=True))
        self._open -= {writer, ours}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: bool) -> None:
        try:
            while data := await reader.read(65536):
                if back and self.lose_replies:
                    continue
                writer.write(data)
        except OSError:
            writer.transport.abort()
            return
        writer.close()


@asynccontextmanager
async def server(root: Path, port: int = 0, **settings: Any) -> AsyncIterator[Running]:
    chosen = Settings(
        repository=root,
        host="127.0.0.1",
        port=port,
        metrics_port=0,
        device="cpu",
        implementation="2",
        drain_seconds=5.0,
        **settings,
    )
    async with serving(chosen) as running:
        yield running


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """`digits` has the versions 1 (stable) and 2."""
    for seed in range(2):
        Repository(tmp_path, gate=measured_once).publish("digits", imported(seed), alias=None if seed else "stable")
    return tmp_path


@pytest.fixture
async def running(root: Path) -> AsyncIterator[Running]:
    async with server(root) as started:
        yield started


class Both:
    """await both(client.method, …): of either client."""

    def __init__(self, kind: str, url: str, **settings: Any) -> None:
        self.sync = kind == "sync"
        settings = {"retry": RetryPolicy(attempts=30, first_wait_seconds=0.02, longest_wait_seconds=0.1)} | settings
        self.client: Any = Client(url, **settings) if self.sync else AsyncClient(url, streams=kind.endswith("stream"), **settings)

    async def __call__(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self.sync:
            return await asyncio.to_thread(method, *args, **options)
        result = method(*args, **options)
        return await result if isinstance(result, Awaitable) else result

    async def __aenter__(self) -> Both:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self(self.client.close)


@pytest.fixture(params=KINDS)
async def both(request: pytest.FixtureRequest, running: Running) -> AsyncIterator[Both]:
    async with Both(request.param, f"127.0.0.1:{running.port}") as made:
        yield made


def expected(steps: int, seed: int = 0, state: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """The answer for the first `steps` of X."""
    outputs, _ = reference.run(imported(seed).spec, weights(seed).arrays, (X[np.newaxis, :steps],), (steps,), state=state)
    return outputs[0][0]


def same(answer: Any, steps: int, seed: int = 0) -> None:
    np.testing.assert_allclose(answer, expected(steps, seed), atol=1e-5)


async def test_a_block_opens_feeds_and_closes(both: Both) -> None:
    sequence = both.client.sequence("digits")
    assert (sequence.model, sequence.version, sequence.position, len(sequence.id)) == ("digits", 0, 0, 32)
    await both(sequence.open)
    await both(sequence.open)
    same(await both(sequence.feed, X[:5]), 5)
    same(await both(sequence.feed, X[5]), 6)
    whole = await both(sequence.run, X[6:9], return_state=True, implementation="1")
    assert isinstance(whole, Prediction)
    assert (whole.version, whole.implementation, set(whole.state)) == (1, "1", {"0.h", "0.c"})
    same(whole.answer, 9)
    with_state = await both(sequence.feed, X[9:10], return_state=True)
    assert isinstance(with_state, Prediction)
    assert (sequence.position, sequence.version) == (10, 1)
    assert sequence.epoch
    (listed,) = await both(both.client.sequences, "digits")
    assert (listed.id, listed.position, listed.version, listed.epoch) == (sequence.id, 10, 1, sequence.epoch)
    await both(sequence.close)
    await both(sequence.close)
    assert await both(both.client.sequences) == []
    with pytest.raises(errors.InvalidInput, match="closed"):
        await both(sequence.feed, X[:1])


async def test_the_blocks_of_both_clients(running: Running) -> None:
    url = f"127.0.0.1:{running.port}"

    def in_thread() -> None:
        with Client(url) as client:
            with client.sequence("digits/2", 42) as s:
                same(s.feed(X[:3]), 3, seed=1)
                assert (s.id, [each.id for each in client.sequences()]) == ("42", ["42"])
            assert client.sequences() == []

    await asyncio.to_thread(in_thread)
    async with AsyncClient(url) as client:
        with pytest.raises(ZeroDivisionError):
            await fails_within(client)
        assert await client.sequences() == []
        not_open = client.sequence("digits")
        with pytest.raises(errors.InvalidInput, match="not open"):
            await not_open.feed(X)


async def fails_within(client: AsyncClient) -> None:
    async with client.sequence("digits@stable") as s:
        same(await s.feed(X[:3]), 3)
        raise ZeroDivisionError


async def test_it_begins_where_it_is_told_to(both: Both) -> None:
    state = {"0.h": np.full(4, 0.5, np.float32), "0.c": np.full((1, 4), -0.5, np.float32)}
    sequence = await both(both.client.sequence("digits", initial_state=state).open)
    answer = await both(sequence.feed, X[:4])
    oracle = {"0.h": np.full((1, 4), 0.5), "0.c": np.full((1, 4), -0.5)}
    np.testing.assert_allclose(answer, expected(4, state=oracle), atol=1e-5)


async def test_ids_are_taken_and_taken_over(both: Both) -> None:
    first = await both(both.client.sequence("digits", "mine").open)
    await both(first.feed, X[:2])
    with pytest.raises(errors.SequenceExists):
        await both(both.client.sequence("digits", "mine").open)
    second = await both(both.client.sequence("digits", "mine", restart=True).open)
    same(await both(second.feed, X[:3]), 3)
    with pytest.raises(errors.SequenceLost) as caught:
        await both(first.feed, X[2:3])
    assert caught.value.request_id
    same(await both(second.feed, X[3:4]), 4)
    again = await both(both.client.attach, "digits", "mine")
    assert again.position == 4
    same(await both(again.feed, X[4:5]), 5)
    with pytest.raises(errors.SequencePosition) as elsewhere:
        await both(second.feed, X[4:6])
    assert (elsewhere.value.position, second.position) == (5, 4)
    with pytest.raises(errors.SequenceUnknown):
        await both(both.client.attach, "digits", "yours")


async def test_copies_and_snapshots_go_their_own_way(both: Both) -> None:
    source = await both(both.client.sequence("digits").open)
    await both(source.feed, X[:6])
    taken = await both(source.snapshot)
    fork = await both(both.client.fork, "digits", source.id, "copy")
    await both(source.feed, -X[6:9])
    restored = await both(both.client.restore, "digits", taken)
    for sequence in (fork, restored):
        assert (sequence.position, sequence.version) == (6, 1)
        same(await both(sequence.feed, X[6:8]), 8)
    assert {each.id for each in await both(both.client.sequences)} == {source.id, "copy", restored.id}
    with pytest.raises(errors.SequenceExists):
        await both(both.client.restore, "digits", taken, "copy")
    same(await both((await both(both.client.restore, "digits", taken, "copy", restart=True)).feed, X[6:8]), 8)
    with pytest.raises(errors.InvalidInput):
        await both(both.client.restore, "digits", taken[:-1])


async def test_it_stays_on_its_version_through_a_promotion(both: Both) -> None:
    sequence = await both(both.client.sequence("digits").open)
    same(await both(sequence.feed, X[:3]), 3)
    await both(both.client.promote, "digits", 2)
    same(await both(sequence.feed, X[3:6]), 6)
    newer = await both(both.client.sequence("digits").open)
    same(await both(newer.feed, X[:3]), 3, seed=1)
    assert (sequence.version, newer.version) == (1, 2)


async def test_refusals_leave_it_where_it_was(both: Both) -> None:
    sequence = await both(both.client.sequence("digits").open)
    await both(sequence.feed, X[:2])
    for bad in (np.ones((2, 7), np.float32), np.full((1, 3), np.nan, np.float32), np.ones((2, 2, 3), np.float32)):
        with pytest.raises(errors.InvalidInput):
            await both(sequence.feed, bad)
    same(await both(sequence.feed, X[2:4]), 4)
    with pytest.raises(errors.UnknownModel):
        await both(both.client.sequence("nobody").open)


@pytest.mark.parametrize("kind", KINDS)
async def test_connections_that_break_lose_and_double_nothing(running: Running, kind: str) -> None:
    proxy = Proxy(running.port)
    listening = await proxy.start()
    async with Both(kind, proxy.address) as both:
        sequence = await both(both.client.sequence("digits").open)
        for step in range(0, 24, 2):
            proxy.lose_replies = step % 6 == 2  # the server answers, and nobody hears it
            feeding = asyncio.ensure_future(both(sequence.feed, X[step : step + 2]))
            if proxy.lose_replies:
                await fed(running, sequence.id, step + 2, both_url=f"127.0.0.1:{running.port}")
                proxy.lose_replies = False
                proxy.cut()
            elif step % 6 == 4:
                proxy.cut()
            same(await feeding, step + 2)
        assert sequence.position == 24
    listening.close()


async def fed(running: Running, sequence_id: str, position: int, both_url: str) -> None:
    """Returns when the server has consumed so much."""
    async with AsyncClient(both_url) as other, asyncio.timeout(30):
        while (await other.attach("digits", sequence_id)).position < position:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_goes_on_after_the_server_was_restarted(root: Path, kind: str) -> None:
    async with server(root) as running:
        port = running.port
        both = Both(kind, f"127.0.0.1:{port}")
        sequence = await both(both.client.sequence("digits").open)
        same(await both(sequence.feed, X[:7]), 7)
        epoch = sequence.epoch
    async with server(root, port), both:
        same(await both(sequence.feed, X[7:9]), 9)
        assert sequence.epoch != epoch
        same(await both(sequence.feed, X[9:12]), 12)
        assert sequence.position == 12


async def test_a_hundred_sequences_side_by_side(running: Running) -> None:
    async with AsyncClient(f"127.0.0.1:{running.port}") as client:

        async def live(number: int) -> None:
            async with client.sequence("digits") as s:
                for step in range(number % 4, 12):
                    answer = await s.feed(X[step])
                state = None
                outputs, _ = reference.run(
                    imported(0).spec, weights(0).arrays, (X[np.newaxis, number % 4 : 12],), (12 - number % 4,), state=state
                )
                np.testing.assert_allclose(answer, outputs[0][0], atol=1e-5)

        await asyncio.gather(*(live(number) for number in range(100)))
        assert await client.sequences() == []


async def test_feeds_of_one_object_are_applied_in_the_order_of_the_calls(running: Running) -> None:
    async with AsyncClient(f"127.0.0.1:{running.port}") as client, client.sequence("digits") as s:
        answers = await asyncio.gather(*(s.feed(X[step]) for step in range(24)))
        for step, answer in enumerate(answers):
            same(answer, step + 1)


async def test_a_feed_given_up_half_way_is_settled(running: Running) -> None:
    async with AsyncClient(f"127.0.0.1:{running.port}") as client, client.sequence("digits") as s:
        await s.feed(X[:2])
        feeding = asyncio.create_task(s.feed(X[2:4]))
        await asyncio.sleep(0)
        feeding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeding
        position = 4 if await s.settle() else 2
        assert s.position == position
        same(await s.feed(X[position:6]), 6)
