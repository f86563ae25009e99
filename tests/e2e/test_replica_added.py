"""A replica more, behind live sequences: those that move are read from the store, once each, and no others are."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import AsyncClient
from cellserve.service.cluster import binaries
from cellserve.service.cluster.envoy.plan import Endpoint, EndpointsFile, ProxyPlan
from cellserve.service.cluster.envoy.upstream import ping_seconds
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import Keeper
from cellserve.service.cluster.proxy import Proxy
from tests.e2e.replicas import replicas, require_right
from tests.service.cluster.running import missing
from tests.service.valkey_server import free_port, valkey

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine")]

SEQUENCES = int(os.environ.get("MOVED_SEQUENCES", 300))
BEFORE, AFTER = 2, 3  # feeds of each


async def test_it_costs_about_as_many_reads_as_sequences_move(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = np.random.default_rng(8).normal(size=(SEQUENCES, BEFORE + AFTER, 3)).astype(np.float32)
    with (
        valkey(tmp_path / "valkey") as store,
        replicas(tmp_path, store, 3) as servers,
        tempfile.TemporaryDirectory(prefix="cellserve-") as sockets,
    ):
        endpoints = [Endpoint(f"replica-{number}", "127.0.0.1", port) for number, port in enumerate(servers.ports)]
        folder, port = Folder(tmp_path / "proxy"), free_port()
        folder.root.mkdir()
        admin = Path(sockets) / "admin"
        plan = ProxyPlan("127.0.0.1", port, EndpointsFile(str(folder.endpoints)), str(admin), 1 << 20, ping_seconds(10.0))
        proxy = Proxy(binaries.envoy(), folder, plan, admin, threads=1)
        proxy.publish(endpoints[:2])
        keeper = Keeper(proxy, folder, lambda: None)
        await keeper.ready()
        await proxy.wait_for(2)
        try:
            async with AsyncClient(f"127.0.0.1:{port}", streams=False) as client:
                live = [client.sequence("small", f"sequence-{number}") for number in range(SEQUENCES)]
                await asyncio.gather(*(each.open() for each in live))
                answers = [
                    [await each.feed(steps[number, at][np.newaxis]) for at in range(BEFORE)] for number, each in enumerate(live)
                ]
                before, loaded = {each.id: each.replica for each in await client.sequences()}, servers.counted("loaded")

                proxy.publish(endpoints)
                await proxy.wait_for(3)
                for at in range(BEFORE, BEFORE + AFTER):
                    for number, each in enumerate(live):
                        answers[number].append(await each.feed(steps[number, at][np.newaxis]))
                after, loads = {each.id: each.replica for each in await client.sequences()}, servers.counted("loaded") - loaded
        finally:
            await keeper.stop()
    for told, fed in zip(answers, steps, strict=True):
        require_right(told, fed)
    moved = [name for name in before if before[name] != after[name]]
    with capsys.disabled():
        print(f"\na third replica: {len(moved)} of {SEQUENCES} sequences moved, and {loads} were read from the store")
    assert 0 < len(moved) < 0.6 * SEQUENCES  # a third is due, and the ring of fewer points for each moves some between the others
    assert len(moved) <= loads <= 1.3 * len(moved)
