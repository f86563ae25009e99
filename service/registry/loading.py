"""From a published version on disk to a network that may serve: read, build, prove on this device, warm up.

Heavy and blocking: the catalog calls it in a thread. Knows no states and no engine.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cellserve.models.errors import ModelError
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError, ServiceError
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.repository.repository import Repository

if TYPE_CHECKING:
    from cellserve.models.served import Served

log = logging.getLogger(__name__)


def load_version(repository: Repository, key: VersionKey, settings: Settings) -> tuple[LoadedVersion, Served]:
    """Verifies the digest, then recomputes the golden pair on the serving device under every implementation.

    An implementation that misses it is withdrawn, with its reason; if none is left, or the files are damaged, raises
    RepositoryError. Raises ModelError too (weights that do not fit the description).
    """
    manifest, network, withdrawn = prove(repository, key, settings.device)
    for label, failure in withdrawn.items():
        log.warning("%s does not offer implementation %s here: %s", key, label, failure)
    default = _default(network, settings.implementation, key)
    for label in _offered(network):
        network.warm_up(label)
    version = LoadedVersion(
        key=key,
        manifest=manifest,
        spec=network.spec,
        shapes=network.shapes,
        state_layout=network.state_layout,
        implementations=network.implementations,
        default_implementation=default,
        causal=network.causal,
    )
    return version, network


def prove(repository: Repository, key: VersionKey, device: str) -> tuple[Manifest, Served, Mapping[str, str]]:
    """The network of a version, whose digest and golden pair hold on `device`, without the implementations that miss the pair;
    those and why. Raises UnknownModel, UnknownVersion, RepositoryError, ModelError: it cannot be served.
    """
    from cellserve.models.devices import resolve_device
    from cellserve.models.served import served

    manifest = repository.manifest(key.model, key.version)
    network = served(manifest.spec, repository.weights(key.model, key.version), resolve_device(device))
    return manifest, network, _withdraw_what_fails(network, manifest)


def failure_words(error: Exception) -> str:
    """Why a version cannot be loaded, for whoever asks for it."""
    return str(error) if isinstance(error, ServiceError | ModelError) else f"{type(error).__name__}: {error}"


def _withdraw_what_fails(network: Served, manifest: Manifest) -> dict[str, str]:
    from cellserve.models.measuring.gate import verify
    from cellserve.models.measuring.parity import GoldenPair, ParityFailure

    try:
        golden = GoldenPair.from_json(manifest.golden)
    except (KeyError, TypeError, ValueError) as error:
        raise RepositoryError(f"the golden pair in the manifest of {manifest.key} is damaged: {error}") from error
    withdrawn: dict[str, str] = {}
    for label in _offered(network):
        try:
            verify(network, golden, manifest.parity.bound, label)
        except ParityFailure as failure:
            withdrawn[label] = str(failure)
            network.withdraw(label, str(failure))
    if not _offered(network):
        reasons = "; ".join(f"{label}: {refusal}" for label, refusal in network.implementations.items())
        raise RepositoryError(f"no implementation gives the published answers on {network.device} ({reasons})")
    return withdrawn


def _offered(network: Served) -> list[str]:
    return [label for label, refusal in network.implementations.items() if refusal is None]


def _default(network: Served, wished: str, key: VersionKey) -> str:
    offered = _offered(network)
    if wished in offered:
        return wished
    if wished != "auto":
        why = network.implementations.get(wished) or "this server does not have it"
        log.warning("%s cannot run under implementation %s (%s); it uses its own default", key, wished, why)
    return network.default_implementation if network.default_implementation in offered else offered[-1]
