"""What a publisher says that it will send: the model, the files with their sizes and digests, and who it is. Knows no disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from cellserve.service.errors import InvalidInput
from cellserve.service.registry.manifest import check_model_name
from cellserve.service.registry.repository import layout

IMPORT_FILE: Final = "model.json"  # as an importer leaves it; in its place the manifest of a version that was published elsewhere
ANSWERS_FILE: Final = "answers.npz"
_HEADS: Final = (IMPORT_FILE, layout.MANIFEST_FILE)
_NUMBERS: Final = (layout.WEIGHTS_FILE, layout.GRAPH_FILE)
_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,128}")
_MOST_TAGS: Final = 64
_LONGEST_TEXT: Final = 256


class DeclaredFile(BaseModel):
    """digest: "sha256:…" of the whole file."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: NonNegativeInt
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")


class Declaration(BaseModel):
    """Of one publication. by: who publishes, for the version's record."""

    model_config = ConfigDict(frozen=True)

    model: str
    publication_id: str
    files: tuple[DeclaredFile, ...]
    tags: Mapping[str, str] = Field(default_factory=dict)
    by: str = ""

    @classmethod
    def checked(
        cls, model: str, publication_id: str, files: Sequence[tuple[str, int, str]], tags: Mapping[str, str], by: str
    ) -> Declaration:
        """files: name, bytes, digest of each. Raises InvalidInput, saying which part is wrong."""
        check_model_name(model)
        if not _ID.fullmatch(publication_id):
            raise InvalidInput(
                "a publication is named by 8 to 128 letters, digits, '-' and '_', the same for every attempt at it",
                field="begin.publication_id",
            )
        names = [name for name, _, _ in files]
        if not _is_version(names):
            listed = ", ".join(name[:64] for name in names[:8]) or "none"
            raise InvalidInput(
                f"the files of a version are {IMPORT_FILE} with {ANSWERS_FILE}, or {layout.MANIFEST_FILE}, and beside it "
                f"{layout.WEIGHTS_FILE} or {layout.GRAPH_FILE}; declared are: {listed}",
                field="begin.files",
            )
        if len(tags) > _MOST_TAGS or any(len(text) > _LONGEST_TEXT for pair in tags.items() for text in pair):
            raise InvalidInput(f"a version has at most {_MOST_TAGS} tags of {_LONGEST_TEXT} characters", field="begin.tags")
        try:
            declared = tuple(DeclaredFile(name=name, bytes=size, digest=digest) for name, size, digest in files)
        except ValidationError as error:
            raise InvalidInput(
                "a file is declared with its size in bytes and its digest, sha256: and 64 hexadecimal digits", field="begin.files"
            ) from error
        return cls(model=model, publication_id=publication_id, files=declared, tags=dict(tags), by=by)

    @property
    def total_bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def folder(self) -> str:
        """The name of its folder among the uploads."""
        return hashlib.sha256(f"{self.model}\0{self.publication_id}".encode()).hexdigest()

    def same_content(self, other: Declaration) -> bool:
        return (self.model, self.publication_id, self.files) == (other.model, other.publication_id, other.files)

    def file(self, name: str) -> DeclaredFile:
        """Raises InvalidInput."""
        for file in self.files:
            if file.name == name:
                return file
        raise InvalidInput(f"a part of {name[:64]!r} came, which was not declared", field="content.name")


def _is_version(names: Sequence[str]) -> bool:
    heads = [name for name in names if name in _HEADS]
    numbers = [name for name in names if name in _NUMBERS]
    rest = [name for name in names if name not in (*_HEADS, *_NUMBERS)]
    asked = [ANSWERS_FILE] if heads == [IMPORT_FILE] else []
    return len(heads) == 1 and len(numbers) == 1 and rest == asked
