"""With small programs of Python's in place of servers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cellserve.service.cluster.child import Child
from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import Keeper, State

LIMIT_SECONDS = 60
SERVES = "print('ready', flush=True); import time; time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\nimport time; time.sleep(600)"


class Small:
    """ill: set, it does not answer. lives: how often it was started."""

    name = "small"
    drain_seconds = 0.0

    def __init__(self, folder: Folder, program: str) -> None:
        self._folder = folder
        self._program = program
        self.ill = asyncio.Event()
        self.lives = 0

    async def start(self) -> Child:
        self.lives += 1
        return await Child.start((sys.executable, "-c", self._program), self._folder.log(self.name), os.environ)

    async def ready(self, child: Child) -> bool:
        return bool(await child.line())

    async def unwell(self, child: Child) -> None:
        await self.ill.wait()
        self.ill.clear()


def kept(tmp_path: Path, program: str) -> tuple[Small, Keeper, list[State]]:
    shown: list[State] = []
    small = Small(Folder(tmp_path), program)
    keeper = Keeper(small, Folder(tmp_path), lambda: shown.append(keeper.state))
    return small, keeper, shown


async def lives_again(small: Small, keeper: Keeper, lives: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while small.lives < lives or keeper.state is not State.READY:
            await asyncio.sleep(0.01)


async def test_what_has_died_is_started_again(tmp_path: Path) -> None:
    small, keeper, shown = kept(tmp_path, SERVES)
    await keeper.ready()
    first = keeper.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await lives_again(small, keeper, 2)
    assert keeper.pid not in (None, first)
    assert keeper.restarts.count == 1
    await keeper.stop()
    assert shown == [State.STARTING, State.READY, State.DEAD, State.STARTING, State.READY, State.ENDED]
    assert keeper.pid is None


async def test_what_lives_and_does_not_answer_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellserve.service.cluster.child._TERM_SECONDS", 0.05)
    small, keeper, _ = kept(tmp_path, DEAF)
    await keeper.ready()
    small.ill.set()
    await lives_again(small, keeper, 2)
    await keeper.stop()


async def test_what_was_never_ready_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    small, keeper, _ = kept(tmp_path, "import sys; sys.exit('no such device')")
    with pytest.raises(ClusterFailed, match=r"(?s)small ended with code 1 before it was ready.*no such device"):
        await keeper.ready()
    await keeper.stop()
    assert small.lives == 1


async def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    small = Small(folder, SERVES)

    async def gone() -> Child:
        return await Child.start(("/no/such/program",), folder.log("small"))

    small.start = gone  # type: ignore[method-assign]
    keeper = Keeper(small, folder, lambda: None)
    with pytest.raises(ClusterFailed, match="before it was ready"):
        await keeper.ready()


async def test_what_does_not_end_when_asked_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellserve.service.cluster.child._TERM_SECONDS", 0.05)
    _, keeper, _ = kept(tmp_path, DEAF)
    await keeper.ready()
    await keeper.stop()
    assert keeper.state is State.ENDED
    assert keeper.pid is None


PARENT = """
import asyncio, sys
from pathlib import Path
from cellserve.service.cluster.child import Child
async def main():
    child = await Child.start((sys.executable, "-c", sys.argv[2]), Path(sys.argv[1]), None)
    await child.line()
    print(child.pid, flush=True)
    await child.ended()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process that its parent is gone")
def test_whoever_starts_programs_takes_them_along_however_it_dies(tmp_path: Path) -> None:
    with subprocess.Popen((sys.executable, "-c", PARENT, str(tmp_path / "log"), SERVES), stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        end = time.monotonic() + LIMIT_SECONDS
        while Path(f"/proc/{child}").exists() and "zombie" not in Path(f"/proc/{child}/status").read_text():
            assert time.monotonic() < end
            time.sleep(0.01)
