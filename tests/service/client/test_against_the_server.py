"""Both clients against the whole server in this process: prediction, registry, half precision, TLS, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.spec import ModelSpec
from cellserve.service import errors
from cellserve.service.app import serving
from cellserve.service.client import AsyncClient, Client, ServiceUnavailable
from cellserve.service.config import Settings
from cellserve.service.pb import cellserve_pb2_grpc as pb_grpc
from cellserve.service.registry.repository.repository import Repository
from tests.models.networks import random_weights
from tests.service.client.fake_sequences import FakeSequences, sequence
from tests.service.registry.fakes import FakeImport, imported, measured_once, weights
from tests.service.tls import AUTHORITY, certificate, key

Asked = Callable[..., Awaitable[Any]]
ROWS = [np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32) for n in (7, 2, 5)]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """`digits` has the versions 1 (stable) and 2, `speech` has 1."""
    repository = Repository(tmp_path, gate=measured_once)
    for seed in range(2):
        repository.publish("digits", imported(seed), alias=None if seed else "stable")
    repository.publish("speech", imported())
    settings = Settings(repository=tmp_path, host="127.0.0.1", port=0, metrics_port=0, device="cpu", drain_seconds=5.0)
    async with serving(settings) as running:
        yield f"127.0.0.1:{running.port}"


@pytest.fixture(params=["sync", "async on calls", "async on a stream"])
def ask(request: pytest.FixtureRequest, url: str) -> Asked:
    """await ask("predict", …), in one client of each kind."""

    async def on_loop(method: str, *args: Any, settings: dict[str, Any] | None = None, **options: Any) -> Any:
        async with AsyncClient(url, streams=request.param == "async on a stream", **(settings or {})) as client:
            return await getattr(client, method)(*args, **options)

    async def in_thread(method: str, *args: Any, settings: dict[str, Any] | None = None, **options: Any) -> Any:
        def talk() -> Any:
            with Client(url, **(settings or {})) as client:
                return getattr(client, method)(*args, **options)

        return await asyncio.to_thread(talk)

    return in_thread if request.param == "sync" else on_loop


def expected(row: np.ndarray, seed: int = 0) -> np.ndarray:
    outputs, _ = reference.run(imported(seed).spec, weights(seed).arrays, (row[np.newaxis],), (len(row),))
    return outputs[0][0]


async def test_every_form_of_input_is_answered_as_the_oracle_answers(ask: Asked) -> None:
    np.testing.assert_allclose(await ask("predict", "digits", ROWS[0]), expected(ROWS[0]), atol=1e-5)
    for answer, row in zip(await ask("predict", "digits/2", ROWS), ROWS, strict=True):
        np.testing.assert_allclose(answer, expected(row, seed=1), atol=1e-5)
    batch = np.full((3, 7, 3), np.nan, np.float32)
    for place, row in zip(batch, ROWS, strict=True):
        place[: len(row)] = row
    answers = await ask("predict", "digits@stable", batch, lengths=[7, 2, 5], implementation="1")
    np.testing.assert_allclose(answers, [expected(row) for row in ROWS], atol=1e-5)


@pytest.mark.parametrize(("wire", "tolerance"), [("float32", 1e-5), ("float16", 5e-3), ("bfloat16", 5e-2)])
async def test_half_precision_is_rounded_once_and_widened_at_the_door(ask: Asked, wire: str, tolerance: float) -> None:
    answers = await ask("predict", "digits", ROWS, settings={"wire_dtype": wire})
    for answer, row in zip(answers, ROWS, strict=True):
        np.testing.assert_allclose(answer, expected(row), atol=tolerance)
    exact = np.round(ROWS[0] * 4) / 4
    np.testing.assert_allclose(await ask("predict", "digits", exact, settings={"wire_dtype": wire}), expected(exact), atol=1e-5)


DECODER = ModelSpec.model_validate(
    {
        "inputs": [{"name": "start", "kind": "vector", "width": 3}],
        "layers": [
            {"kind": "repeat_vector", "name": "again", "inputs": ["start"], "count": 5},
            {"kind": "gru", "name": "gru", "inputs": ["again"], "units": 4, "return_sequences": True},
        ],
        "outputs": ["gru"],
    }
)
POOLED = ModelSpec.model_validate(
    {
        "inputs": [{"name": "x", "width": 3}],
        "layers": [
            {"kind": "gru", "name": "gru", "inputs": ["x"], "units": 4, "return_sequences": True},
            {"kind": "pooling_1d", "name": "pool", "inputs": ["gru"], "mode": "max"},
        ],
        "outputs": ["pool", "gru"],
    }
)


async def test_a_decoder_alone_is_published_and_answers_its_own_number_of_steps(ask: Asked, tmp_path: Path) -> None:
    arrays = random_weights(DECODER)
    await asyncio.to_thread(Repository(tmp_path, gate=measured_once).publish, "decoder", FakeImport(DECODER, arrays))
    await ready(ask, "decoder")
    x = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    (right,), _ = reference.run(DECODER, arrays.arrays, (x,), (1,) * 4)
    np.testing.assert_allclose(await ask("predict", "decoder", x[:, np.newaxis]), right, atol=1e-5)
    with pytest.raises(errors.InvalidInput, match=r"takes vectors alone, which count as one step each: .*\[rows, 1, 3\]"):
        await ask("predict", "decoder", x)


async def test_outputs_of_fewer_steps_than_were_fed_are_cut_at_their_own_lengths(ask: Asked, tmp_path: Path) -> None:
    arrays = random_weights(POOLED)
    await asyncio.to_thread(Repository(tmp_path, gate=measured_once).publish, "pooled", FakeImport(POOLED, arrays))
    await ready(ask, "pooled")
    found = await ask("run", "pooled", ROWS)
    for index, row in enumerate(ROWS):
        (pooled, whole), _ = reference.run(POOLED, arrays.arrays, (row[np.newaxis],), (len(row),))
        np.testing.assert_allclose(found.outputs["outputs"][index], pooled[0], atol=1e-5)
        np.testing.assert_allclose(found.outputs["outputs_1"][index], whole[0], atol=1e-5)


async def ready(ask: Asked, model: str) -> None:
    """Until the server has taken the model up by itself."""
    while model not in await ask("models") or [one.state for one in await ask("versions", model)] != ["READY"]:
        await asyncio.sleep(0.05)


async def test_the_registry(ask: Asked) -> None:
    assert await ask("models") == ["digits", "speech"]
    assert [(each.version, each.state, each.aliases) for each in await ask("versions", "digits")] == [
        (1, "READY", ("stable",)),
        (2, "READY", ()),
    ]
    shown = await ask("show", "digits/2")
    assert (shown.status.version, shown.versions, shown.causal, shown.parameters) == (2, (1, 2), True, 138)
    assert [(each.name, each.kind, each.width) for each in shown.inputs] == [("inputs", "features", 3)]
    assert [(each.name, each.per_step, each.features) for each in shown.outputs] == [("outputs", False, (2,))]
    assert [each.name for each in shown.states] == ["0.h", "0.c"]
    assert {"0", "1", "2", "fused"} <= set(shown.offered)
    assert (shown.framework, shown.source_file, shown.tags) == ("keras 2.2.4", "digits.h5", {})
    moved = await ask("promote", "digits", 2)
    assert (moved.model, moved.version, moved.aliases) == ("digits", 2, ("stable",))
    np.testing.assert_allclose(await ask("predict", "digits", ROWS[0]), expected(ROWS[0], seed=1), atol=1e-5)
    assert (await ask("promote", "digits", 1, alias="canary")).aliases == ("canary",)
    assert (await ask("promote", "digits", 1, share=0.25)).aliases == ("canary", "stable")
    shown = await ask("show", "digits")
    assert (shown.status.version, shown.splits) == (2, {"stable": {2: 0.75, 1: 0.25}})
    assert [(move.after, move.split) for move in shown.alias_history if move.alias == "stable"][-1] == (2, {2: 0.75, 1: 0.25})
    await ask("promote", "digits", 2)
    assert (await ask("show", "digits")).splits == {}
    begun = await ask("promote_gradually", "digits", 1, 600.0, "errors > 1%")
    assert (begun.state, begun.version, begun.before, begun.share, begun.stop_if) == ("walking", 1, 2, 0.01, "errors > 1%")
    shown = await ask("show", "digits")
    assert (shown.splits, shown.rollouts[0].state) == ({"stable": {2: 0.99, 1: 0.01}}, "walking")
    assert shown.alias_history[-1].why == "gradually, 0s of 10m"
    await ask("promote", "digits", 2)


async def test_errors_are_the_same_however_they_travel(ask: Asked) -> None:
    cases: list[tuple[type[errors.ServiceError], str, tuple[Any, ...]]] = [
        (errors.UnknownModel, "predict", ("nobody", ROWS[0])),
        (errors.UnknownVersion, "predict", ("digits/9", ROWS[0])),
        (errors.InvalidInput, "predict", ("digits", np.ones((2, 9), np.float32))),
        (errors.InvalidInput, "predict", ("digits", np.full((2, 3), np.inf, np.float32))),
        (errors.UnknownModel, "show", ("nobody",)),
        (errors.UnknownModel, "versions", ("nobody",)),
        (errors.UnknownVersion, "promote", ("digits", 9)),
        (errors.InvalidInput, "promote", ("digits", 1, "7up")),
        (errors.InvalidInput, "promote", ("digits", 2, "stable", 1.5)),
        (errors.InvalidInput, "promote_gradually", ("digits", 2, 600.0, "errors > many")),
        (errors.InvalidInput, "promote_gradually", ("digits", 2, -1.0)),
    ]
    for kind, method, arguments in cases:
        with pytest.raises(errors.ServiceError) as caught:
            await ask(method, *arguments)
        assert type(caught.value) is kind
        assert caught.value.request_id
        assert not str(caught.value).startswith("[")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_tls_and_tokens(kind: type[Client | AsyncClient]) -> None:
    fake = FakeSequences()
    server = grpc.aio.server()
    pb_grpc.add_SequencesServicer_to_server(fake, server)
    credentials = grpc.ssl_server_credentials([(key("server").read_bytes(), certificate("server").read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()

    async def predict(**settings: Any) -> Any:
        if kind is AsyncClient:
            async with AsyncClient(f"grpcs://localhost:{port}", streams=False, **settings) as client:
                return await client.predict("digits", sequence(2))
        with Client(f"grpcs://localhost:{port}", **settings) as client:
            return await asyncio.to_thread(client.predict, "digits", sequence(2))

    try:
        answer = await predict(root_certificates=AUTHORITY.read_bytes(), token="t0k3n", timeout_seconds=60.0)
        np.testing.assert_array_equal(answer, sequence(2) + 1)
        assert fake.metadata[0]["authorization"] == "Bearer t0k3n"
        with pytest.raises((ServiceUnavailable, errors.DeadlineExpired)):
            await predict(timeout_seconds=2.0)  # the system's roots do not know this certificate
        assert len(fake.requests) == 1
    finally:
        await server.stop(None)
