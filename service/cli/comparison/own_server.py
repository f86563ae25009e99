"""A server of a few versions of a repository, in this process and on loopback, for as long as they are compared.

It serves a copy of them. So nothing is written to the repository, no alias walks because of it, and of an object store no more is
fetched than these versions.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cellserve.service.app import serving
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.model_settings import SETTINGS_FILE
from cellserve.service.registry.repository.repository import Repository

_LOOPBACK: Final = "127.0.0.1"
_ANSWERS: Final = {"implementation", "device", "limits"}  # of model.yaml, what counts for an answer


@contextmanager
def own_server(repository: Repository, keys: Iterable[VersionKey]) -> Iterator[str]:
    """Its url. Raises UnknownModel, UnknownVersion, RepositoryError, OSError, and what starting a server raises."""
    with tempfile.TemporaryDirectory(prefix="cellserve-compare-") as folder:
        for key in dict.fromkeys(keys):
            repository.copy_version(key, Path(folder))
            said = repository.settings(key.model).model_dump(mode="json", include=_ANSWERS, exclude_none=True)
            (Path(folder) / key.model / SETTINGS_FILE).write_text(json.dumps(said))
        with _in_a_thread(_settings(Path(folder))) as port:
            yield f"{_LOOPBACK}:{port}"


def _settings(folder: Path) -> Settings:
    """Nobody else calls it: what the environment says of a server's callers, sessions and traces is not for this one."""
    return Settings(
        settings_file=None,
        repository=str(folder),
        host=_LOOPBACK,
        port=0,
        metrics_port=0,
        tls_certificate=None,
        tls_key=None,
        tls_client_ca=None,
        tokens=None,
        administration_from="",
        session_store="",
        session_directory=None,
        replica_name="",
        trace_endpoint="",
        memory_bytes=0,
        load="on-demand",
        lame_duck_seconds=0.0,
        drain_seconds=1.0,
    )


@contextmanager
def _in_a_thread(settings: Settings) -> Iterator[int]:
    """Serves meanwhile; the port."""
    port: Future[int] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with serving(settings) as running:
            port.set_result(running.port)
            await asyncio.to_thread(over.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            if port.done():
                raise
            port.set_exception(error)

    thread = threading.Thread(target=run, name="own-server")
    thread.start()
    try:
        yield port.result()
    finally:
        over.set()
        thread.join()
