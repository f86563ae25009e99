"""A loaded version as requests see it, and a counted use of one. Knows no disk and no engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from cellserve.models.description.described import Described
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.preparation import Preparation
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.memory.footprint import Footprint


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """Everything the door needs to check a request against.

    shapes: by tensor reference. implementations: label → None if offered, else the sentence why not; as it is by now.
    preparation: of its ways that are not proved yet, if any. footprint: what it takes of memory, as measured last.
    """

    key: VersionKey
    manifest: Manifest
    spec: Described
    shapes: Mapping[str, TensorShape]
    state_layout: StateLayout
    implementations: Mapping[str, str | None]
    default_implementation: str
    causal: bool
    preparation: Preparation | None = None
    footprint: Footprint = field(default_factory=Footprint, compare=False)


class Lease:
    """While it is held, its version stays in the engine. Released once, on the event loop; releasing again does nothing."""

    def __init__(self, version: LoadedVersion, on_release: Callable[[], None]) -> None:
        self.version = version
        self._on_release: Callable[[], None] | None = on_release

    def release(self) -> None:
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
