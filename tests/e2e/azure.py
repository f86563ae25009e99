"""A server that speaks as Azure Blob Storage does (azurite, from npm), in memory. Skips the test where there is no npm.

Its account and key are the ones that all of its kind have, and that Azure has nowhere.
"""

from __future__ import annotations

import base64
import hmac
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.compose import run
from tests.e2e.venvs import CACHE

_PACKAGE: Final = "azurite@3.37.0"
_ACCOUNT: Final = "devstoreaccount1"
_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def azure(container: str) -> Iterator[Mapping[str, str]]:
    """With this container, which is empty: the environment by which it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = (
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
    )
    process = subprocess.Popen(["node", str(_installed()), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said: list[str] = []
        while "successfully listens" not in "".join(said[-1:]):
            said.append(process.stdout.readline())
            assert said[-1], "".join(said)
        url = f"http://127.0.0.1:{port}"
        _make(url, container)
        yield {
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": url,
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
        }
    finally:
        process.kill()
        process.communicate()


def _installed() -> Path:
    """Its program; installed under .e2e/ the first time."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm: azurite cannot be installed")
    folder = CACHE / _PACKAGE
    program = folder / "node_modules/azurite/dist/src/blob/main.js"
    if not (folder / ".ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), _PACKAGE)
        (folder / ".ready").touch()
    return program


def _make(url: str, container: str) -> None:
    """A container: no client of ours makes one."""
    said = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in sorted(said.items()))]
    text = "\n".join((*lines, f"/{_ACCOUNT}/{_ACCOUNT}/{container}", "restype:container"))
    signature = base64.b64encode(hmac.digest(base64.b64decode(_KEY), text.encode(), "sha256")).decode()
    signed = {**said, "Authorization": f"SharedKey {_ACCOUNT}:{signature}", "Content-Length": "0"}
    request = urllib.request.Request(f"{url}/{_ACCOUNT}/{container}?restype=container", method="PUT", headers=signed)
    with urllib.request.urlopen(request):
        return
