"""With a small program in place of the Python that has Ray; tests/e2e/test_cluster_ray.py has a real one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cellserve.service.cluster.envoy.plan import Endpoint
from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import State
from cellserve.service.cluster.ray import Ray, python_with_ray
from tests.service.cluster.on_ray.test_wanted import WANTED

LIMIT_SECONDS = 60
WITHOUT_PACKAGES = """
import sys
sys.path.insert(0, {window!r})
from cellserve.service.cluster import keeper
from cellserve.service.cluster.on_ray import directory, scaling, wanted
"""


def server(number: int, state: str = "ready") -> dict[str, Any]:
    name = f"replica-{number}"
    return {"name": name, "host": "h", "port": 1 + number, "metrics_port": 7, "pid": 70, "state": state, "restarts": 0}


def standing_in(folder: Path, *lines: list[dict[str, Any]]) -> Path:
    """A program that reads what it is told, says these, and stays."""
    path = folder / "python"
    said = [json.dumps(line) for line in lines]
    path.write_text(
        f"#!{sys.executable} -I\n"
        "import sys, time\n"
        f"open({str(folder / 'told')!r}, 'w').write(sys.stdin.read())\n"
        f"for line in {said!r}:\n    print(line, flush=True)\n"
        "time.sleep(600)\n"
    )
    path.chmod(0o755)
    return path


async def test_who_serves_is_what_it_says_last(tmp_path: Path) -> None:
    changes = asyncio.Event()
    one, both = [server(0)], [server(0), server(1)]
    ray = Ray(standing_in(tmp_path, one, [server(0), server(1, "starting")], both, one), WANTED, Folder(tmp_path), tmp_path)
    assert ray.endpoints() == ray.servers() == []
    ray.begin(changes.set)
    (keeper,) = ray.keepers
    await keeper.ready()
    async with asyncio.timeout(LIMIT_SECONDS):
        while ray.endpoints() != [Endpoint("replica-0", "h", 1)]:
            changes.clear()
            await changes.wait()
    assert (tmp_path / "told").read_text() == WANTED.text()
    assert ray.servers() == [
        {
            "name": "replica-0",
            "url": "h:1",
            "pid": 70,
            "metrics_url": "http://h:7/metrics",
            "state": "ready",
            "restarts": 0,
        }
    ]
    await keeper.stop()
    assert keeper.state is State.ENDED
    assert ray.endpoints() == []


async def test_with_it_all_servers_are_gone_until_it_is_back(tmp_path: Path) -> None:
    shown: list[int] = []
    ray = Ray(standing_in(tmp_path, [server(0), server(1)]), WANTED, Folder(tmp_path), tmp_path)
    ray.begin(lambda: shown.append(len(ray.endpoints())))
    (keeper,) = ray.keepers
    await keeper.ready()
    assert keeper.pid is not None
    os.kill(keeper.pid, signal.SIGKILL)
    async with asyncio.timeout(LIMIT_SECONDS):
        while keeper.restarts.count == 0 or keeper.state is not State.READY:
            await asyncio.sleep(0.01)
    assert 0 in shown[shown.index(2) :]
    assert len(ray.endpoints()) == 2
    await keeper.stop()


async def test_what_it_does_not_bring_up_is_told_by_its_last_words(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable} -I\nimport sys\nsys.exit('there is no module named ray')\n")
    path.chmod(0o755)
    ray = Ray(path, replace(WANTED, replicas=1), Folder(tmp_path), tmp_path)
    ray.begin(lambda: None)
    with pytest.raises(ClusterFailed, match=r"(?s)before it was ready.*no module named ray"):
        await ray.keepers[0].ready()


async def test_the_other_python_sees_what_needs_no_package_and_nothing_else(tmp_path: Path) -> None:
    ray = Ray(standing_in(tmp_path, [server(0), server(1)]), WANTED, Folder(tmp_path), tmp_path)
    child = await ray.start()
    await child.stop(0.0)
    program = WITHOUT_PACKAGES.format(window=str(tmp_path / "window"))
    subprocess.run((sys.executable, "-I", "-S", "-c", program), check=True)
    hidden = subprocess.run((sys.executable, "-I", "-S", "-c", f"{program}import cellserve.service.config"), capture_output=True)
    assert b"No module named 'cellserve.service.config'" in hidden.stderr


def test_a_python_that_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert python_with_ray(Path("ray/bin/python")) == tmp_path / "ray/bin/python"


@pytest.mark.skipif(find_spec("ray") is not None, reason="there is a Ray beside cellserve")
def test_where_there_is_no_ray_it_is_said_how_there_may_be() -> None:
    with pytest.raises(ClusterFailed, match="--ray-python"):
        python_with_ray(None)
