"""The truth on disk: `<root>/<model>/<version>/{manifest.json, weights.safetensors}` and `<root>/<model>/aliases.json`.

Versions are immutable and numbered at publish; aliases are the only thing that changes in place. Readers never lock;
writers hold one lock on the root for the moment of the change. Hidden entries (names that start with a dot) are work under
way or left by a crash, and are ignored. A damaged model raises RepositoryError and never hurts another one.
Knows no engine and nothing of what is loaded. Safe to use from any thread or process.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PositiveInt, TypeAdapter, ValidationError

from cellserve.models.errors import ModelError
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, RepositoryError, UnknownModel, UnknownVersion
from cellserve.service.registry import disk, layout, model_settings
from cellserve.service.registry.gate import Gate, parity_gate, with_answers
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

if TYPE_CHECKING:
    from cellserve.models.framework_answers import FrameworkAnswers
    from cellserve.models.importers import ImportedModel
    from cellserve.models.weights import Weights

_ALIASES = TypeAdapter(dict[str, PositiveInt])


def _no_progress(step: str) -> None:
    """Progress that nobody watches."""


class Repository:
    """A folder of models. One that does not exist has no models; the first publish, or `create`, makes it.

    gate: what a version must pass to be published; raises ModelError.
    """

    def __init__(self, root: Path, gate: Gate = parity_gate) -> None:
        self.root = root
        self._gate = gate

    def create(self) -> None:
        """Makes the folder if it is missing. Raises RepositoryError."""
        with _disk_trouble(f"the repository folder {self.root} cannot be used"):
            self.root.mkdir(parents=True, exist_ok=True)

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
            raise UnknownModel(f"the repository {self.root} has no model {model!r}", field="model")
        return numbers

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version. Raises UnknownModel, RepositoryError (aliases.json is damaged)."""
        self.versions(model)
        path = self.root / model / layout.ALIASES_FILE
        try:
            return dict(sorted(_ALIASES.validate_json(path.read_bytes(), strict=True).items()))
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise RepositoryError(
                f"{path} is damaged: expected a JSON object of alias names and version numbers ({_first_line(error)}); "
                f"write it anew with: cellserve promote {model} VERSION --alias ALIAS"
            ) from error

    def settings(self, model: str) -> ModelSettings:
        """What the owner says of the model in model.yaml. Raises InvalidInput (the name), RepositoryError (it is damaged)."""
        return model_settings.read(self.root / check_model_name(model))

    def manifest(self, model: str, version: int) -> Manifest:
        """Raises UnknownModel, UnknownVersion, RepositoryError (the manifest is missing or damaged)."""
        path = self._version_folder(model, version) / layout.MANIFEST_FILE
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise RepositoryError(f"{path} is missing: the version is damaged; remove it and import the file again") from error
        except (OSError, ValidationError, InvalidInput, ModelError) as error:
            raise RepositoryError(f"{path} is damaged: {_first_line(error)}") from error
        if manifest.key != VersionKey(model, version):
            raise RepositoryError(f"{path} says it is {manifest.key}; folders of the repository must not be renamed or copied")
        return manifest

    def weights(self, model: str, version: int) -> Weights:
        """The numbers of a version, checked against the manifest's digest. Raises as `manifest`."""
        from cellserve.models.weights import Weights

        manifest = self.manifest(model, version)
        path = self._version_folder(model, version) / layout.WEIGHTS_FILE
        try:
            weights = Weights.load(path)
        except FileNotFoundError as error:
            raise RepositoryError(f"{path} is missing: the version is damaged; remove it and import the file again") from error
        except (OSError, ModelError) as error:
            raise RepositoryError(f"{path} is damaged: {_first_line(error)}") from error
        if weights.digest != manifest.weights_digest:
            raise RepositoryError(
                f"{path} is not what was published: its digest is {weights.digest}, the manifest says {manifest.weights_digest}"
            )
        return weights

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
        if ref.alias not in aliases:
            known = ", ".join(aliases) or "none"
            raise UnknownVersion(f"{ref.model} has no alias {ref.alias!r}; its aliases: {known}", field="version")
        return VersionKey(ref.model, aliases[ref.alias])

    def fingerprint(self, key: VersionKey) -> layout.Fingerprint:
        """Changes when the files of a version change. Empty if they are gone."""
        return layout.fingerprint(self.root / key.model / str(key.version))

    # --- writing ---

    def publish(
        self,
        model: str,
        imported: ImportedModel,
        *,
        alias: str | None = None,
        tags: Mapping[str, str] | None = None,
        answers: Sequence[FrameworkAnswers] = (),
        progress: Callable[[str], None] = _no_progress,
    ) -> Manifest:
        """Runs the gate, then makes the next version of `model`; `alias` is moved to it afterwards.

        answers: the framework's own, which join the gate; the last ones become the golden pair. progress is called with what
        begins. Raises InvalidInput (names), ModelError (the gate), RepositoryError (the disk); then the repository is as it was.
        """
        check_model_name(model)
        if alias is not None:
            check_alias_name(alias)
        progress("checking every implementation against the oracle")
        report = self._gate(imported.spec, imported.weights)
        agreed: Mapping[str, float] = {}
        if answers:
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
            manifest = self._place(draft, imported.weights)
        if alias is not None:
            self.set_alias(model, alias, manifest.version)
        return manifest

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Points `alias` at a published version, in one step.

        Raises InvalidInput, UnknownModel, UnknownVersion, RepositoryError.
        """
        check_alias_name(alias)
        self.versions(model)
        with _disk_trouble(f"the aliases of {model} cannot be changed"), disk.exclusive(self.root):
            self.manifest(model, version)
            try:
                aliases = self.aliases(model)
            except RepositoryError:
                aliases = {}  # damaged, as `aliases` tells; this is the way to write it anew
            self._write_aliases(model, aliases | {alias: version})

    def remove(self, ref: ModelRef) -> None:
        """Removes a model (`name`), a version (`name/3`) or an alias (`name@canary`).

        Raises UnknownModel, UnknownVersion, RepositoryError (an alias points at the version; it says which).
        """
        self.versions(ref.model)
        with _disk_trouble(f"{ref} cannot be removed"):
            with disk.exclusive(self.root):
                doomed = self._hide(ref)
            if doomed is not None:
                shutil.rmtree(doomed)

    # --- the work behind them ---

    def _place(self, draft: Manifest, weights: Weights) -> Manifest:
        """Stages beside, forces to disk, then gives the number and renames under the lock."""
        folder = self.root / draft.model
        staged = disk.hidden_sibling(folder, "staging")
        staged.mkdir()
        try:
            weights.save(staged / layout.WEIGHTS_FILE)
            disk.sync(staged / layout.WEIGHTS_FILE)
            with disk.exclusive(self.root):
                manifest = draft.model_copy(update={"version": layout.next_number(folder)})
                disk.write_file(staged / layout.MANIFEST_FILE, manifest.model_dump_json(indent=1).encode())
                disk.sync(staged)
                folder.mkdir(exist_ok=True)
                staged.rename(folder / str(manifest.version))
                disk.sync(folder)
                disk.sync(self.root)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return manifest

    def _hide(self, ref: ModelRef) -> Path | None:
        """Takes what `ref` names out of readers' sight; gives the hidden folder that may now be deleted."""
        if ref.alias is not None:
            self.resolve(ref)
            self._write_aliases(ref.model, {name: v for name, v in self.aliases(ref.model).items() if name != ref.alias})
            return None
        if ref.version is not None:
            return self._hide_version(ref.model, ref.version)
        self.versions(ref.model)
        doomed = disk.hidden_sibling(self.root / ref.model, "removed")
        (self.root / ref.model).rename(doomed)
        disk.sync(self.root)
        return doomed

    def _hide_version(self, model: str, version: int) -> Path:
        folder = self._version_folder(model, version)
        pointing = [alias for alias, target in self.aliases(model).items() if target == version]
        if pointing:
            raise RepositoryError(
                f"{model}/{version} is in use by the alias {', '.join(map(repr, pointing))}: promote another version first, "
                f"or remove the alias with: cellserve remove {model}@{pointing[0]}"
            )
        disk.replace_file(folder.parent / layout.HIGHEST_FILE, str(layout.next_number(folder.parent) - 1).encode())
        doomed = disk.hidden_sibling(folder.parent, "removed")
        folder.rename(doomed)
        disk.sync(folder.parent)
        return doomed

    def _write_aliases(self, model: str, aliases: Mapping[str, int]) -> None:
        disk.replace_file(self.root / model / layout.ALIASES_FILE, json.dumps(aliases, indent=1, sort_keys=True).encode())

    def _version_folder(self, model: str, version: int) -> Path:
        if version not in (known := self.versions(model)):
            raise UnknownVersion(f"{model} has no version {version}; it has {', '.join(map(str, known))}", field="version")
        return self.root / model / str(version)


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
