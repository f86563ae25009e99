"""The trail of a model's aliases on disk: one line of JSON for each move, appended and never changed.

What a line says: when, which alias, from and to which version (null: none), and by whom, where that is known. A move that was
found (aliases.json was changed by hand, or before there was a trail) says so: its time is that of the finding. Writers hold the
repository's lock. Knows neither what aliases mean now nor who may move them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from cellserve.service.registry.policy.split import Weights, split_words

HISTORY_FILE: Final = "alias-history.jsonl"

_NONE: Final[Mapping[str, Weights]] = {}

Mark = tuple[int, int, int] | None  # of a file as it was read; None: there is none


class AliasMove(BaseModel):
    """before, after: versions; None before the alias existed, and after it was removed. by: empty where nobody knows.

    split: the shares of versions from then on; empty: all to `after`. why: where it was no person who decided.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    when: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    alias: str
    before: PositiveInt | None = Field(default=None, validation_alias="from", serialization_alias="from")
    after: PositiveInt | None = Field(default=None, validation_alias="to", serialization_alias="to")
    by: str = ""
    found: bool = False
    split: Mapping[int, float] = Field(default_factory=dict)
    why: str = ""

    @property
    def line(self) -> bytes:
        """As the file has it."""
        said_by_few = {name for name in ("split", "why") if not getattr(self, name)}
        return self.model_dump_json(by_alias=True, exclude=said_by_few).encode()

    @property
    def words(self) -> str:
        """ "from 1 to 2 (by root@host)"."""
        if self.split:
            moved = f"split, {split_words(self.split)}"
        elif self.before == self.after:
            moved = f"all to {self.after} again"
        elif self.after is None:
            moved = f"removed, was {self.before}"
        else:
            moved = f"set to {self.after}" if self.before is None else f"from {self.before} to {self.after}"
        return f"{moved} ({self.told_by}{f'; {self.why}' if self.why else ''})"

    @property
    def told_by(self) -> str:
        if self.found:
            return "found so, moved by nobody known"
        return f"by {self.by}" if self.by else "by nobody known"


@dataclass(frozen=True, slots=True)
class Trail:
    """Every move that can be read, oldest first; the number of lines that cannot."""

    moves: tuple[AliasMove, ...] = ()
    unreadable: int = 0
    mark: Mark = field(default=None, compare=False)

    @property
    def aliases(self) -> dict[str, int]:
        """Alias → version after the last move."""
        named: dict[str, int] = {}
        for move in self.moves:
            if move.after is None:
                named.pop(move.alias, None)
            else:
                named[move.alias] = move.after
        return dict(sorted(named.items()))

    @property
    def splits(self) -> dict[str, dict[int, float]]:
        """The shares of the aliases that the last move left split."""
        moves = {alias: self.last(alias) for alias in self.aliases}
        return {alias: dict(move.split) for alias, move in moves.items() if move is not None and move.split}

    def last(self, alias: str) -> AliasMove | None:
        return next((move for move in reversed(self.moves) if move.alias == alias), None)


def read(folder: Path, known: Trail | None = None) -> Trail:
    """Of a model's folder; empty where there is none. known: given back if the file is as it was then. Raises OSError."""
    path = folder / HISTORY_FILE
    try:
        stat = path.stat()
        mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if known is not None and known.mark == mark:
            return known
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return Trail()
    moves, unreadable = [], 0
    for line in filter(bytes.strip, lines):
        try:
            moves.append(AliasMove.model_validate_json(line))
        except ValidationError:
            unreadable += 1
    return Trail(tuple(moves), unreadable, mark)


def differences(
    before: Mapping[str, int],
    after: Mapping[str, int],
    by: str = "",
    *,
    found: bool = False,
    splits_before: Mapping[str, Weights] = _NONE,
    splits_after: Mapping[str, Weights] = _NONE,
    why: str = "",
) -> list[AliasMove]:
    """The moves that lead from one to the other."""
    return [
        AliasMove(
            alias=alias,
            before=before.get(alias),
            after=after.get(alias),
            by=by,
            found=found,
            split=splits_after.get(alias, {}),
            why=why,
        )
        for alias in sorted({*before, *after})
        if before.get(alias) != after.get(alias) or splits_before.get(alias, {}) != splits_after.get(alias, {})
    ]


def append(folder: Path, moves: Iterable[AliasMove]) -> None:
    """Adds a line for each, forced to disk. A line that a crash has cut short is left alone. Raises OSError."""
    text = b"".join(move.line + b"\n" for move in moves)
    if not text:
        return
    descriptor = os.open(folder / HISTORY_FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = b"\n" + text
        while text:
            text = text[os.write(descriptor, text) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
