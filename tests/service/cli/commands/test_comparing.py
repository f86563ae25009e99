"""`cellserve compare` against a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.app import serving
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository
from tests.service.cli.fakes import Shell
from tests.service.registry.fakes import imported


@pytest.fixture
async def url(shell: Shell) -> AsyncIterator[str]:
    """A server of three versions: 1 (stable) and 2 have the same weights, 3 (canary) has others."""
    repository = Repository(shell.root)
    for seed, alias in ((0, "stable"), (0, None), (1, "canary")):
        await asyncio.to_thread(repository.publish, "digits", imported(seed), alias=alias)
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
