"""cellserve.v1.Registry over the whole server: a real repository, a real catalog, real networks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service.api.access.administration import is_local, require_administrator
from cellserve.service.app import serving
from cellserve.service.config import Settings
from cellserve.service.errors import AdministrationDenied
from cellserve.service.networks import parsed_networks
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.split_key import SPLIT_KEY
from tests.service.api.test_bad_requests import details_of, refusal
from tests.service.registry.fakes import imported, measured_once

READY = pb.VersionStatus.READY


@dataclass
class Server:
    """`digits` has the versions 1 (stable), 2 and 3; `speech` has 1."""

    repository: Repository
    registry: Any
    sequences: Any


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    repository = Repository(tmp_path, gate=measured_once)
    for seed in range(3):
        repository.publish("digits", imported(seed), alias=None if seed else "stable")
    repository.publish("speech", imported())
    settings = Settings(repository=tmp_path, host="127.0.0.1", port=0, metrics_port=0, device="cpu", drain_seconds=5.0)
    async with serving(settings) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        yield Server(repository, cellserve_pb2_grpc.RegistryStub(channel), cellserve_pb2_grpc.SequencesStub(channel))


async def until_current(watched: Any) -> AsyncIterator[pb.WatchReply]:
    """What is, as a watcher is told it first."""
    async for told in watched:
        if told.HasField("current"):
            watched.cancel()
            return
        yield told


async def answering(server: Server) -> str:
    """The version that answers a request without one."""
    inputs = pb.Tensor(shape=[1, 3], data=np.zeros(3, "<f4").tobytes())
    return (await server.sequences.Run(pb.RunRequest(model="digits", lengths=[1], inputs=inputs))).version


async def test_list_tells_every_version(server: Server) -> None:
    listed = (await server.registry.List(pb.ListRequest())).versions
    assert [(each.model, each.version, list(each.aliases)) for each in listed] == [
        ("digits", 1, ["stable"]),
        ("digits", 2, []),
        ("digits", 3, []),
        ("speech", 1, []),
    ]
    assert [each.state for each in listed] == [READY, pb.VersionStatus.UNKNOWN, READY, READY]
    assert [each.model for each in (await server.registry.List(pb.ListRequest(model="speech"))).versions] == ["speech"]
    error = await refusal(server.registry.List(pb.ListRequest(model="nobody")))
    assert details_of(error) == ("MODEL_UNKNOWN", ["model"])


@pytest.mark.parametrize(
    ("version", "number", "state"), [("", 1, READY), ("stable", 1, READY), ("2", 2, pb.VersionStatus.UNKNOWN)]
)
async def test_show_describes_a_version_loaded_or_not(server: Server, version: str, number: int, state: int) -> None:
    shown = await server.registry.Show(pb.ShowRequest(model="digits", version=version))
    assert (shown.status.version, shown.status.state, list(shown.versions)) == (number, state, [1, 2, 3])
    (given,), (output,) = shown.inputs, shown.outputs
    assert (given.name, given.kind, given.width) == ("inputs", pb.InputDescription.FEATURES, 3)
    assert (output.name, output.per_step, list(output.features)) == ("outputs", False, [2])
    assert [(each.name, each.layer, each.width) for each in shown.states] == [("0.h", "lstm", 4), ("0.c", "lstm", 4)]
    labels = {each.label: each for each in shown.implementations}
    assert {"0", "1", "2", "fused"} <= set(labels)
    assert all(bool(each.obstacle) or each.difference <= each.bound for each in labels.values())
    assert {each.bound for each in labels.values() if each.precision == "float32"} == {shown.parity_bound}
    assert not any(each.obstacle for each in labels.values() if each.precision == "float32")
    assert sum(each.is_default for each in labels.values()) == (1 if state == READY else 0)
    assert shown.causal
    assert (shown.source.framework, shown.source.file) == ("keras", "digits.h5")
    assert list(shown.notes) == ["dropout acts only in training and is ignored"]
    assert shown.weights_digest.startswith("sha256:")
    assert shown.parameters == 3 * 16 + 4 * 16 + 16 + 4 * 2 + 2
    assert shown.created_unix_seconds > 1.5e9
    assert (await server.registry.Show(pb.ShowRequest(model="digits", version=version))).status.state == state


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.ShowRequest(model="nobody"), "MODEL_UNKNOWN"),
        (pb.ShowRequest(model="digits", version="9"), "VERSION_UNKNOWN"),
        (pb.ShowRequest(model="digits", version="canary"), "VERSION_UNKNOWN"),
        (pb.ShowRequest(model="../digits"), "INVALID_INPUT"),
        (pb.ShowRequest(), "INVALID_INPUT"),
    ],
)
async def test_show_of_what_does_not_exist(server: Server, request_: pb.ShowRequest, reason: str) -> None:
    assert details_of(await refusal(server.registry.Show(request_)))[0] == reason


async def test_an_alias_answers_when_set_alias_has_replied(server: Server) -> None:
    assert await answering(server) == "1"
    for version, previous in ((2, 1), (3, 2), (3, 3), (1, 3)):
        reply = await server.registry.SetAlias(pb.SetAliasRequest(model="digits", alias="stable", version=version))
        assert (reply.status.version, reply.status.state, reply.previous_version) == (version, READY, previous)
        assert await answering(server) == str(version)
    reply = await server.registry.SetAlias(pb.SetAliasRequest(model="digits", alias="canary", version=2))
    assert (list(reply.status.aliases), reply.previous_version) == (["canary"], 0)
    assert server.repository.aliases("digits") == {"canary": 2, "stable": 1}


async def test_a_split_alias_answers_each_key_and_each_live_sequence_by_one_version(server: Server) -> None:
    request_ = pb.SetAliasRequest(model="digits", alias="stable", version=3, share=0.5)
    reply = await server.registry.SetAlias(request_)
    assert (reply.status.version, reply.previous_version, dict(reply.split)) == (3, 1, {3: 0.5, 1: 0.5})
    inputs = pb.Tensor(shape=[1, 3], data=np.zeros(3, "<f4").tobytes())
    request = pb.RunRequest(model="digits", lengths=[1], inputs=inputs)
    answered = {}
    for key in map(str, range(16)):
        replies = [await server.sequences.Run(request, metadata=((SPLIT_KEY, key),)) for _ in range(4)]
        opened = await server.sequences.Open(pb.OpenRequest(model="digits", sequence_id=key))
        fed = await server.sequences.Feed(pb.FeedRequest(model="digits", sequence_id=key, inputs=inputs))
        (answered[key],) = {*(reply.version for reply in replies), opened.version, fed.answer.version}
    assert set(answered.values()) == {"1", "3"}
    watched = server.registry.Watch(pb.WatchRequest(model="digits"))
    (alias,) = [told.alias async for told in until_current(watched) if told.HasField("alias")]
    assert (alias.alias, dict(alias.split)) == ("stable", {3: 0.5, 1: 0.5})


@pytest.mark.parametrize("stop_if", ["p50 > 0.001ms", "difference > 1e-06"])
async def test_an_alias_that_walks_goes_back_by_itself_when_a_bound_is_broken(server: Server, stop_if: str) -> None:
    """Answers of the versions differ; what both are asked is compared in idle time."""
    asked = pb.SetAliasRequest(model="digits", alias="stable", version=3, gradually_seconds=600, stop_if=stop_if)
    reply = await server.registry.SetAlias(asked)
    assert (reply.previous_version, dict(reply.split)) == (1, {3: 0.01, 1: 0.99})
    assert (reply.rollout.state, reply.rollout.share, reply.rollout.before) == (pb.Rollout.WALKING, 0.01, 1)
    inputs = pb.Tensor(shape=[1, 3], data=np.zeros(3, "<f4").tobytes())
    async with asyncio.timeout(30):
        while server.repository.alias_table("digits") != ({"stable": 1}, {}):
            await server.sequences.Run(pb.RunRequest(model="digits", version="3", lengths=[1], inputs=inputs))
            await asyncio.sleep(0.01)
        shown = await server.registry.Show(pb.ShowRequest(model="digits"))
        while shown.rollouts[0].state == pb.Rollout.WALKING or not shown.alias_history[-1].why.startswith("rolled back"):
            shown = await server.registry.Show(pb.ShowRequest(model="digits"))
    assert shown.rollouts[0].state == pb.Rollout.ROLLED_BACK
    assert stop_if in shown.rollouts[0].reason
    assert shown.alias_history[-1].why == f"rolled back: {shown.rollouts[0].reason}"
    assert shown.alias_history[-1].by == "the server"


async def test_who_moved_an_alias_over_the_wire_is_recorded(server: Server) -> None:
    await server.registry.SetAlias(pb.SetAliasRequest(model="digits", alias="canary", version=2))
    (move,) = [move for move in server.repository.alias_trail("digits").moves if move.alias == "canary"]
    assert move.by.startswith("a call from ipv4:127.0.0.1:")


async def test_an_alias_stays_where_it_was_when_its_version_cannot_be_loaded(server: Server) -> None:
    (server.repository.root / "digits/2/weights.safetensors").unlink()
    error = await refusal(server.registry.SetAlias(pb.SetAliasRequest(model="digits", alias="stable", version=2)))
    assert details_of(error)[0] == "VERSION_FAILED"
    assert await answering(server) == "1"
    assert server.repository.aliases("digits") == {"stable": 1}
    shown = await server.registry.Show(pb.ShowRequest(model="digits", version="2"))
    assert shown.status.state == pb.VersionStatus.FAILED
    assert "weights.safetensors" in shown.status.reason


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"version": 9}, "VERSION_UNKNOWN"),
        ({"version": 0}, "VERSION_UNKNOWN"),
        ({"alias": "7up"}, "INVALID_INPUT"),
        ({"alias": ""}, "INVALID_INPUT"),
        ({"model": "nobody"}, "MODEL_UNKNOWN"),
        ({"version": 3, "share": 1.5}, "INVALID_INPUT"),
        ({"version": 3, "share": -0.1}, "INVALID_INPUT"),
        ({"version": 3, "share": float("nan")}, "INVALID_INPUT"),
        ({"version": 1, "share": 0.5}, "INVALID_INPUT"),
        ({"version": 3, "share": 0.5, "alias": "canary"}, "INVALID_INPUT"),
        ({"version": 3, "share": 0.5, "gradually_seconds": 60}, "INVALID_INPUT"),
        ({"version": 3, "gradually_seconds": -60}, "INVALID_INPUT"),
        ({"version": 3, "stop_if": "errors > 1%"}, "INVALID_INPUT"),
        ({"version": 3, "gradually_seconds": 60, "stop_if": "errors"}, "INVALID_INPUT"),
        ({"version": 9, "gradually_seconds": 60}, "VERSION_UNKNOWN"),
    ],
)
async def test_aliases_that_cannot_be_set(server: Server, asked: dict[str, Any], reason: str) -> None:
    request = pb.SetAliasRequest(**({"model": "digits", "alias": "stable", "version": 1} | asked))
    assert details_of(await refusal(server.registry.SetAlias(request)))[0] == reason


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("ipv4:127.0.0.1:4711", True),
        ("ipv4:127.8.9.1:4711", True),
        ("ipv6:%5B::1%5D:4711", True),
        ("ipv6:[::ffff:127.0.0.1]:4711", True),
        ("unix:", True),
        ("unix:/run/cellserve.sock", True),
        ("ipv4:10.0.0.7:4711", False),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", False),
        ("ipv6:[::ffff:10.0.0.7]:4711", False),
        ("ipv4:127.0.0.1.example:4711", False),
        ("vsock:1:2", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_who_is_on_this_machine(peer: str, local: bool) -> None:
    assert is_local(peer) is local


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("ipv4:127.0.0.1:1", True),
        ("ipv4:172.18.0.1:1", True),
        ("ipv6:[::ffff:172.18.0.1]:1", True),
        ("unix:", True),
        ("ipv4:192.168.0.1:1", False),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", False),
        ("", False),
    ],
)
def test_networks_that_were_named_may_administer_too(peer: str, allowed: bool) -> None:
    networks = parsed_networks("172.16.0.0/12")
    if allowed:
        require_administrator(peer, networks)
        return
    with pytest.raises(AdministrationDenied, match="--administration-from for the network that you call from"):
        require_administrator(peer, networks)


def test_whoever_is_refused_is_told_where_it_calls_from() -> None:
    with pytest.raises(AdministrationDenied, match=r"this call comes from 172\.18\.0\.1"):
        require_administrator("ipv4:172.18.0.1:4711")
