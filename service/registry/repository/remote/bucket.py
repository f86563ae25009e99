"""A repository that lives in an object store, so that servers and publishers on many machines share it.

The truth about a model is its ledger there, which changes only by conditional writes: whoever was overtaken reads it again and
decides anew. Whatever else there is, is written before a ledger names it, and deleted after none does any more. So whoever is
killed between two calls has either changed a model or not, and leaves at most content that nobody sees.
"""

from __future__ import annotations

import hashlib
import logging
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from cellserve.models.description.step_model import StepModel
from cellserve.service import disk
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, RepositoryAway, RepositoryError
from cellserve.service.registry.manifest import Manifest, check_model_name
from cellserve.service.registry.model_settings import SETTINGS_FILE
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository import layout, leftovers
from cellserve.service.registry.repository.aliases import AliasTable
from cellserve.service.registry.repository.home import WriteRollout
from cellserve.service.registry.repository.publications import Publication
from cellserve.service.registry.repository.remote import conditional, garbage
from cellserve.service.registry.repository.remote.ledger import (
    CONTENT,
    LEDGER_FILE,
    MODELS,
    Ledger,
    StoredFile,
    VersionRecord,
    ledger_path,
)
from cellserve.service.registry.repository.remote.mirror import Marks, Mirror
from cellserve.service.registry.repository.remote.numbers import NumbersCache, digest_of
from cellserve.service.registry.repository.remote.objects import Objects, Overtaken
from cellserve.service.registry.repository.remote.walks import ROLLOUTS_FILE, Walks

if TYPE_CHECKING:
    from cellserve.models.served import Numbers

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 50  # to change a ledger that others change as well
_LONGEST_PAUSE_SECONDS: Final = 1.0
_AT_ONCE: Final = 16  # models that are fetched side by side
_NOTHING: Final[Marks] = ("", "")


