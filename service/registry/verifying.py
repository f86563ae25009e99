"""Whether what is published could be served: each version as a server would prove it, and what aliases point at.

Heavy, as loading is. Changes nothing, and knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.loading import failure_words, prove
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository.model_on_disk import read_model
from cellserve.service.registry.repository.repository import Repository

_DEVICE: Final = "cpu"  # where the gate of publishing has measured the bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a version, or (version None) on what lies beside a model's versions. problem: empty if it could be served.

    withdrawn: implementations that miss the golden pair here, and why; the others would serve it.
    """

    model: str
    version: int | None
    aliases: tuple[str, ...] = ()
    problem: str = ""
    withdrawn: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.model if self.version is None else f"{self.model}/{self.version}"


def require_servable(repository: Repository, key: VersionKey) -> Mapping[str, str]:
    """Before an alias points at it. Gives the implementations that miss the golden pair here, and why.

    Raises UnknownModel, UnknownVersion, RepositoryError: it cannot be served, and why.
    """
    repository.resolve(ModelRef(key.model, version=key.version))
    verdict = verify_version(repository, key)
    if verdict.problem:
        raise RepositoryError(f"{key} cannot be served, and no alias was moved: {verdict.problem}")
    return verdict.withdrawn


def verify_version(repository: Repository, key: VersionKey, aliases: tuple[str, ...] = ()) -> Verdict:
    """Digest and golden pair, under every implementation."""
    try:
        withdrawn = prove(repository, key, _DEVICE)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # whatever it is, it would fail a server in the same way
        return Verdict(key.model, key.version, aliases, failure_words(error))
    return Verdict(key.model, key.version, aliases, withdrawn=withdrawn)


def verify(repository: Repository, ref: ModelRef | None = None) -> Iterator[Verdict]:
    """One after the other, of a version (`name/3`, `name@alias`), of a model (`name`), or of all; and what is wrong beside them.

    Raises UnknownModel, UnknownVersion, RepositoryError (the root itself).
    """
    if ref is not None and (ref.version is not None or ref.alias is not None):
        yield verify_version(repository, key := repository.resolve(ref), _named(repository, key))
        return
    for model in [ref.model] if ref is not None else repository.models():
        state = read_model(repository, model)
        for version in state.versions:
            yield verify_version(repository, VersionKey(model, version), state.aliases_of(version))
        for version, problem in state.dangling.items():
            yield Verdict(model, version, state.aliases_of(version), problem)
        yield from (Verdict(model, None, (), problem) for problem in state.problems)


def _named(repository: Repository, key: VersionKey) -> tuple[str, ...]:
    return read_model(repository, key.model).aliases_of(key.version)
