"""The whole thing, as a person starts it: `cellserve cluster up`, with a real Valkey, a real Envoy and real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest

from cellserve.service.client import Client, RetryPolicy
from cellserve.service.errors import StoreUnavailable
from cellserve.service.pb import cellserve_pb2_grpc
from tests.service.cluster.running import COMMAND, LIMIT_SECONDS, cluster, missing
from tests.service.served import publish
from tests.service.valkey_server import free_port

QUIET_SECONDS = 15.0  # of them so many pings that a server would have ended the connection

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine")]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((*COMMAND, *arguments), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_cluster_from_its_start_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    with cluster(tmp_path) as running:
        assert running.facts.keys() == {"url", "replicas", "store"}
        assert [sorted(each) for each in running.facts["replicas"]] == [["pid", "url"]] * 2
        steps = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
        with Client(running.url) as client, client.sequence("small", "mine") as sequence:
            for number, step in enumerate(steps):
                answer = sequence.feed(step[np.newaxis])
                if number == 2:
                    for which in range(2):  # whichever it lived on
                        running.kill(which)
                        running.wait_for(which, 1)
                    os.kill(running.state()["proxy"]["pid"], signal.SIGKILL)
                    running.wait_until(lambda state: (state["proxy"]["restarts"], state["proxy"]["state"]) == (1, "ready"))
            assert sequence.position == len(steps)
            np.testing.assert_allclose(answer, client.predict("small", steps), rtol=1e-5, atol=1e-6)
            assert [each.replica for each in client.sequences()] in (["replica-0"], ["replica-1"])

        shown = run("status", "--folder", str(folder))
        assert shown.returncode == 0, shown.stderr
        assert all(word in shown.stdout for word in ("replica-0", "replica-1", "proxy", "store", running.url))
        second = run("up", "--folder", str(folder), "--port", "0", "--repository", str(tmp_path / "repository"))
        assert second.returncode == 1
        assert "runs in" in second.stderr
        taken = run("up", "--folder", str(tmp_path / "other"), "--port", running.url.partition(":")[2])
        assert "cannot listen on" in taken.stderr

        state = running.state()
        pids = [each["pid"] for each in (*state["replicas"], state["store"], state["proxy"])]
        ended = run("down", "--folder", str(folder))
        assert ended.returncode == 0, ended.stderr
        assert running.process.wait(LIMIT_SECONDS) == 0
        assert [pid for pid in pids if not gone(pid)] == []
    assert run("status", "--folder", str(folder)).returncode == 1


async def test_a_stream_on_which_nothing_is_said_for_long_stays(tmp_path: Path) -> None:
    """Envoy asks its connections whether they live, and servers count who asks without saying anything."""
    with cluster(tmp_path, replicas=1, MIN_PING_INTERVAL_SECONDS="1") as running:
        async with grpc.aio.insecure_channel(running.url) as channel:
            call = cellserve_pb2_grpc.SequencesStub(channel).Stream()
            ended = asyncio.create_task(call.read())
            await asyncio.wait((ended,), timeout=QUIET_SECONDS)
            assert not ended.done()
            call.cancel()
        assert running.counted(0, "cellserve_connections_ended_total", 'cause="pings"') == 0


def test_a_store_that_is_away_keeps_nobody_from_starting(tmp_path: Path) -> None:
    with cluster(tmp_path, "--session-store", f"valkey://127.0.0.1:{free_port()}") as running, Client(running.url) as client:
        assert client.predict("small", np.ones((2, 3), np.float32)).shape == (4,)
        with Client(running.url, retry=RetryPolicy(attempts=1)) as once, pytest.raises(StoreUnavailable):
            once.sequence("small").open()


def test_a_server_that_cannot_start_is_told_and_all_else_ended(tmp_path: Path) -> None:
    publish(tmp_path / "repository")
    done = run(
        *("up", "--port", "0", "--repository", str(tmp_path / "repository"), "--folder", str(tmp_path / "cluster")),
        *("--", "--device", "cuda:77"),
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "before it was ready" in done.stderr
    assert "cuda" in done.stderr
    assert "does not answer" not in done.stderr


def test_what_is_the_clusters_own_may_not_be_said_of_its_servers(tmp_path: Path) -> None:
    done = run("up", "--repository", str(tmp_path), "--", "--port", "1")
    assert done.returncode == 2
    assert "--port" in done.stderr
