"""Jobs in processes of their own: one after the other by the same one, and each failure told."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from cellserve.service.errors import RepositoryError, UnknownModel, VersionRefused
from cellserve.service.registry.publishing.jobs import Jobs

PATIENCE_SECONDS = 60.0
WORKER = """
import json, os, signal, socket, sys
jobs = socket.socket(fileno=int(sys.argv[1]))
while True:
    text, held, _, _ = socket.recv_fds(jobs, 1 << 20, 8)
    while text and not text.endswith(b"\\n"):
        text += jobs.recv(1 << 20)
    if not text:
        break
    job = json.loads(text)
    for line in job["says"]:
        print(json.dumps(line), flush=True)
    if job.get("dies"):
        os.kill(os.getpid(), job["dies"])
    if job.get("exits"):
        sys.exit(job["exits"])
    if job.get("hangs"):
        signal.pause()
    print(json.dumps({"pid": os.getpid(), "held": len(held), "bytes": len(text)}), flush=True)
    for each in held:
        os.close(each)
    print(json.dumps({"done": True}), flush=True)
"""


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    made = Jobs((sys.executable, "-S", "-c", WORKER), idle_seconds=PATIENCE_SECONDS)
    yield made
    await made.stop()


def job(*says: dict[str, Any], **how: object) -> dict[str, Any]:
    return {"says": list(says), **how}


async def gone(pid: int) -> bool:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)
    return True


async def test_one_process_does_one_job_after_the_other(jobs: Jobs) -> None:
    first, second = await jobs.result(job()), await jobs.result(job())
    assert first["pid"] == second["pid"] != os.getpid()


async def test_jobs_that_come_together_take_turns(jobs: Jobs) -> None:
    results = await asyncio.gather(*(jobs.result(job()) for _ in range(5)))
    assert len({result["pid"] for result in results}) == 1


async def test_a_job_larger_than_what_a_socket_holds_arrives_whole(jobs: Jobs) -> None:
    assert (await jobs.result(job(words="x" * 3_000_000)))["bytes"] > 3_000_000


async def test_a_process_holds_what_it_is_given_until_it_is_done(jobs: Jobs, tmp_path: Path) -> None:
    def locked() -> bool:
        other = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(other)
        return False

    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    async with aclosing(jobs.lines(job({"says": 1}, hangs=True), (lock,))) as lines:
        assert await anext(lines) == {"says": 1}
        os.close(lock)
        assert locked()
    assert not locked()
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert (await jobs.result(job(), (lock,)))["held"] == 1
    os.close(lock)
    assert not locked()  # though the process is there


async def test_a_process_that_nobody_needs_any_longer_goes() -> None:
    jobs = Jobs((sys.executable, "-S", "-c", WORKER), idle_seconds=0.0)
    assert await gone((await jobs.result(job()))["pid"])
    await jobs.stop()


async def test_one_that_was_killed_while_it_waited_is_replaced(jobs: Jobs) -> None:
    pid = (await jobs.result(job()))["pid"]
    os.kill(pid, 9)
    assert await gone(pid)
    assert (await jobs.result(job()))["pid"] != pid


@pytest.mark.parametrize(
    ("how", "told"), [({"dies": 9}, "ended by signal 9"), ({"exits": 3}, "ended with exit code 3; its words are in")]
)
async def test_one_that_crashes_refuses_its_job_and_is_replaced(jobs: Jobs, how: dict[str, int], told: str) -> None:
    pid = (await jobs.result(job()))["pid"]
    with pytest.raises(VersionRefused, match=told):
        await jobs.result(job(**how))
    assert (await jobs.result(job()))["pid"] != pid


async def test_a_refusal_keeps_its_reason_and_takes_its_process_along(jobs: Jobs) -> None:
    pid = (await jobs.result(job()))["pid"]
    with pytest.raises(UnknownModel, match="no model"):
        await jobs.result(job({"refused": "there is no model", "reason": UnknownModel.reason}))
    assert await gone(pid)
    assert (await jobs.result(job()))["pid"] != pid


async def test_whoever_stops_listening_ends_the_process(jobs: Jobs) -> None:
    pid = (await jobs.result(job()))["pid"]
    async with aclosing(jobs.lines(job({"n": 1}, hangs=True))) as lines:
        assert await anext(lines) == {"n": 1}
    assert await gone(pid)


async def test_a_server_that_stops_ends_what_works_and_what_waits(jobs: Jobs) -> None:
    pid = (await jobs.result(job()))["pid"]
    async with aclosing(jobs.lines(job({"n": 1}, hangs=True))) as lines:
        await anext(lines)
        await jobs.stop()
        with pytest.raises(RepositoryError, match="the server is stopping"):
            await anext(lines)
    assert await gone(pid)
    with pytest.raises(RepositoryError, match="the server is stopping"):
        await jobs.result(job())
    waited = Jobs((sys.executable, "-S", "-c", WORKER), idle_seconds=PATIENCE_SECONDS)
    pid = (await waited.result(job()))["pid"]
    await waited.stop()
    assert await gone(pid)
