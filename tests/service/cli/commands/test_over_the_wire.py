"""The registry of a running server from the command line: what works on a folder works with --url."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cellserve.service.app import serving
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository
from tests.service.cli.fakes import Shell

GOLDEN = Path(__file__).parents[3] / "golden"
MODEL, OTHER, THIRD = (
    GOLDEN / f"{name}.keras" for name in ("k212_shared_directions_cells", "k213_shared_rnn_cell", "k213_shared_td_first")
)

Ask = Callable[..., Any]


@pytest.fixture
async def ask(shell: Shell, tmp_path: Path) -> AsyncIterator[Ask]:
    """Runs a command in a thread, told of a server whose repository is empty."""
    settings = Settings(repository=tmp_path / "served", host="127.0.0.1", port=0, metrics_port=0)
    async with serving(settings) as running:

        async def run(*arguments: object, way: str = "json") -> Any:
            shell_way: Any = shell.json if way == "json" else shell
            return await asyncio.to_thread(shell_way, *map(str, arguments), "--url", f"127.0.0.1:{running.port}")

        yield run


async def test_from_a_file_to_an_answer_and_back(ask: Ask, shell: Shell, tmp_path: Path) -> None:
    imported = await ask("import", MODEL, "--name", "digits", "--alias", "stable")
    assert [(each["model"], each["version"]) for each in imported] == [("digits", 1)]
    assert not shell.root.exists()
    again = await ask("import", MODEL, "--name", "digits", way="")
    assert (again.exit_code, again.stdout) == (0, "digits/1\n")
    assert "digits/1 is the same, published before" in again.stderr
    assert [(row["model"], row["state"], row["aliases"]) for row in await ask("models")] == [("digits", "READY", ["stable"])]
    assert (await ask("verify"))[0] == {"model": "digits", "version": 1, "aliases": ["stable"], "problem": "", "withdrawn": {}}
    assert await ask("promote", "digits", 1, "--alias", "canary") == {"model": "digits", "alias": "canary", "version": 1}
    served, on_disk = await ask("show", "digits"), Repository(tmp_path / "served").manifest("digits", 1)
    assert served["weights_digest"] == on_disk.weights_digest
    assert served["published_by"].endswith("a call from ipv4:127.0.0.1:" + served["published_by"].rpartition(":")[2])
    assert [(move["alias"], move["from"], move["to"]) for move in served["alias_history"]] == [
        ("stable", None, 1),
        ("canary", None, 1),
    ]
    assert served["memory_bytes"] == (await ask("models"))[0]["memory_bytes"] > 0
    told = (await ask("show", "digits", way="")).stdout
    assert "published by" in told
    assert "memory" in told
    refused = await ask("remove", "digits/1", "--yes", way="")
    assert refused.exit_code == 2
    assert "in use by the alias" in refused.stderr
    assert await ask("remove", "digits", "--yes") == {"removed": "digits"}
    assert await ask("models") == []


@pytest.mark.usefixtures("read_here")
async def test_aliases_are_split_and_walk_and_the_server_keeps_what_its_owner_keeps(ask: Ask, tmp_path: Path) -> None:
    for source in (MODEL, OTHER):
        await ask("import", source, "--name", "digits")
    await ask("promote", "digits", 1)
    told = await ask("promote", "digits", 2, "--share", "10%")
    assert told == {"model": "digits", "alias": "stable", "version": 2, "split": {"2": 0.1, "1": 0.9}}
    assert (await ask("show", "digits", 2))["splits"] == {"stable": {"2": 0.1, "1": 0.9}}
    assert "10% to 2, 90% to 1" in (await ask("show", "digits", 2, way="")).stdout
    await ask("promote", "digits", 1)
    told = await ask("promote", "digits", 2, "--gradually", "10m", "--stop-if", "errors>1%,p99 > 2x")
    assert (told["model"], told["state"], told["share"], told["stop_if"]) == ("digits", "walking", 0.01, "errors > 1%, p99 > 2x")
    (shown,) = (await ask("show", "digits"))["rollouts"]
    assert (shown["alias"], shown["version"], shown["before"], shown["state"]) == ("stable", 2, 1, "walking")
    assert "Gradual promotes of digits" in (await ask("show", "digits", way="")).stdout
    again = await ask("promote", "digits", 2, "--gradually", "10m", way="")
    assert again.exit_code == 2
    assert "walks already" in " ".join(again.stderr.split())
    await ask("remove", "digits@stable", "--yes")
    (tmp_path / "served/digits/model.yaml").write_text("retention: {keep: 1}")
    await ask("import", THIRD, "--name", "digits")
    kept = Repository(tmp_path / "served").versions("digits")
    assert kept in ([1, 3], [2, 3], [1, 2, 3])  # the newest, the one that answered before it, and what `stable` has left


async def test_what_the_server_refuses_is_told_with_its_words(ask: Ask) -> None:
    for arguments, words in (
        (("promote", "nobody", "1"), "there is no model 'nobody'"),
        (("show", "nobody"), "there is no model 'nobody'"),
        (("verify", "nobody"), "has no model 'nobody'"),
        (("remove", "nobody", "--yes"), "there is no model 'nobody'"),
    ):
        result = await ask(*arguments, way="")
        assert result.exit_code == 2
        assert words in result.stderr


def test_a_folder_that_is_named_is_meant(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the environment is asked where no folder is named, as `models` has it."""
    monkeypatch.setenv("CELLSERVE_URL", "127.0.0.1:1")
    shell.publish()
    assert shell.json("show", "digits", "--repository", str(shell.root))["version"] == 1
    asked = shell("show", "digits")
    assert asked.exit_code == 1
    assert "no answer from 127.0.0.1:1" in asked.stderr
