"""Everything known of one version, loaded or not. Knows no disk and no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.policy.split import Weights
from cellserve.service.registry.repository.alias_history import AliasMove
from cellserve.service.registry.status import VersionStatus


@dataclass(frozen=True, slots=True)
class VersionDescription:
    """versions: every published one of the model, ascending. loaded: None while it is not. settings: the model's. published_by:
    over the wire; empty where it was imported on the disk, or nobody knows. alias_moves: of the model, oldest first. splits: of
    those of its aliases that are split.
    """

    status: VersionStatus
    versions: Sequence[int]
    manifest: Manifest
    loaded: LoadedVersion | None
    settings: ModelSettings = field(default_factory=ModelSettings)
    published_by: str = ""
    alias_moves: Sequence[AliasMove] = ()
    splits: Mapping[str, Weights] = field(default_factory=dict)

    @property
    def implementations(self) -> Mapping[str, str | None]:
        """Label → None if it can run, else why not: here if it is loaded, else as it was when published."""
        if self.loaded is not None:
            return self.loaded.implementations
        parity = self.manifest.parity
        return dict.fromkeys(sorted(parity.differences)) | dict(parity.refused)

    @property
    def default_implementation(self) -> str | None:
        """None while it is not loaded: the server's settings decide then."""
        return None if self.loaded is None else self.loaded.default_implementation
