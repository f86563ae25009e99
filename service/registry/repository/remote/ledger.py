"""The truth about one model in an object store: one small object, ledger.json, which is read, changed and written back only if
nobody else has meanwhile. So numbers, aliases and history change together, in one step, or not at all.

    models/NAME/ledger.json      this
    models/NAME/model.yaml       what the model's owner says, as beside a folder's versions
    content/NAME/ID/…            manifests and numbers, under an id of their own; nobody sees them before a ledger names them

Pure. Knows no store and no disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from cellserve.service.registry.manifest import check_model_name
from cellserve.service.registry.repository.alias_history import AliasMove, differences
from cellserve.service.registry.repository.aliases import AliasTable, alias_content, alias_table
from cellserve.service.registry.repository.publications import Publication

MODELS: Final = "models"
CONTENT: Final = "content"
LEDGER_FILE: Final = "ledger.json"
_MOST_MOVES: Final = 1000  # the last ones; each change writes them anew
_MOST_CHANGES: Final = 64
_SEALED: Final = re.compile(rb'\{"sha256":"([0-9a-f]{64})","ledger":(.*)\}', re.DOTALL)
_PATH: Final = re.compile(rf"{CONTENT}/[A-Za-z0-9_][A-Za-z0-9._-]*/[0-9a-f]{{32}}/[a-z0-9.-]+")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _content_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError("is no path of content")
    return path


class StoredFile(_Frozen):
    """digest: the SHA-256 of its bytes."""

    path: Annotated[str, AfterValidator(_content_path)]
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    bytes: NonNegativeInt


class VersionRecord(_Frozen):
    """file: what the numbers are called in a version's folder."""

    manifest: StoredFile
    numbers: StoredFile
    file: Literal["weights.safetensors", "graph.onnx"]
    publication: Publication | None = None


class Ledger(_Frozen):
    """highest: the last number that was given. changes: ids of the last changes, by which a writer whose answer was lost knows
    that it has written.
    """

    schema_version: Literal[1] = 1
    model: Annotated[str, AfterValidator(check_model_name)]
    highest: NonNegativeInt = 0
    versions: Mapping[PositiveInt, VersionRecord] = Field(default_factory=dict)
    aliases: Mapping[str, PositiveInt | dict[str, float]] = Field(default_factory=dict)
    moves: tuple[AliasMove, ...] = ()
    changes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, model: str, content: bytes) -> Self:
        """Raises ValueError: it is no ledger of this model, or not as it was written."""
        sealed = _SEALED.fullmatch(content)
        if sealed is None:
            raise ValueError("it is no ledger")
        if hashlib.sha256(sealed[2]).hexdigest().encode() != sealed[1]:
            raise ValueError("it is not what was written")
        ledger = cls.model_validate_json(sealed[2])
        if ledger.model != model:
            raise ValueError(f"it is the ledger of {ledger.model}")
        if any(number > ledger.highest for number in ledger.versions):
            raise ValueError("it holds a version whose number was never given")
        alias_table(ledger.aliases)
        return ledger

    def to_json(self) -> bytes:
        told: dict[str, Any] = self.model_dump(mode="json", exclude={"moves"}, exclude_defaults=True)
        told |= {"schema_version": self.schema_version, "moves": [json.loads(move.line) for move in self.moves]}
        content = json.dumps(told, separators=(",", ":")).encode()
        return b'{"sha256":"%s","ledger":%s}' % (hashlib.sha256(content).hexdigest().encode(), content)

    @property
    def table(self) -> AliasTable:
        return alias_table(self.aliases)

    @property
    def aliases_file(self) -> bytes:
        """As aliases.json of a folder."""
        return json.dumps(dict(self.aliases), indent=1, sort_keys=True).encode()

    @property
    def history_file(self) -> bytes:
        """As the history of a folder."""
        return b"".join(move.line + b"\n" for move in self.moves)

    @property
    def content(self) -> set[str]:
        """Paths of all that it names."""
        return {file.path for record in self.versions.values() for file in (record.manifest, record.numbers)}

    def published_as(self, publication: Publication | None) -> int | None:
        """The newest version that a publication has become."""
        if publication is None:
            return None
        ids = {n: record.publication.publication_id for n, record in self.versions.items() if record.publication is not None}
        return max((n for n, publication_id in ids.items() if publication_id == publication.publication_id), default=None)

    def with_version(self, record: VersionRecord) -> Ledger:
        """Under the next number."""
        number = self.highest + 1
        return self.model_copy(update={"highest": number, "versions": {**self.versions, number: record}})

    def without_version(self, version: int) -> Ledger:
        return self.model_copy(update={"versions": {n: record for n, record in self.versions.items() if n != version}})

    def without_all(self) -> Ledger:
        """The model is removed; that its numbers were given stays known."""
        return Ledger(model=self.model, highest=self.highest, changes=self.changes)

    def with_aliases(self, table: AliasTable, by: str, why: str = "") -> Ledger:
        before = self.table
        moved = differences(before.versions, table.versions, by, splits_before=before.splits, splits_after=table.splits, why=why)
        moves = (*self.moves, *moved)[-_MOST_MOVES:]
        return self.model_copy(update={"aliases": alias_content(*table), "moves": moves})

    def noting(self, change: str) -> Ledger:
        return self.model_copy(update={"changes": (*self.changes, change)[-_MOST_CHANGES:]})


def ledger_path(model: str) -> str:
    return f"{MODELS}/{model}/{LEDGER_FILE}"
