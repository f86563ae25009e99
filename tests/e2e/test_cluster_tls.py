"""Who gets in where a cluster is guarded: clients by TLS, tokens, certificates; its parts by a certificate and a password."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from valkey import Valkey
from valkey import exceptions as valkey_errors

from cellserve.service.client import AsyncClient, Client, RetryPolicy, ServiceError
from cellserve.service.client.errors import ServerNotTrusted
from cellserve.service.errors import AdministrationDenied, TokenMissing
from tests.service.cluster.running import COMMAND, Running, cluster, missing
from tests.service.tls import AUTHORITY, certificate, key
from tests.service.valkey_server import tls_binary, valkey

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine")]

INFER, ADMIN = "infer-0123456789abcdef", "admin-0123456789abcdef"
STEPS = np.random.default_rng(4).normal(size=(6, 3)).astype(np.float32)
TRUSTING: dict[str, Any] = {"root_certificates": AUTHORITY.read_bytes(), "server_name": "localhost"}
ONCE = RetryPolicy(attempts=1)


def showing(name: str) -> dict[str, Any]:
    return {"client_certificate": certificate(name).read_bytes(), "client_key": key(name).read_bytes()}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"infer {INFER} shop\nadmin {ADMIN} operators\n")
    return path


@contextmanager
def guarded(tmp_path: Path, *further: str, **environment: str) -> Iterator[Running]:
    """A cluster whose parts know each other."""
    inside = tmp_path / "inside"
    inside.mkdir()
    for name, content in (("ca", AUTHORITY), ("certificate", certificate("server")), ("key", key("server"))):
        (inside / f"{name}.pem").write_bytes(content.read_bytes())
    given = {"TLS_CERTIFICATE": str(certificate("server")), "TLS_KEY": str(key("server"))} | environment
    with cluster(tmp_path, "--internal-tls", str(inside), *further, **given) as running:
        yield running


def command_lines(running: Running) -> str:
    """Of all its processes, as everybody on the machine may read them."""
    state = running.state()
    pids = [each["pid"] for each in (*state["replicas"], state["store"], state["proxy"], state)]
    return "\n".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)


def test_who_may_do_what_through_the_proxy_and_beside_it(tmp_path: Path, tokens: Path) -> None:
    with guarded(tmp_path, TOKENS=str(tokens)) as running:
        with Client(running.url, token=INFER, **TRUSTING) as client, client.sequence("small", "mine") as sequence:
            for number, step in enumerate(STEPS):
                answer = sequence.feed(step[np.newaxis])
                if number == 2:
                    for which in range(2):  # whichever it lived on
                        running.kill(which)
                        running.wait_for(which, 1)
            np.testing.assert_allclose(answer, client.predict("small", STEPS), rtol=1e-5, atol=1e-6)
            with pytest.raises(AdministrationDenied):
                client.sequences()
            with Client(running.url, token=ADMIN, **TRUSTING) as administrator:
                assert [each.id for each in administrator.sequences()] == ["mine"]
        asyncio.run(on_a_stream(running.url))

        with Client(running.url, **TRUSTING) as client, pytest.raises(TokenMissing):
            client.predict("small", STEPS)
        strangers = {"root_certificates": certificate("stranger").read_bytes(), "server_name": "localhost"}
        with Client(running.url, token=INFER, **strangers) as client, pytest.raises(ServerNotTrusted):
            client.predict("small", STEPS)
        with Client(running.url, token=INFER, retry=ONCE) as client, pytest.raises(ServiceError):
            client.predict("small", STEPS)

        beside = running.replica(0)["url"]
        for how in ({}, TRUSTING, TRUSTING | showing("stranger")):
            with Client(beside, token=ADMIN, **how) as client:
                assert not client.ready(timeout_seconds=2.0)
        with Client(beside, **TRUSTING, **showing("server")) as proxy:
            assert proxy.ready()

        store = running.facts["store"]["url"]
        assert "@" not in store
        with Valkey.from_url(store) as anybody, pytest.raises(valkey_errors.AuthenticationError):
            anybody.ping()
        assert "cellserve:" not in command_lines(running)


async def on_a_stream(url: str) -> None:
    async with AsyncClient(url, token=INFER, **TRUSTING) as client, client.sequence("small", "stream") as sequence:
        answers = [await sequence.feed(step[np.newaxis]) for step in STEPS]
        np.testing.assert_allclose(answers[-1], await client.predict("small", STEPS), rtol=1e-5, atol=1e-6)


def test_the_stores_user_may_do_nothing_but_what_servers_do(tmp_path: Path) -> None:
    with guarded(tmp_path) as running:
        environment = Path(f"/proc/{running.replica(0)['pid']}/environ").read_text().split("\0")
        (url,) = (line.partition("=")[2] for line in environment if line.startswith("CELLSERVE_SESSION_STORE="))
        with Valkey.from_url(url) as store:
            assert store.ping()
            for forbidden in (store.flushall, store.config_get, store.keys, lambda: store.set("other", "x")):
                with pytest.raises(valkey_errors.NoPermissionError):
                    forbidden()


def test_clients_may_have_to_show_a_certificate(tmp_path: Path) -> None:
    with guarded(tmp_path, TLS_CLIENT_CA=str(AUTHORITY)) as running:
        with Client(running.url, **TRUSTING, **showing("client")) as client:
            assert client.predict("small", STEPS).shape == (4,)
        for how in (TRUSTING, TRUSTING | showing("stranger")):
            with Client(running.url, retry=ONCE, **how) as client, pytest.raises(ServiceError):
                client.predict("small", STEPS)


def test_a_store_of_ones_own_may_speak_tls(tmp_path: Path) -> None:
    server = tls_binary()
    if server is None:
        pytest.skip("no Valkey or Redis on this machine that speaks TLS")
    files = {"ca": AUTHORITY, "certificate": certificate("client"), "key": key("client")}
    words = {f"tls_{name}_file": str(path) for name, path in (("cert", certificate("server")), ("key", key("server")))}
    with valkey(tmp_path / "store", program=server, tls=True, tls_ca_cert_file=str(AUTHORITY), **words) as store:
        url = f"valkeys://localhost:{store.port}?" + "&".join(f"{name}={path}" for name, path in files.items())
        with guarded(tmp_path, "--session-store", url) as running:
            with Client(running.url, **TRUSTING) as client, client.sequence("small", "mine") as sequence:
                answers = [sequence.feed(step[np.newaxis]) for step in STEPS]
                assert [each.id for each in client.sequences()] == ["mine"]
                np.testing.assert_allclose(answers[-1], client.predict("small", STEPS), rtol=1e-5, atol=1e-6)
            with Valkey(port=store.port) as plain, pytest.raises(valkey_errors.ConnectionError):
                plain.ping()


def test_files_that_cannot_be_used_are_told_before_anything_is_started(tmp_path: Path) -> None:
    done = subprocess.run(
        (*COMMAND, "up", "--repository", str(tmp_path), "--internal-tls", str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "certificate.pem" in done.stderr
    assert "Traceback" not in done.stderr
