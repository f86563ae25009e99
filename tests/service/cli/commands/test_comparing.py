"""`cellserve compare` against a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.app import serving
from cellserve.service.client import AsyncClient
from cellserve.service.config import Settings
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.repository.repository import Repository
from tests.service.cli.fakes import Shell
from tests.service.registry.fakes import imported, measured_once


@pytest.fixture
async def url(shell: Shell) -> AsyncIterator[str]:
    """A server of three versions: 1 (stable) and 2 have the same weights, 3 (canary) has others."""
    repository = Repository(shell.root, gate=measured_once)
    for seed, alias in ((0, "stable"), (0, None), (1, "canary")):
        repository.publish("digits", imported(seed), alias=alias)
    settings = Settings(repository=shell.root, host="127.0.0.1", port=0, metrics_port=0, device="cpu", drain_seconds=5.0)
    async with serving(settings) as running:
        yield f"127.0.0.1:{running.port}"


async def test_versions_are_compared_on_the_same_inputs(shell: Shell, url: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", **{name: random.normal(size=(steps, 3)) for name, steps in (("left", 7), ("right", 2))})
    asked = ("--input", str(tmp_path / "x.npz"), "--url", url, "--repeat", "1")

    async def compare(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(shell, "compare", "digits", *arguments, *asked)
        return result.exit_code, result.stdout, result.stderr

    code, printed, errors = await compare("1", "2", "--bound", "0", "--json")
    same = json.loads(printed)
    assert (code, same["largest_difference"], same["exceeded"]) == (0, 0.0, []), errors

    page = tmp_path / "compared.html"
    code, printed, _ = await compare("stable", "canary", "--bound", "1e-6", "--html", str(page), "--json")
    other = json.loads(printed)
    assert (code, other["before"], other["after"], other["rows"], other["time_steps"]) == (1, "digits/1", "digits/3", 2, 9)
    assert other["largest_difference"] > 1e-6
    assert {row["input"] for row in other["worst_rows"]} == {"left", "right"}
    assert {(speed["version"], speed["implementation"]) for speed in other["speeds"]} >= {("digits/1", "0"), ("digits/3", "0")}
    assert "digits/1 and digits/3 on 2 inputs" in page.read_text()

    code, printed, errors = await compare("1", "3", "--bound", "1e-6")
    assert code == 1
    assert "Inputs with the largest differences" in printed
    assert "at most 1e-06 was allowed" in errors

    code, _, errors = await compare("1", "9")
    assert code == 2
    assert "no version 9" in errors


def test_a_repository_is_enough(shell: Shell, tmp_path: Path) -> None:
    """No server runs, and the repository is left as it was."""
    repository = Repository(shell.root)
    for seed, alias in ((0, "stable"), (1, "canary")):
        repository.publish("digits", imported(seed), alias=alias)
    (shell.root / "digits/model.yaml").write_text("load: at-start\npinned: [1]\nlimits: {max_steps_per_sequence: 5}\n")
    before = {path: path.stat().st_mtime_ns for path in shell.root.rglob("*")}
    np.save(tmp_path / "x.npy", np.ones((4, 3), np.float32))
    asked = ("compare", "digits", "stable", "canary", "--repeat", "1", "--json", "--input")
    result = shell(*asked, str(tmp_path / "x.npy"), "--repository", str(shell.root))
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["before"], told["after"], told["rows"]) == ("digits/1", "digits/2", 1)
    assert told["largest_difference"] > 0
    assert {path: path.stat().st_mtime_ns for path in shell.root.rglob("*")} == before
    np.save(tmp_path / "long.npy", np.ones((6, 3), np.float32))
    result = shell(*asked, str(tmp_path / "long.npy"), "--repository", str(shell.root))
    assert (result.exit_code, "6 time steps" in " ".join(result.stderr.split())) == (2, True), result.stderr


def test_a_repository_keeps_no_requests(shell: Shell) -> None:
    result = shell("compare", "digits", "1", "2", "--recorded", "--repository", str(shell.root))
    assert (result.exit_code, "a repository keeps no requests" in " ".join(result.stderr.split())) == (2, True)


async def recorded(client: AsyncClient) -> list[tuple[np.ndarray, ...]]:
    """Nothing while the server has not read that it is to record."""
    try:
        return [row async for row in client.recorded("digits")]
    except InvalidInput:
        return []


async def test_versions_are_compared_on_what_was_really_asked(shell: Shell, url: str) -> None:
    async def compare(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(shell, "compare", "digits", "1", "3", "--url", url, "--repeat", "1", *arguments)
        return result.exit_code, result.stdout, " ".join(result.stderr.split())

    code, _, errors = await compare("--recorded")
    assert (code, "nothing is recorded of digits: ask for it in its model.yaml" in errors) == (2, True), errors
    (shell.root / "digits/model.yaml").write_text("record: 3")
    async with AsyncClient(url) as client, asyncio.timeout(30):
        while not await recorded(client):
            await client.predict("digits", np.ones((2, 3), np.float32))
        for steps in range(5, 10):
            await client.predict("digits@canary", np.full((steps, 3), steps, np.float32))
        await client.predict("digits/1", np.zeros((1, 3), np.float32))  # which somebody tries out
        kept = await recorded(client)
    assert len(kept) == 3
    assert all(np.array_equal(x, np.full((len(x), 3), 1 if len(x) == 2 else len(x))) and len(x) > 1 for (x,) in kept)
    code, printed, errors = await compare("--recorded", "--json")
    told = json.loads(printed)
    assert (code, told["rows"], told["time_steps"]) == (0, 3, sum(len(x) for (x,) in kept)), errors
    code, _, errors = await compare()
    assert (code, "Give --input FILE, or --recorded" in errors) == (2, True)
