"""Where a repository lives: who gives numbers, moves aliases and makes whole versions appear or go, each in one step.

What a repository is (models, numbered versions, aliases, a gate) is told by repository.py, and is the same in every home. A home
shows the truth as files in a folder of this machine, which readers read; only it changes them. Knows no gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository.aliases import AliasTable
from cellserve.service.registry.repository.layout import Fingerprint
from cellserve.service.registry.repository.publications import Publication

if TYPE_CHECKING:
    from cellserve.models.served import Numbers


WriteRollout = Callable[[Rollout], None]


class WalkedElsewhere(RepositoryError):
    """The right to walk a model's aliases is another server's by now."""


class Home(Protocol):
    """Every method may block, and raises OSError, or RepositoryError where it has more to tell. Used by any thread or process."""

    @property
    def name(self) -> str:
        """As its owner calls it."""
        ...

    @property
    def folder(self) -> Path:
        """Where the repository is seen on this machine: `<folder>/<model>/<version>/`, as repository.py says."""
        ...

    @property
    def address(self) -> Mapping[str, Any]:
        """By which another process of this machine opens it (remote/opening.py), as JSON has it."""
        ...

    @property
    def poll_seconds(self) -> float | None:
        """How often to ask whether others have changed it; None: the folder's own file events tell."""
        ...

    def create(self) -> None:
        """Makes it usable where it is missing."""
        ...

    def refresh(self) -> None:
        """Makes the folder show the truth of now."""
        ...

    def problem(self, model: str) -> str:
        """Why the folder may not show the truth about a model; empty where it does."""
        ...

    def place(self, draft: Manifest, weights: Numbers, publication: Publication | None) -> Manifest:
        """Gives the draft the next number, and makes it a version, whole at once; at most one of a publication."""
        ...

    def change_aliases(self, model: str, decide: Callable[[], AliasTable], by: str, why: str = "") -> AliasTable:
        """Makes the aliases what `decide`, which reads the folder, says: nobody else changes the model between the two.

        decide: may be asked again where somebody else was faster. by, why: as in AliasMove. Gives what they are now.
        """
        ...

    def remove_version(self, key: VersionKey, check: Callable[[], None]) -> None:
        """Takes it away, unless `check`, which reads the folder, raises; its number is never given again."""
        ...

    def remove_model(self, model: str) -> None: ...

    def rollouts(self, model: str) -> Mapping[str, Rollout]:
        """Of each alias the gradual promote that walks, or the last one that did."""
        ...

    def walker(self, model: str) -> AbstractContextManager[WriteRollout | None]:
        """The right to walk a model's aliases, and what writes down how far; None: another server has it."""
        ...

    def sweep(self) -> None:
        """Removes what processes that were killed have left, as far as this one may."""
        ...

    def fingerprint(self, key: VersionKey) -> Fingerprint:
        """Changes when the files of a version change. Empty if they are gone."""
        ...

    def manifest(self, key: VersionKey) -> bytes:
        """What manifest.json of a version says."""
        ...

    def numbers(self, key: VersionKey, file: str) -> AbstractContextManager[Path]:
        """The file of a version's numbers, here for as long as it is held."""
        ...
