"""`cellserve load` against a whole server that wants TLS, a certificate and a token: whole requests and live sequences."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cellserve.service.cli.main import app
from tests.service.served import publish, served
from tests.service.tls import AUTHORITY, certificate, key

TOKEN = "infer-0123456789abcdef"
SCENARIO = """
name: guarded
duration_seconds: 0.3
traffic:
  - {name: whole, model: small, features: 3, samples: 2, lengths: "fixed:5", arrivals: {kind: steady, rate_per_second: 10}}
  - name: live
    model: small
    features: 3
    samples: 2
    feeds: {count: 2, steps: 2, interval_seconds: 0}
    arrivals: {kind: steady, rate_per_second: 10}
"""


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    publish(tmp_path / "models", alias="stable")
    (tmp_path / "tokens").write_text(f"infer {TOKEN}\n")
    files = {"tls_certificate": certificate("server"), "tls_key": key("server"), "tls_client_ca": AUTHORITY}
    async with served(tmp_path / "models", tokens=tmp_path / "tokens", **files) as server:
        yield f"grpcs://localhost:{server.running.port}"


async def load(folder: Path, url: str, token: str | None = TOKEN) -> Result:
    (folder / "guarded.yaml").write_text(SCENARIO)
    arguments = ["load", "--scenario", str(folder / "guarded.yaml"), "--url", url, "--json"]
    files = {"root-certificates": AUTHORITY, "client-certificate": certificate("client"), "client-key": key("client")}
    if token is not None:
        (folder / "token").write_text(token)
        files["token-file"] = folder / "token"
    shown = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *shown], env={"COLUMNS": "200", "TERM": "dumb"})


async def test_each_kind_of_traffic_is_answered(url: str, tmp_path: Path) -> None:
    done = await load(tmp_path, url)
    assert done.stdout, (done.output, done.exception)
    (run,) = json.loads(done.stdout)["runs"]
    for name in ("whole", "live"):
        assert run["traffic"][name]["right"] > 0, done.output
        assert run["traffic"][name]["wrong"] == 0, done.output


@pytest.mark.parametrize("token", [None, "guessed-0123456789abcdef"])
async def test_without_a_good_token_it_says_how_to_show_one(url: str, tmp_path: Path, token: str | None) -> None:
    done = await load(tmp_path, url, token)
    assert done.exit_code == 1
    assert "--token-file" in done.output