class Bucket:
    """A home. folder: the mirror. cache_bytes: of numbers that are kept there."""

    def __init__(self, objects: Objects, folder: Path, cache_bytes: int, poll_seconds: float) -> None:
        self.address = {"url": objects.name, "folder": str(folder), "cache_bytes": cache_bytes, "poll_seconds": poll_seconds}
        self.folder = folder
        self.poll_seconds = poll_seconds
        self._objects = objects
        self._mirror = Mirror(folder)
        self._numbers = NumbersCache(folder, objects, cache_bytes)
        self._walks = Walks(objects, folder)
        self._walked: set[str] = set()  # models of which an alias walks, or has walked
        self._problems: dict[str, str] = {}  # by model
        self._complete: dict[str, Marks] = {}  # by model: what this process has seen whole

    @property
    def name(self) -> str:
        return self._objects.name

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def refresh(self) -> None:
        """One listing, and what it says is new. Raises RepositoryAway, OSError (the mirror)."""
        marks = self._marks()
        for model in self._mirror.models():
            if model not in marks:
                self._mirror.forget(model)
        for gone in [model for model in (*self._complete, *self._problems) if model not in marks]:
            self._complete.pop(gone, None)
            self._problems.pop(gone, None)
        news = [model for model, seen in marks.items() if self._complete.get(model) != seen]
        if len(news) == 1:
            self._look(news[0], marks[news[0]])
        elif news:
            with ThreadPoolExecutor(min(_AT_ONCE, len(news))) as pool:
                list(pool.map(lambda model: self._look(model, marks[model]), news))

    def problem(self, model: str) -> str:
        return self._problems.get(model, "")

    def place(self, draft: Manifest, weights: Numbers, publication: Publication | None) -> Manifest:
        conditional.require(self._objects, self.folder)
        model, upload = draft.model, f"{CONTENT}/{draft.model}/{uuid.uuid4().hex}"
        file: str = layout.GRAPH_FILE if isinstance(draft.spec, StepModel) else layout.WEIGHTS_FILE
        placed: list[Manifest] = []
        with ExitStack() as held:
            staged = self._staged(held) / file
            weights.save(staged)
            numbers = StoredFile(path=f"{upload}/{file}", digest=digest_of(staged), bytes=staged.stat().st_size)
            self._objects.put(numbers.path, staged)

            def decide(ledger: Ledger) -> Ledger | None:
                placed.clear()
                if ledger.published_as(publication) is not None:
                    return None
                placed.append(draft.model_copy(update={"version": ledger.highest + 1}))
                content = placed[0].to_json()
                manifest = StoredFile(
                    path=f"{upload}/manifest-{ledger.highest + 1}.json", digest=_digest(content), bytes=len(content)
                )
                self._objects.put(manifest.path, content)
                record = VersionRecord.model_validate(
                    {"manifest": manifest, "numbers": numbers, "file": file, "publication": publication}
                )
                return ledger.with_version(record)

            ledger = self._change(model, decide)
            if placed:
                self._adopt(staged, placed[0].key, file)
        if not placed and (known := ledger.published_as(publication)) is not None:
            garbage.delete(self._objects, (numbers.path,))
            placed.append(Manifest.model_validate_json(self.manifest(VersionKey(model, known))))
        garbage.sweep(self._objects, ledger)
        return placed[0]

    def change_aliases(self, model: str, decide: Callable[[], AliasTable], by: str, why: str = "") -> AliasTable:
        conditional.require(self._objects, self.folder)
        return self._change(model, lambda ledger: ledger.with_aliases(decide(), by, why)).table

    def remove_version(self, key: VersionKey, check: Callable[[], None]) -> None:
        def decide(ledger: Ledger) -> Ledger:
            check()
            return ledger.without_version(key.version)

        self._remove(key.model, decide)

    def remove_model(self, model: str) -> None:
        self._remove(model, Ledger.without_all)
        garbage.delete(self._objects, [f"{MODELS}/{model}/{file}" for file in (SETTINGS_FILE, ROLLOUTS_FILE)])

    def rollouts(self, model: str) -> Mapping[str, Rollout]:
        return self._walks.read(model) if model in self._walked else {}

    @contextmanager
    def walker(self, model: str) -> Iterator[WriteRollout | None]:
        with self._walks.walker(model) as write:
            if write is not None:
                self._walked.add(model)
            yield write

    def sweep(self) -> None:
        """Of this machine; what others have left in the store goes with the next version of its model."""
        try:
            with disk.exclusive(self.folder):
                leftovers.sweep(self.folder)
        except OSError as error:
            log.warning("%s cannot be locked, to remove what was left there: %s", self.folder, error.strerror)

    def fingerprint(self, key: VersionKey) -> layout.Fingerprint:
        record = self._mirror.record(key)
        if record is None:
            return ()
        files = (record.manifest, record.numbers)
        return tuple((int(file.digest.removeprefix("sha256:")[:15], 16), file.bytes, 0) for file in files)

    def manifest(self, key: VersionKey) -> bytes:
        """What was published: what is here otherwise is fetched again."""
        record, path = self._record(key), self.folder / key.model / str(key.version) / layout.MANIFEST_FILE
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        if _digest(content) == record.manifest.digest:
            return content
        found = self._manifest_of(key, record)
        if found is None:
            raise RepositoryError(
                f"{record.manifest.path} of {self.name} is not what was published: the version is damaged; remove it and import "
                "the file again"
            )
        disk.replace_file(path, found)
        return found

    def numbers(self, key: VersionKey, file: str) -> AbstractContextManager[Path]:
        record = self._record(key)
        if record.file != file:
            raise RepositoryError(f"{ledger_path(key.model)} of {self.name} names {record.file} for {key}, which has {file}")
        return self._numbers.held(self.folder / key.model / str(key.version) / file, record.numbers)

    # --- the store ---

    def _marks(self) -> dict[str, Marks]:
        """Of every model that there is or was."""
        marks: dict[str, Marks] = {}
        for path, listed in self._objects.list(MODELS).items():
            _, _, rest = path.partition("/")
            model, _, file = rest.partition("/")
            if file == ROLLOUTS_FILE:
                self._walked.add(model)
            if file not in (LEDGER_FILE, SETTINGS_FILE) or not _is_name(model):
                continue
            ledger, settings = marks.get(model, _NOTHING)
            marks[model] = (listed.mark, settings) if file == LEDGER_FILE else (ledger, listed.mark)
        return {model: both for model, both in marks.items() if both[0]}

    def _look(self, model: str, marks: Marks) -> None:
        """Has the folder show a model as it is. marks: as they were listed."""
        shown = self._mirror.shown(model)
        try:
            known = None if shown is None or shown.marks[0] != marks[0] else shown.ledger
            ledger, mark = self._ledger(model) if known is None else (known, marks[0])
        except RepositoryError as error:
            if isinstance(error, RepositoryAway):
                raise
            self._note(model, f"{error}; what was known of {model} stays")
            return
        settings = self._objects.get(f"{MODELS}/{model}/{SETTINGS_FILE}") if marks[1] else None
        self._show((mark or "", marks[1]), ledger, None if settings is None else settings.content)
        self._problems.pop(model, None)
        self._complete[model] = marks

    def _ledger(self, model: str) -> tuple[Ledger, str | None]:
        """As it is now, and its mark; an empty one and None where there is none. Raises RepositoryAway, RepositoryError."""
        stored = self._objects.get(ledger_path(model))
        if stored is None:
            return Ledger(model=model), None
        try:
            return Ledger.parse(model, stored.content), stored.mark
        except ValueError as error:
            raise RepositoryError(f"{ledger_path(model)} of {self.name} is damaged: {_first_line(error)}") from error

    def _show(self, marks: Marks, ledger: Ledger, settings: bytes | None) -> None:
        manifests = {}
        for number in self._mirror.lacks(ledger):
            found = self._manifest_of(VersionKey(ledger.model, number), ledger.versions[number])
            if found is not None:
                manifests[number] = found
        self._mirror.show(marks, ledger, manifests, settings)

    def _manifest_of(self, key: VersionKey, record: VersionRecord) -> bytes | None:
        """None: it is not what was published."""
        stored = self._objects.get(record.manifest.path)
        if stored is not None and _digest(stored.content) == record.manifest.digest:
            return stored.content
        log.warning("%s of %s, the manifest of %s, is not what was published", record.manifest.path, self.name, key)
        return None

    def _change(self, model: str, decide: Callable[[Ledger], Ledger | None]) -> Ledger:
        """decide: given the truth, which the folder shows, says what it should be; None: as it is. Gives what it is then.

        Raises RepositoryAway, RepositoryError, and what `decide` does.
        """
        change = uuid.uuid4().hex
        lost: RepositoryAway | None = None
        for attempt in range(_ATTEMPTS):
            ledger, mark = self._ledger(model)
            if change in ledger.changes:
                return self._changed(ledger, mark)
            if lost is not None:
                raise lost
            self._show_beside(ledger, mark)
            decided = decide(ledger)
            if decided is None:
                return ledger
            decided = decided.noting(change)
            try:
                mark = self._objects.write(ledger_path(model), decided.to_json(), mark)
            except Overtaken:
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.01 * 2**attempt)))
            except RepositoryAway as error:
                lost = error  # it may have been written all the same
            else:
                return self._changed(decided, mark)
        raise RepositoryError(f"{model} of {self.name} is changed by others all the time; try again")

    def _changed(self, ledger: Ledger, mark: str | None) -> Ledger:
        """What is written counts, whether the folder can show it or not."""
        try:
            self._show_beside(ledger, mark)
        except (OSError, RepositoryAway) as error:
            log.warning("%s of %s is changed, and cannot be shown in %s yet: %s", ledger.model, self.name, self.folder, error)
        return ledger

    def _show_beside(self, ledger: Ledger, mark: str | None) -> None:
        """With model.yaml as it was."""
        shown = self._mirror.shown(ledger.model)
        self._show((mark or "", "" if shown is None else shown.marks[1]), ledger, self._mirror.settings(ledger.model))

    def _remove(self, model: str, decide: Callable[[Ledger], Ledger]) -> None:
        conditional.require(self._objects, self.folder)
        before: list[Ledger] = []

        def noted(ledger: Ledger) -> Ledger:
            before.append(ledger)
            return decide(ledger)

        after = self._change(model, noted)
        garbage.delete(self._objects, sorted(before[-1].content - after.content))

    # --- this machine ---

    def _record(self, key: VersionKey) -> VersionRecord:
        """Raises RepositoryError."""
        if (record := self._mirror.record(key)) is None:
            raise RepositoryError(f"{self.folder} does not show {key} of {self.name} any longer; ask again")
        return record

    def _staged(self, held: ExitStack) -> Path:
        """A folder that is swept if this process is killed."""
        self.create()
        with disk.exclusive(self.folder):
            leftovers.sweep(self.folder)
            staged = disk.hidden_sibling(self.folder / "model", disk.STAGING)
            staged.mkdir()
            held.enter_context(disk.if_free(staged))
        held.callback(shutil.rmtree, staged, ignore_errors=True)
        return staged

    def _adopt(self, staged: Path, key: VersionKey, file: str) -> None:
        try:
            self._numbers.adopt(staged, self.folder / key.model / str(key.version) / file)
        except OSError as error:
            log.debug("the numbers of %s will be fetched: %s", key, error)

    def _note(self, model: str, problem: str) -> None:
        if self._problems.get(model) != problem:
            log.warning("%s", problem)
        self._problems[model] = problem


def _is_name(model: str) -> bool:
    try:
        check_model_name(model)
    except InvalidInput:
        return False
    return True


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _first_line(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).partition("\n")[0]
