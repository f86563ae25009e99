"""The process behind a publication or a verification: what is heavy is done here, so that it neither holds the event loop of the
server nor takes it along when it crashes. Reads jobs from a socket, each a line of JSON, until that is closed; writes one JSON
object a line to its output.

It runs at a low priority: those who are being answered go first. Should the server be killed meanwhile, it ends its work, which
leaves a whole version or none.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cellserve.models.errors import ModelError
from cellserve.service import disk
from cellserve.service.errors import RepositoryError, RepositoryFull, ServiceError, VersionRefused
from cellserve.service.registry import verifying
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.publishing import package
from cellserve.service.registry.publishing.job_process import DONE
from cellserve.service.registry.repository.pruning import apply_retention, retention_words
from cellserve.service.registry.repository.publications import Publication
from cellserve.service.registry.repository.remote.opening import home_at
from cellserve.service.registry.repository.repository import Repository

COMMAND: Final = (sys.executable, "-P", "-m", "cellserve.service.registry.publishing.job")
_NICENESS: Final = 10
_AT_ONCE_BYTES: Final = 1 << 16
_MOST_DESCRIPTORS: Final = 8


def publish(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """job: address of the repository, folder of the upload, model, publication_id, tags, by. Raises ServiceError."""
    folder = Path(job["folder"])
    imported = package.read(folder)
    publication = Publication(publication_id=job["publication_id"], by=job["by"], when=datetime.now(UTC).replace(microsecond=0))
    repository = Repository(home_at(job["repository"]))
    try:
        manifest = repository.publish(
            job["model"],
            imported,
            tags=package.tags(folder) | job["tags"],
            answers=imported.answers,
            publication=publication,
        )
    except ModelError as error:
        raise VersionRefused(str(error)) from error
    removed = [retention_words(manifest.model, version) for version in apply_retention(repository, manifest.model)]
    yield {"version": manifest.version, "notes": [*manifest.notes, *removed]}


def verify(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """job: address of the repository, reference (empty: all). Raises ServiceError."""
    reference = ModelRef.parse(job["reference"]) if job["reference"] else None
    for verdict in verifying.verify(Repository(home_at(job["repository"])), reference):
        yield asdict(verdict)


KINDS: Final = {"publish": publish, "verify": verify}


def main(descriptor: int) -> None:
    """descriptor: of the socket."""
    os.nice(_NICENESS)
    with socket.socket(fileno=descriptor) as jobs:
        while (received := _received(jobs)) is not None:
            job, inherited = received
            try:
                _do(job)
            finally:
                for held in inherited:
                    os.close(held)
            _say(DONE)


def _received(jobs: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next job, and the descriptors to hold meanwhile. None: nobody has one any more."""
    text, inherited, _, _ = socket.recv_fds(jobs, _AT_ONCE_BYTES, _MOST_DESCRIPTORS)
    while text and not text.endswith(b"\n"):
        more = jobs.recv(_AT_ONCE_BYTES)
        text = text + more if more else b""
    return (json.loads(text), inherited) if text else None


def _do(job: Mapping[str, Any]) -> None:
    try:
        for line in KINDS[job["kind"]](job):
            _say(line)
    except ServiceError as error:
        _refuse(str(error), error.reason)
    except MemoryError:
        _refuse("checking it takes more memory than there is", VersionRefused.reason)
    except OSError as error:
        _refuse(str(error), (RepositoryFull if error.errno in disk.FULL else RepositoryError).reason)
    except Exception as error:  # of files that nobody here has read before
        traceback.print_exc()
        _refuse(f"checking it has failed with {type(error).__name__}: {error}", VersionRefused.reason)


def _say(line: Mapping[str, Any]) -> None:
    try:
        print(json.dumps(line), flush=True)
    except BrokenPipeError:  # the server is gone: nobody hears it, and whoever asks again finds what is done
        os._exit(0)


def _refuse(words: str, reason: str) -> None:
    _say({"refused": words, "reason": reason})


if __name__ == "__main__":
    main(int(sys.argv[1]))
