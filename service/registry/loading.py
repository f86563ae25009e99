"""From a published version on disk to a network that may serve: read, build, prove on this device, warm up.

Heavy and blocking: the catalog calls it in a thread. Knows no states and no engine.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from cellserve.models.errors import ModelError
from cellserve.models.measuring.held_memory import held_bytes
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import ServiceError
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.memory.footprint import Footprint
from cellserve.service.registry.proving import Prover
from cellserve.service.registry.repository.repository import Repository

if TYPE_CHECKING:
    from cellserve.models.served import Served

log = logging.getLogger(__name__)


def load_version(repository: Repository, manifest: Manifest, settings: Settings) -> tuple[LoadedVersion, Served]:
    """Verifies the digest, then recomputes the golden pair on the serving device: under every implementation where that needs
    torch anyhow, else under the one that answers whoever names none, and under others when they are first asked for.

    An implementation that misses it is withdrawn, with its reason; if none is left, or the files are damaged, raises
    RepositoryError. Raises ModelError too (weights that do not fit the description).
    """
    key, network = manifest.key, _network(repository, manifest, settings.device)
    footprint = Footprint(network.weights_bytes, partial(held_bytes, network))
    prover = Prover(manifest, network, footprint.measure)
    default, preparation = prover.prepare(_wished(network, settings.implementation, key))
    version = LoadedVersion(
        key=key,
        manifest=manifest,
        spec=network.spec,
        shapes=network.shapes,
        state_layout=network.state_layout,
        implementations=network.implementations,
        default_implementation=default,
        causal=network.causal,
        preparation=preparation,
        footprint=footprint,
    )
    return version, network


def prove(repository: Repository, key: VersionKey, device: str) -> Mapping[str, str]:
    """That a version can be served: its digest and its golden pair hold on `device`. The implementations that miss the pair, and
    why. Raises UnknownModel, UnknownVersion, RepositoryError, ModelError: it cannot be served.
    """
    manifest = repository.manifest(*key)
    prover = Prover(manifest, _network(repository, manifest, device))
    prover.prove_all()
    return prover.withdrawn


def failure_words(error: Exception) -> str:
    """Why a version cannot be loaded, for whoever asks for it."""
    return str(error) if isinstance(error, ServiceError | ModelError) else f"{type(error).__name__}: {error}"


def _network(repository: Repository, manifest: Manifest, device: str) -> Served:
    from cellserve.models.devices import resolve_device
    from cellserve.models.served import served

    return served(manifest.spec, repository.numbers(manifest), resolve_device(device))


def _wished(network: Served, wished: str, key: VersionKey) -> str | None:
    """None where the network's own default is wished, or what is wished cannot be."""
    if wished == "auto" or network.implementations.get(wished, "") is None:
        return None if wished == "auto" else wished
    why = network.implementations.get(wished) or "this server does not have it"
    log.warning("%s cannot run under implementation %s (%s); it uses its own default", key, wished, why)
    return None
