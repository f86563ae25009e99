"""One publication from its publisher's side: files of a folder, what is declared of them, their parts. Knows no channel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cellserve.service.errors import InvalidInput, ServiceError, UploadDamaged
from cellserve.service.pb import cellserve_pb2 as pb

PUBLISH_TIMEOUT_SECONDS: Final = 3600.0  # the gate of a large model takes minutes
FILES: Final = ("model.json", "manifest.json", "weights.safetensors", "graph.onnx", "answers.npz")
_PART_BYTES: Final = 256 * 1024

Progress = Callable[[int, int], None]  # bytes handed over, bytes in all


@dataclass(frozen=True)
class Publication:
    """begin: what is declared. `failures`: what it met that sending all of it anew may mend."""

    folder: Path
    begin: pb.PublishBegin
    failures: list[UploadDamaged] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        model: str,
        folder: Path,
        *,
        alias: str = "",
        tags: Mapping[str, str] | None = None,
        publisher: str = "",
        publication_id: str = "",
    ) -> Publication:
        """As Client.publish. Raises InvalidInput: no such files in the folder; OSError."""
        present = [name for name in FILES if (folder / name).is_file()]
        if not present:
            raise InvalidInput(f"{folder} holds none of the files of a version: {', '.join(FILES)}")
        begin = pb.PublishBegin(model=model, alias=alias, tags=dict(tags or {}), publisher=publisher)
        for name in present:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            begin.files.add(name=name, bytes=(folder / name).stat().st_size, digest=f"sha256:{digest}")
        begin.publication_id = publication_id or _identity(begin)
        return cls(folder, begin)

    @property
    def total_bytes(self) -> int:
        return sum(file.bytes for file in self.begin.files)

    def question(self) -> Iterator[pb.PublishRequest]:
        """What the server has of it."""
        yield pb.PublishRequest(begin=self.begin)

    def requests(self, received: Mapping[str, int], progress: Progress | None) -> Iterator[pb.PublishRequest]:
        """The rest: all but `received` bytes of each file. Raises OSError."""
        done = sum(received.values())
        yield pb.PublishRequest(begin=self.begin)
        for declared in self.begin.files:
            offset = received.get(declared.name, 0)
            with (self.folder / declared.name).open("rb") as file:
                file.seek(offset)
                while data := file.read(_PART_BYTES):
                    yield pb.PublishRequest(content=pb.FilePart(name=declared.name, offset=offset, data=data))
                    offset += len(data)
                    done += len(data)
                    if progress is not None:
                        progress(done, self.total_bytes)

    def begins_anew_after(self, error: ServiceError) -> bool:
        """Whether what came was damaged on its way: once, the disk there or a part may be to blame, twice the files are."""
        if not isinstance(error, UploadDamaged):
            return False
        self.failures.append(error)
        return len(self.failures) == 1


def received_of(reply: pb.PublishReply) -> dict[str, int]:
    return {file.name: file.bytes for file in reply.received}


def _identity(begin: pb.PublishBegin) -> str:
    """The same for the same content, so that a publisher that was killed goes on where it was, and publishes nothing twice."""
    digest = hashlib.sha256()
    for text in (begin.model, *(text for file in begin.files for text in (file.name, file.digest))):
        digest.update(f"{len(text)}:{text}".encode())
    for name, value in sorted(begin.tags.items()):
        digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode())
    return digest.hexdigest()
