"""Servers that a real Ray keeps running: what dies is replaced, more come when much waits and go again; no request meets Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.service.client import AsyncClient, Client, RetryPolicy
from tests.e2e.rays import CPUS, TOKEN, head
from tests.e2e.replicas import require_right
from tests.e2e.venvs import interpreter
from tests.service.cluster.running import LIMIT_SECONDS, Running, cluster, missing
from tests.service.processes import Process

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine")]

FEW, MANY = 2, 3
SEQUENCES, WAITING = 12, 6
LONG_STEPS = 20_000
REST_SECONDS = 20.0


@contextmanager
def kept_by_ray(folder: Path, *further: str) -> Iterator[Running]:
    given = ("--supervisor", "ray", "--ray-python", str(interpreter("ray")), *further)
    with cluster(folder, *given, replicas=FEW) as running:
        yield running


def processes(inside: int) -> dict[int, str]:
    """Those that Ray has started for the program `inside`, with their command lines, but for the servers."""
    listed = subprocess.run(("ps", "-eo", "pid=,ppid=,args="), capture_output=True, text=True, check=True).stdout
    parents, lines = {}, {}
    for line in listed.splitlines():
        pid, parent, text = line.split(maxsplit=2)
        parents[int(pid)], lines[int(pid)] = int(parent), text

    def below(pid: int) -> bool:
        return pid == inside or (pid in parents and below(parents[pid]))

    return {pid: text for pid, text in lines.items() if below(pid) and " serve " not in text}


def cpu_seconds(pids: Iterator[int] | list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def ready(state: dict[str, Any]) -> set[int]:
    return {each["pid"] for each in state["replicas"] if each["state"] == "ready"}


def replaced(running: Running, victim: int, killed: int) -> float:
    """Seconds from a kill until as many serve as before, none of them the one that is gone. killed: what is killed."""
    before = ready(running.state())
    began = time.monotonic()
    os.kill(killed, signal.SIGKILL)
    running.wait_until(lambda state: victim not in ready(state) and len(ready(state)) == len(before))
    return time.monotonic() - began


def test_what_dies_is_replaced_and_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = np.random.default_rng(4).normal(size=(6, 3)).astype(np.float32)
    with kept_by_ray(tmp_path) as running, Client(running.url) as client, client.sequence("small", "mine") as sequence:
        inside = running.state()["ray"]["pid"]
        assert not [text for text in processes(inside).values() if "Proxy" in text]  # nothing of Ray's listens for requests
        answers = [sequence.feed(steps[0][np.newaxis])]
        began, used = time.monotonic(), cpu_seconds(list(before := processes(inside)))
        time.sleep(REST_SECONDS)
        rest = (cpu_seconds(list(before)) - used) / (time.monotonic() - began)

        server = running.replica(0)["pid"]
        start = alone(tmp_path / "repository")
        in_place = replaced(running, server, server)
        answers.append(sequence.feed(steps[1][np.newaxis]))
        actors = {pid for pid, text in processes(inside).items() if text.startswith("ray::ServeReplica")}
        actor = min(actors)
        (server,) = (each["pid"] for each in running.state()["replicas"] if parent(each["pid"]) == actor)
        with_actor = replaced(running, server, actor)
        answers += [sequence.feed(step[np.newaxis]) for step in steps[2:]]
        require_right(answers, steps)
        assert [each["name"] for each in running.state()["replicas"]] == ["replica-0", "replica-1"]
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in ready(running.state())} == {os.getpriority(os.PRIO_PROCESS, 0)}
        everything = [*processes(inside), *ready(running.state())]
    assert [pid for pid in everything if Path(f"/proc/{pid}").exists()] == []
    with capsys.disabled():
        print(
            f"\nRay at rest: {rest:.3f} of a core; a server replaced in {in_place / start:.1f} times its start ({start:.1f} s), "
            f"with its actor in {with_actor / start:.1f}"
        )


def alone(repository: Path) -> float:
    """Seconds that a server takes to start which nobody keeps."""
    began = time.monotonic()
    process = Process(repository)
    process.ready()
    took = time.monotonic() - began
    process.process.terminate()
    process.end()
    return took


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_more_come_when_much_waits_and_go_again_under_load(tmp_path: Path) -> None:
    """Feeds all the while, by a client that never asks twice."""
    scaling = ("--max-replicas", str(MANY), "--waiting-timesteps", "1000", "--fewer-after", "4")
    with kept_by_ray(tmp_path, *scaling) as running:
        done, enough = asyncio.Event(), asyncio.Event()
        async with AsyncClient(running.url, retry=RetryPolicy(attempts=1), streams=False) as client:

            async def walk(seed: int) -> None:
                generator = np.random.default_rng(seed)
                steps, answers = [], []
                async with client.sequence("small", f"walk-{seed}") as sequence:
                    while not done.is_set():
                        steps.append(generator.normal(size=3).astype(np.float32))
                        answers.append(await sequence.feed(steps[-1][np.newaxis]))
                        await asyncio.sleep(0.05)
                require_right(answers, np.asarray(steps))

            async def wait_long() -> None:
                while not enough.is_set():
                    await client.predict("small", np.ones((LONG_STEPS, 3), np.float32))

            async with asyncio.TaskGroup() as group:
                for seed in range(SEQUENCES):
                    group.create_task(walk(seed))
                for _ in range(WAITING):
                    group.create_task(wait_long())
                await seen(running, MANY)
                enough.set()
                await seen(running, FEW)
                done.set()


async def seen(running: Running, serving: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while len(ready(running.state())) != serving:
            await asyncio.sleep(0.05)


def test_a_ray_that_there_is_already_is_joined_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (TOKEN | {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}).items():
        monkeypatch.setenv(name, value)
    python = interpreter("ray")
    with head(python.parent / "ray", tmp_path, os.environ) as address, kept_by_ray(tmp_path, "--ray-address", address) as running:
        with Client(running.url) as client, client.sequence("small", "mine") as sequence:
            steps = np.random.default_rng(5).normal(size=(3, 3)).astype(np.float32)
            require_right([sequence.feed(step[np.newaxis]) for step in steps], steps)
        running.end()
        asked = (
            f"import ray; ray.init({address!r}, log_to_driver=False); print(len(ray.nodes()), ray.available_resources()['CPU'])"
        )
        left = subprocess.run((str(python), "-c", asked), capture_output=True, text=True, check=True).stdout
        assert left.split() == ["1", f"{CPUS}.0"]  # it lives, and nothing is taken
