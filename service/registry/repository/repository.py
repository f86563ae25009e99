"""What is published: `<root>/<model>/<version>/{manifest.json, weights.safetensors}` (of a step model graph.onnx) and
`<root>/<model>/aliases.json`.

Versions are immutable and numbered at publish; aliases are the only thing that changes in place, and their moves are recorded.
Where the truth of it is, and how it changes in one step, is its home's affair (home.py): here it is read, and what may become of
it is decided. Hidden entries (names that start with a dot) are work under way or left by a crash, and are ignored. A damaged
model raises RepositoryError and never hurts another one. Knows no engine and nothing of what is loaded. Safe to use from any
thread or process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from cellserve.models.description.step_model import StepModel
from cellserve.models.errors import ModelError
from cellserve.service import disk
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, RepositoryError, UnknownModel, UnknownVersion
from cellserve.service.registry import model_settings
from cellserve.service.registry.manifest import (
    STABLE,
    Manifest,
    ModelRef,
    ParityRecord,
    SourceRecord,
    check_alias_name,
    check_model_name,
)
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.policy.split import Weights
from cellserve.service.registry.repository import layout, pointing, publications, served
from cellserve.service.registry.repository.alias_history import Trail
from cellserve.service.registry.repository.aliases import Aliases, AliasTable
from cellserve.service.registry.repository.folder import Folder
from cellserve.service.registry.repository.home import Home, WriteRollout
from cellserve.service.registry.repository.pointing import MovedMeanwhile
from cellserve.service.registry.repository.publications import Publication
from cellserve.service.registry.repository.publish_gate import PublishGate, parity_gate, with_answers
from cellserve.service.registry.repository.served import Served

if TYPE_CHECKING:
    from cellserve.models.importers import Imported
    from cellserve.models.measuring.framework_answers import FrameworkAnswers
    from cellserve.models.served import Numbers

log = logging.getLogger(__name__)

_PATIENCE_SECONDS: Final = 5.0  # with whoever writes, far longer than a change takes


def _no_progress(step: str) -> None:
    """Progress that nobody watches."""


class Repository:
    """Models, in a folder or in another home. One that does not exist has none; the first publish, or `create`, makes it.

    gate: what a version must pass to be published; raises ModelError. by: who moves aliases, for their history.
    """

    def __init__(self, home: Path | Home, gate: PublishGate = parity_gate, by: str = "") -> None:
        self._home: Home = Folder(home) if isinstance(home, Path) else home
        self.root = self._home.folder
        self._gate = gate
        self._by = by

    @property
    def name(self) -> str:
        """As its owner calls it."""
        return self._home.name

    @property
    def address(self) -> Mapping[str, Any]:
        """By which another process of this machine opens it."""
        return self._home.address

    @property
    def poll_seconds(self) -> float | None:
        """How often to ask whether it has changed; None: the folder's file events tell."""
        return self._home.poll_seconds

    def create(self) -> None:
        """Makes it usable if it is missing. Raises RepositoryError."""
        with _disk_trouble(f"the repository folder {self.root} cannot be used"):
            self._home.create()

    def refresh(self) -> None:
        """What is read from here on is at least as new as this moment. Raises RepositoryError: that cannot be told."""
        with _disk_trouble(f"the repository {self.name} cannot be read"):
            self._home.refresh()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nobody on this machine is half way through a change of it, unless that takes very long or nothing can be locked."""
        with ExitStack() as stack:
            try:
                held = stack.enter_context(disk.still(self.root, _PATIENCE_SECONDS))
            except OSError as error:
                log.debug("%s is read without its lock: %s", self.root, error)
            else:
                if not held:
                    log.debug("%s has been written to for %g s; it is read meanwhile", self.root, _PATIENCE_SECONDS)
            yield

    # --- reading ---

    def models(self) -> list[str]:
        """Names of the models that have at least one version, sorted."""
        try:
            folders = list(self.root.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RepositoryError(f"the repository folder {self.root} cannot be read: {error.strerror}") from error
        return sorted(folder.name for folder in folders if layout.is_model(folder) and layout.version_numbers(folder))

    def versions(self, model: str) -> list[int]:
        """Published versions, ascending. Raises UnknownModel."""
        numbers = layout.version_numbers(self.root / check_model_name(model))
        if not numbers:
            raise UnknownModel(f"the repository {self.name} has no model {model!r}", field="model")
        return numbers

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version. Raises UnknownModel, RepositoryError (aliases.json is damaged, or gone)."""
        return self.alias_table(model).versions

    def alias_table(self, model: str) -> AliasTable:
        """As `aliases`, with how they are split."""
        table = self._aliases(model).table()
        if problem := self._home.problem(model):
            raise RepositoryError(problem)
        return table

    def alias_trail(self, model: str, known: Trail | None = None) -> Trail:
        """How the aliases moved. known: given back where nothing was added since. Raises UnknownModel."""
        return self._aliases(model).trail(known)

    def served(self, model: str) -> Served:
        """By which versions a server has answered the aliases. Raises UnknownModel."""
        self.versions(model)
        return served.read(self.root / model)

    def settings(self, model: str) -> ModelSettings:
        """What the owner says of the model in model.yaml. Raises InvalidInput (the name), RepositoryError (it is damaged)."""
        return model_settings.read(self.root / check_model_name(model))

    def manifest(self, model: str, version: int) -> Manifest:
        """Raises UnknownModel, UnknownVersion, RepositoryError (the manifest is missing or damaged)."""
        path = self._version_folder(model, version) / layout.MANIFEST_FILE
        try:
            manifest = Manifest.model_validate_json(self._home.manifest(VersionKey(model, version)))
        except FileNotFoundError as error:
            raise RepositoryError(f"{path} is missing: the version is damaged; remove it and import the file again") from error
        except (OSError, ValidationError, InvalidInput, ModelError) as error:
            raise RepositoryError(f"{path} is damaged: {_first_line(error)}") from error
        if manifest.key != VersionKey(model, version):
            raise RepositoryError(f"{path} says it is {manifest.key}; folders of the repository must not be renamed or copied")
        return manifest

    def weights(self, model: str, version: int) -> Numbers:
        """As `numbers`, of a version."""
        return self.numbers(self.manifest(model, version))

    def numbers(self, manifest: Manifest) -> Numbers:
        """The numbers of a version, or its graph, checked against its manifest's digest. Raises as `manifest`."""
        from cellserve.models.steps.graph_file import GraphFile
        from cellserve.models.weights import Weights

        file = _numbers_file(manifest)
        path = self._version_folder(*manifest.key) / file
        try:
            with self._home.numbers(manifest.key, file) as here:
                called = isinstance(manifest.spec, StepModel)
                weights: Numbers = GraphFile.load(here) if called else Weights.load(here)
        except FileNotFoundError as error:
            raise RepositoryError(f"{path} is missing: the version is damaged; remove it and import the file again") from error
        except (OSError, ModelError) as error:
            raise RepositoryError(f"{path} is damaged: {_first_line(error)}") from error
        if weights.digest != manifest.weights_digest:
            raise RepositoryError(
                f"{path} is not what was published: its digest is {weights.digest}, the manifest says {manifest.weights_digest}"
            )
        return weights

    def copy_version(self, key: VersionKey, root: Path) -> None:
        """To another folder of a repository, under its own number. Raises as `manifest`, and OSError."""
        manifest = self.manifest(*key)
        folder = root / key.model / str(key.version)
        folder.mkdir(parents=True)
        (folder / layout.MANIFEST_FILE).write_bytes(manifest.to_json())
        self.numbers(manifest).save(folder / _numbers_file(manifest))

    def resolve(self, ref: ModelRef) -> VersionKey:
        """The version that `ref` names: a bare name is its `stable` alias, else its newest.

        Raises UnknownModel, UnknownVersion, RepositoryError.
        """
        versions = self.versions(ref.model)
        if ref.version is not None:
            self._version_folder(ref.model, ref.version)
            return VersionKey(ref.model, ref.version)
        aliases = self.aliases(ref.model)
        if ref.alias is None:
            return VersionKey(ref.model, aliases.get(STABLE, versions[-1]))
        self._require_alias(ref)
        return VersionKey(ref.model, aliases[ref.alias])

    def published_as(self, model: str, publication_id: str) -> int | None:
        """The version that a publication has become; None: it has become none that is still there. Raises InvalidInput."""
        return publications.find(self.root / check_model_name(model), publication_id)

    def publication(self, key: VersionKey) -> Publication | None:
        """By which the version came over the wire; None: it was imported here."""
        return publications.read(self.root / key.model / str(key.version))

    def fingerprint(self, key: VersionKey) -> layout.Fingerprint:
        """Changes when the files of a version change. Empty if they are gone."""
        return self._home.fingerprint(key)

    # --- writing ---

    def publish(
        self,
        model: str,
        imported: Imported,
        *,
        alias: str | None = None,
        tags: Mapping[str, str] | None = None,
        answers: Sequence[FrameworkAnswers] = (),
        progress: Callable[[str], None] = _no_progress,
        publication: Publication | None = None,
    ) -> Manifest:
        """Runs the gate, then makes the next version of `model`; `alias` is moved to it afterwards.

        answers: the framework's own, which join the gate; the last ones become the golden pair. progress is called with what
        begins. publication: by which it came over the wire; at most one version is made of it.

        Raises InvalidInput (names), ModelError (the gate), RepositoryError (the disk); then the repository is as it was.
        """
        check_model_name(model)
        if alias is not None:
            check_alias_name(alias)
        progress("checking every implementation against the oracle")
        report = self._gate(imported.spec, imported.weights)
        report, agreed = with_answers(report, imported.spec, imported.weights, answers)
        progress("publishing")
        draft = Manifest(
            model=model,
            version=1,  # the real number is given under the lock
            spec=imported.spec,
            weights_digest=imported.weights.digest,
            source=SourceRecord(
                framework=imported.source.framework,
                version=imported.source.version,
                file=imported.source.file,
                digest=imported.source.digest,
            ),
            notes=imported.notes,
            parity=ParityRecord(bound=report.bound, differences=report.differences, refused=report.refused, framework=agreed),
            golden=report.golden.to_json(),
            tags=dict(tags or {}),
        )
        self.create()
        with _disk_trouble(f"{model} cannot be published in {self.root}"):
            manifest = self._home.place(draft, imported.weights, publication)
        if alias is not None:
            try:
                self.set_alias(model, alias, manifest.version)
            except RepositoryError as error:
                raise RepositoryError(f"{manifest.key} is published, but the alias {alias!r} is not: {error}") from error
        return manifest

    def set_alias(self, model: str, alias: str, version: int, by: str | None = None) -> None:
        """Points `alias` at a published version, in one step. Whether that can be served is asked before (verifying.py).

        by: who moves it; None: as this repository was made. Raises InvalidInput, UnknownModel, UnknownVersion, RepositoryError.
        """
        check_alias_name(alias)
        book = self._aliases(model)

        def decide() -> AliasTable:
            self.manifest(model, version)
            return pointing.pointed(book.known(), alias, version)

        self._change_aliases(model, decide, by)

    def split_alias(self, model: str, alias: str, version: int, share: float, by: str | None = None) -> Weights:
        """Gives `version` a share of the requests to `alias`, the rest to the version that the alias means, in one step.

        by: as in `set_alias`. Gives the shares. Raises InvalidInput (also: no such alias, nothing to share with), UnknownModel,
        UnknownVersion, RepositoryError.
        """
        check_alias_name(alias)
        book = self._aliases(model)

        def decide() -> AliasTable:
            self.manifest(model, version)
            return pointing.shared(book.known(), model, alias, version, share)

        return self._change_aliases(model, decide, by).splits[alias]

    def walk_alias(self, model: str, alias: str, before: Weights, after: Weights, by: str, why: str) -> bool:
        """Shares `alias` as `after` says, in one step, unless it does not mean `before` any more: whether it was done.

        Raises UnknownModel, UnknownVersion, RepositoryError.
        """
        book = self._aliases(model)

        def decide() -> AliasTable:
            decided = pointing.walked(book.known(), alias, before, after)
            for version in after:
                self.manifest(model, version)
            return decided

        try:
            self._change_aliases(model, decide, by, why)
        except MovedMeanwhile:
            return False
        return True

    def rollouts(self, model: str) -> Mapping[str, Rollout]:
        """Of each alias the gradual promote that walks, or the last one that did. Raises UnknownModel."""
        self.versions(model)
        return self._home.rollouts(model)

    @contextmanager
    def walker(self, model: str) -> Iterator[WriteRollout | None]:
        """The right to walk a model's aliases, and what writes down how far; None: another server has it. Raises RepositoryError;
        so does what writes, and WalkedElsewhere: another server has it by now.
        """
        with _disk_trouble(f"the aliases of {model} cannot be walked"), self._home.walker(model) as write:
            yield None if write is None else _told(write, f"a gradual promote of {model} cannot be recorded")

    def write_served(self, model: str, record: Served) -> None:
        """Raises UnknownModel, RepositoryError."""
        self.versions(model)
        with _disk_trouble(f"what has served of {model} cannot be recorded"), disk.exclusive(self.root):
            served.write(self.root / model, record)

    def sweep(self) -> None:
        """Removes what processes that were killed have left. A repository that cannot be written to is left as it is."""
        self._home.sweep()

    def remove(self, ref: ModelRef, by: str | None = None) -> None:
        """Removes a model (`name`), a version (`name/3`) or an alias (`name@canary`). by: as in set_alias.

        Raises UnknownModel, UnknownVersion, RepositoryError (an alias points at the version; it says which).
        """
        self.versions(ref.model)
        with _disk_trouble(f"{ref} cannot be removed"):
            if ref.alias is not None:
                self._change_aliases(ref.model, lambda: self._without(ref), by)
            elif ref.version is not None:
                key = VersionKey(ref.model, ref.version)
                self._home.remove_version(key, lambda: self._require_unused(*key))
            else:
                self._home.remove_model(ref.model)

    # --- the work behind them ---

    def _change_aliases(self, model: str, decide: Callable[[], AliasTable], by: str | None, why: str = "") -> AliasTable:
        with _disk_trouble(f"the aliases of {model} cannot be changed"):
            return self._home.change_aliases(model, decide, self._by if by is None else by, why)

    def _without(self, ref: ModelRef) -> AliasTable:
        self._require_alias(ref)
        return pointing.removed(self._aliases(ref.model).table(), str(ref.alias))

    def _require_unused(self, model: str, version: int) -> None:
        self._version_folder(model, version)
        aliases = pointing.pointing_at(self.alias_table(model), version)
        if aliases:
            raise RepositoryError(
                f"{model}/{version} is in use by the alias {', '.join(map(repr, aliases))}: promote another version first, "
                f"or remove the alias with: cellserve remove {model}@{aliases[0]}"
            )

    def _require_alias(self, ref: ModelRef) -> None:
        aliases = self.aliases(ref.model)
        if ref.alias not in aliases:
            known = ", ".join(aliases) or "none"
            raise UnknownVersion(f"{ref.model} has no alias {ref.alias!r}; its aliases: {known}", field="version")

    def _aliases(self, model: str) -> Aliases:
        """Raises UnknownModel."""
        self.versions(model)
        return Aliases(self.root / model)

    def _version_folder(self, model: str, version: int) -> Path:
        if version not in (known := self.versions(model)):
            raise UnknownVersion(f"{model} has no version {version}; it has {', '.join(map(str, known))}", field="version")
        return self.root / model / str(version)


def _numbers_file(manifest: Manifest) -> str:
    return layout.GRAPH_FILE if isinstance(manifest.spec, StepModel) else layout.WEIGHTS_FILE


def _told(write: WriteRollout, sentence: str) -> WriteRollout:
    def written(rollout: Rollout) -> None:
        with _disk_trouble(sentence):
            write(rollout)

    return written


@contextmanager
def _disk_trouble(sentence: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RepositoryError(f"{sentence}: {error.strerror or error}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error).partition("\n")[0]
