"""The aliases of one model on disk: aliases.json, which counts, beside the trail of its moves.

The trail also tells what aliases.json was where that is missing, damaged or was changed by hand. Writers hold the repository's
lock. Knows no manifests: whether a version exists is asked before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import PositiveInt, TypeAdapter, ValidationError

from cellserve.service import disk
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.manifest import parse_version
from cellserve.service.registry.policy.split import Weights, checked, main_version
from cellserve.service.registry.repository import alias_history, layout
from cellserve.service.registry.repository.alias_history import Trail

log = logging.getLogger(__name__)

_ALIASES = TypeAdapter(dict[str, PositiveInt | dict[str, float]])


class AliasTable(NamedTuple):
    """versions: what each alias means, of a split its main version. splits: the shares of those that are split."""

    versions: dict[str, int]
    splits: dict[str, dict[int, float]]


class Aliases:
    """Of the model in `folder`, which exists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, trail: Trail | None = None) -> dict[str, int]:
        """Alias → version. Raises as `table`."""
        return self.table(trail).versions

    def table(self, trail: Trail | None = None) -> AliasTable:
        """trail: as was just read. Raises RepositoryError: aliases.json is damaged, or gone."""
        path = self._folder / layout.ALIASES_FILE
        try:
            return self._read_table(path)
        except FileNotFoundError as error:
            if not (recorded := (trail or self.trail()).aliases):
                return AliasTable({}, {})
            if path.exists():  # the first ones came meanwhile: it is written before their history
                return self.table(trail)
            raise RepositoryError(
                f"{path} is missing, though there were aliases: {_listed(recorded)}; {self._way_out}"
            ) from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else _first_mistake(error)
            raise RepositoryError(
                f"{path} is damaged: expected a JSON object of alias names and versions, or shares of versions ({reason}); "
                f"{self._way_out}"
            ) from error

    def _read_table(self, path: Path) -> AliasTable:
        return alias_table(_ALIASES.validate_json(path.read_bytes(), strict=True))

    def trail(self, known: Trail | None = None) -> Trail:
        """Empty where it cannot be read. known: as in alias_history."""
        try:
            return alias_history.read(self._folder, known)
        except OSError as error:
            log.warning("%s cannot be read: %s", self._folder / alias_history.HISTORY_FILE, error.strerror)
            return Trail()

    def known(self) -> AliasTable:
        """As `table`; where that is impossible, what the trail says they were."""
        trail = self.trail()
        try:
            return self.table(trail)
        except RepositoryError:
            return AliasTable(trail.aliases, trail.splits)

    def write(self, aliases: Mapping[str, int], by: str, splits: Mapping[str, Weights] | None = None, why: str = "") -> None:
        """Makes them these, and records each move; those that nobody has recorded too. Raises OSError.

        splits: of the aliases that are split; None: as they are, of those that are left and mean what they meant. The aliases
        count even if the trail cannot be written; that is told in the log.
        """
        trail, (known, known_splits) = self.trail(), self.known()
        if splits is None:
            splits = {alias: split for alias, split in known_splits.items() if aliases.get(alias) == known[alias]}
        content = alias_content(aliases, splits)
        disk.replace_file(self._folder / layout.ALIASES_FILE, json.dumps(content, indent=1, sort_keys=True).encode(), b" ")
        moves = [
            *alias_history.differences(trail.aliases, known, found=True),
            *alias_history.differences(known, aliases, by, splits_before=known_splits, splits_after=splits, why=why),
        ]
        try:
            alias_history.append(self._folder, moves)
        except OSError as error:
            told = "; ".join(f"{move.alias} {move.words}" for move in moves)
            log.warning("the history of %s's aliases cannot be written (%s): %s", self._folder.name, error.strerror, told)

    @property
    def _way_out(self) -> str:
        return f"write it anew with: cellserve promote {self._folder.name} VERSION --alias ALIAS"


def alias_content(versions: Mapping[str, int], splits: Mapping[str, Weights]) -> dict[str, int | dict[str, float]]:
    """As aliases.json has them."""
    shares = {alias: {str(version): weight for version, weight in split.items()} for alias, split in splits.items()}
    return {alias: shares.get(alias, version) for alias, version in versions.items()}


def alias_table(content: Mapping[str, int | Mapping[str, float]]) -> AliasTable:
    """Of what aliases.json holds. Raises ValueError: a split that is none."""
    versions, splits = {}, {}
    for alias, meant in sorted(content.items()):
        if isinstance(meant, int):
            versions[alias] = meant
            continue
        numbers = {parse_version(text): weight for text, weight in meant.items()}
        if None in numbers:
            raise ValueError(f"{alias} is split between what are no versions: {', '.join(meant)}")
        splits[alias] = checked({version: weight for version, weight in numbers.items() if version is not None})
        versions[alias] = main_version(splits[alias])
    return AliasTable(versions, splits)


def _first_mistake(error: ValueError) -> str:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


def changed_by_hand(model: str, aliases: Mapping[str, int], trail: Trail) -> dict[str, str]:
    """Alias → how aliases.json differs from the last move that was recorded; nothing where no move ever was."""
    if not trail.moves:
        return {}
    return {
        move.alias: f"aliases.json of {model} was changed by hand: {move.alias} is {move.after or 'gone'}, "
        f"and was last set to {move.before or 'nothing'}"
        for move in alias_history.differences(trail.aliases, aliases)
    }


def _listed(aliases: Mapping[str, int]) -> str:
    return ", ".join(f"{alias} was {version}" for alias, version in aliases.items())
