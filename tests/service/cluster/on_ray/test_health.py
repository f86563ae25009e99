"""What is asked without stubs, against the real ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cellserve.service.cluster.on_ray.health import Health
from tests.service.served import publish, served
from tests.service.tls import AUTHORITY, certificate, key

LIMIT_SECONDS = 60.0
INSIDE = (str(certificate("server")), str(key("server")), str(AUTHORITY))
GUARDED = {"tls_certificate": certificate("server"), "tls_key": key("server"), "tls_client_ca": AUTHORITY}


@pytest.mark.parametrize(("tls", "settings"), [(None, {}), (INSIDE, GUARDED)])
async def test_a_server_is_well_until_it_is_gone(tmp_path: Path, tls: tuple[str, ...] | None, settings: dict[str, Any]) -> None:
    publish(tmp_path)
    async with served(tmp_path, **settings) as server:
        health = Health(f"127.0.0.1:{server.running.port}", tls, "localhost")
        assert await asyncio.to_thread(health.serving, LIMIT_SECONDS)
    assert not await asyncio.to_thread(health.serving, LIMIT_SECONDS)
    health.close()
