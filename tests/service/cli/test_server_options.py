"""Every command that asks a server, on one with TLS that wants certificates and tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from tests.service.cli.fakes import Shell
from tests.service.served import publish, served
from tests.service.tls import AUTHORITY, certificate, key

ADMIN = "admin-0123456789abcdef"
INFER = "infer-0123456789abcdef"
OPTIONS = {
    "--token-file": "CELLSERVE_TOKEN_FILE",
    "--root-certificates": "CELLSERVE_ROOT_CERTIFICATES",
    "--client-certificate": "CELLSERVE_CLIENT_CERTIFICATE",
    "--client-key": "CELLSERVE_CLIENT_KEY",
    "--server-name": "CELLSERVE_SERVER_NAME",
}
COMMANDS = {
    "predict": ("predict", "small", "--input", "x.npy"),
    "load": ("load", "small", "--features", "3", "--requests", "5", "--samples", "2"),
    "models": ("models",),
    "sessions": ("sessions",),
}


@pytest.fixture
async def url(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """In the folder are x.npy, and the tokens each in a file of its own."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.ones((4, 3), np.float32))
    for name, token in (("admin", ADMIN), ("infer", INFER)):
        Path(name).write_text(f"{token}\n")
    Path("tokens").write_text(f"infer {INFER}\nadmin {ADMIN}\n")
    publish(shell.root)
    files = {"tls_certificate": certificate("server"), "tls_key": key("server"), "tls_client_ca": AUTHORITY}
    async with served(shell.root, tokens=Path("tokens"), **files) as server:
        yield f"127.0.0.1:{server.running.port}"


def shown(token: str | None = "admin") -> dict[str, str]:
    """What the server wants, by option."""
    values = (token, str(AUTHORITY), str(certificate("client")), str(key("client")), "models.example")
    return {option: value for option, value in zip(OPTIONS, values, strict=True) if value is not None}


async def run(shell: Shell, command: str, url: str, options: dict[str, str]) -> Result:
    words = [word for pair in options.items() for word in pair]
    return await asyncio.to_thread(shell, *COMMANDS[command], "--url", url, *words)


@pytest.mark.parametrize("command", COMMANDS)
async def test_options_and_variables(shell: Shell, url: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = await run(shell, command, url, shown())
    assert result.exit_code == 0, result.output
    for option, value in shown().items():
        monkeypatch.setenv(OPTIONS[option], value)
    result = await run(shell, command, url, {})
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", COMMANDS)
async def test_without_the_token_the_sentence_says_so(shell: Shell, url: str, command: str) -> None:
    result = await run(shell, command, url, shown(None))
    assert result.exit_code == 1
    assert "this server wants a token" in result.stderr


@pytest.mark.parametrize("command", ["models", "sessions"])
async def test_administration_wants_an_admins(shell: Shell, url: str, command: str) -> None:
    result = await run(shell, command, url, shown("infer"))
    assert result.exit_code == 1
    assert "use one of the role admin" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_files_are_one_sentence(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.ones((4, 3), np.float32))
    Path("tokens").write_text(f"infer {INFER}\n")
    for options, told in (
        (("--token-file", "tokens"), "--token-file tokens: expected one token and nothing else"),
        (("--client-key", str(key("client"))), "a client shows a certificate together with its key"),
        (("--root-certificates", "none.pem"), "none.pem"),
    ):
        result = shell(*COMMANDS[command], "--url", "localhost:1", *options)
        assert result.exit_code == 2, result.output
        assert told in " ".join(result.stderr.split())
        assert INFER not in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_them_with_their_variables(shell: Shell, command: str) -> None:
    text = shell(command, "--help").stdout
    for option, variable in OPTIONS.items():
        assert option in text
        assert variable in text


def test_models_asks_no_server_unless_told(shell: Shell) -> None:
    shell.publish("digits")
    assert [row["model"] for row in shell.json("models")] == ["digits"]


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_url_may_be_a_variable_too(shell: Shell, url: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in shown().items():
        monkeypatch.setenv(OPTIONS[option], value)
    monkeypatch.setenv("CELLSERVE_URL", url)
    result = await asyncio.to_thread(shell, *COMMANDS[command])
    assert result.exit_code == 0, result.output
    monkeypatch.setenv("CELLSERVE_URL", "127.0.0.1:1")
    result = await run(shell, command, url, {})
    assert result.exit_code == 0, result.output  # the option wins


async def test_a_repository_that_is_named_wins_over_the_variable(shell: Shell, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLSERVE_URL", "127.0.0.1:1")
    result = await asyncio.to_thread(shell, "models", "--repository", str(shell.root), "--json")
    assert result.exit_code == 0, result.output
    assert "framework" in result.stdout


async def test_a_load_test_asks_the_server_what_the_model_takes(shell: Shell, url: str) -> None:
    words = [word for pair in shown().items() for word in pair]
    arguments = ("load", "small", "--requests", "5", "--samples", "2", "--url", url)
    result = await asyncio.to_thread(shell, *arguments, *words)
    assert result.exit_code == 0, result.output
    assert "5 right, 0 wrong" in result.output
    words = [word for pair in shown("infer").items() for word in pair]
    result = await asyncio.to_thread(shell, *arguments, *words)
    assert result.exit_code == 2
    assert "give --features N, --vocabulary N or --input FILE.npz" in result.stderr
