import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.implementations import IN_BFLOAT16
from cellserve.service.app import serving
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository
from tests.service.cli.fakes import Shell
from tests.service.registry.fakes import imported, weights

RAGGED = [np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32) for n in (7, 2)]


@pytest.fixture
async def url(shell: Shell) -> AsyncIterator[str]:
    """A real server of a real, if small and untrained, network."""
    model = imported()
    await asyncio.to_thread(Repository(shell.root).publish, "digits", model)
    settings = Settings(repository=shell.root, host="127.0.0.1", port=0, metrics_port=0, device="cpu", drain_seconds=5.0)
    async with serving(settings) as running:
        yield f"127.0.0.1:{running.port}"


def expected(row: np.ndarray) -> np.ndarray:
    outputs, _ = reference.run(imported().spec, weights().arrays, (row[np.newaxis],), (len(row),))
    return outputs[0][0]


async def test_a_ragged_file_is_answered_into_a_file(shell: Shell, url: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", left=RAGGED[0], right=RAGGED[1])
    result = await asyncio.to_thread(
        shell, "predict", "digits", "--input", str(tmp_path / "x.npz"), "--url", url, "--output", str(tmp_path / "y.npz")
    )
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "y.npz") as answers:
        for name, row in zip(("left", "right"), RAGGED, strict=True):
            np.testing.assert_allclose(answers[name], expected(row), atol=1e-5)


async def test_tables_json_and_padded_batches(shell: Shell, url: str, tmp_path: Path) -> None:
    batch = np.full((2, 7, 3), 9.0, dtype=np.float32)
    for place, row in zip(batch, RAGGED, strict=True):
        place[: len(row)] = row
    np.save(tmp_path / "x.npy", batch)
    asked = ("predict", "digits/1", "--input", str(tmp_path / "x.npy"), "--url", url, "--lengths", "7,2")
    table = await asyncio.to_thread(shell, *asked)
    assert "digits/1 under implementation" in table.stdout
    result = await asyncio.to_thread(shell, *asked, "--implementation", "1", "--json")
    data = json.loads(result.stdout)
    assert data["implementation"] == "1"
    np.testing.assert_allclose(data["outputs"]["outputs"], [expected(row) for row in RAGGED], atol=1e-5)


async def test_what_the_server_refuses_is_one_sentence(shell: Shell, url: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((4, 5)))
    np.save(tmp_path / "good.npy", RAGGED[0])
    for ref, name in (("digits", "x.npy"), ("nobody", "good.npy"), ("digits/9", "good.npy"), ("digits@canary", "good.npy")):
        result = await asyncio.to_thread(shell, "predict", ref, "--input", str(tmp_path / name), "--url", url)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--input", "missing.npy"), "missing.npy"),
        (("--input", "x.parquet"), ".npz"),
        (("--input", "good.npy", "--output", "y.csv"), ".npz"),
        (("--input", "good.npy", "--lengths", "a"), "8,5,7"),
        (("--input", "good.npy", "--url", "http://x/y"), "host:port"),
    ],
)
def test_bad_arguments_are_told_before_any_call(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", RAGGED[0])
    result = shell("predict", "digits", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize("patience", [(), ("--timeout-seconds", "1")])
def test_nobody_answering_is_a_failure(shell: Shell, tmp_path: Path, patience: tuple[str, ...]) -> None:
    np.save(tmp_path / "x.npy", RAGGED[0])
    result = shell("predict", "digits", "--input", str(tmp_path / "x.npy"), "--url", "127.0.0.1:1", *patience)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


async def test_repeat_tells_latencies(shell: Shell, url: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", left=RAGGED[0], right=RAGGED[1])
    asked = ("predict", "digits", "--input", str(tmp_path / "x.npz"), "--url", url, "--repeat", "5")
    table = await asyncio.to_thread(shell, *asked)
    assert table.exit_code == 0, table.output
    assert "Latency of 5 requests" in table.stdout
    assert "median ms" in table.stdout
    data = json.loads((await asyncio.to_thread(shell, *asked, "--json")).stdout)
    latency = data["latency"]
    assert latency["requests"] == 5
    assert 0 < latency["min_seconds"] <= latency["median_seconds"] <= latency["p99_seconds"]


async def test_compare_runs_every_implementation_side_by_side(shell: Shell, url: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", left=RAGGED[0], right=RAGGED[1])
    asked = ("predict", "digits@stable", "--input", str(tmp_path / "x.npz"), "--url", url, "--compare", "--repeat", "3")
    await asyncio.to_thread(Repository(shell.root).set_alias, "digits", "stable", 1)
    data = json.loads((await asyncio.to_thread(shell, *asked, "--json")).stdout)
    assert data["model"] == "digits/1"
    measured = data["implementations"]
    assert {"0", "1", "2", "fused"} <= set(measured)
    assert data["default_implementation"] in measured
    assert data["largest_difference"] == max(each["largest_difference"] for each in measured.values())
    assert 0 < data["largest_difference"] < (1e-1 if IN_BFLOAT16 in measured else 1e-5)
    assert all(each["requests"] == 3 for each in measured.values())
    table = (await asyncio.to_thread(shell, *asked)).stdout
    assert "digits/1, 3 requests under each implementation" in table
    assert "(default)" in table


async def test_models_of_a_running_server(shell: Shell, url: str) -> None:
    result = await asyncio.to_thread(shell, "models", "--url", url, "--json")
    listed = json.loads(result.stdout)
    taken = [row.pop("memory_bytes") for row in listed]
    assert listed == [{"model": "digits", "version": 1, "state": "READY", "reason": "", "aliases": []}]
    assert taken[0] > 0
    assert "READY" in (await asyncio.to_thread(shell, "models", "--url", url)).stdout
    assert shell("models", "--url", "http://x").exit_code == 2


@pytest.mark.parametrize("option", [("--implementation", "0"), ("--output", "y.npz")])
def test_compare_contradicts_what_it_decides_itself(shell: Shell, tmp_path: Path, option: tuple[str, str]) -> None:
    np.save(tmp_path / "x.npy", RAGGED[0])
    result = shell("predict", "digits", "--input", str(tmp_path / "x.npy"), "--compare", *option)
    assert result.exit_code == 2
    assert "--compare" in result.stderr
