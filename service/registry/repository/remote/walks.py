"""Gradual promotes in an object store, `models/NAME/rollouts.json`: what each has come to, and which machine walks.

Whoever walks writes it every few seconds. Where it has stood still for far longer than that, by the clock of whoever looks, its
walker is gone, and another machine takes its place: by a conditional write, so that of several one does. Clocks of different
machines are never compared. Processes of one machine share a mirror, and agree by a lock there.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellserve.service import disk
from cellserve.service.errors import RepositoryAway
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository import rollout_record
from cellserve.service.registry.repository.home import WalkedElsewhere, WriteRollout
from cellserve.service.registry.repository.remote import conditional
from cellserve.service.registry.repository.remote.ledger import MODELS
from cellserve.service.registry.repository.remote.objects import Objects, Overtaken

log = logging.getLogger(__name__)

ROLLOUTS_FILE: Final = "rollouts.json"
GONE_SECONDS: Final = 30.0  # without a sign of the walker; it gives one every five
_NAME_FILE: Final = ".walker"


class Written(BaseModel):
    """walker: the machine that walks; empty: none does. beat: another one each time, so that no two are the same object."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    walker: str = ""
    beat: str = Field(default_factory=lambda: uuid.uuid4().hex)
    rollouts: Mapping[str, Rollout] = Field(default_factory=dict)


class WalkObject:
    """Of one model."""

    def __init__(self, objects: Objects, model: str) -> None:
        self.model = model
        self._objects = objects
        self._path = f"{MODELS}/{model}/{ROLLOUTS_FILE}"

    def read(self) -> tuple[Written, str | None]:
        """With its mark; what cannot be read counts as nothing, which is told in the log. Raises RepositoryAway."""
        stored = self._objects.get(self._path)
        if stored is None:
            return Written(), None
        try:
            return Written.model_validate_json(stored.content), stored.mark
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            log.warning("%s of %s cannot be read (%s); aliases stay as they are", self._path, self._objects.name, why)
            return Written(), stored.mark

    def write(self, walker: str, rollouts: Mapping[str, Rollout], known: str | None) -> str:
        """In place of what has the mark `known`. Gives the mark. Raises RepositoryAway, Overtaken."""
        content = Written(walker=walker, rollouts=rollouts).model_dump_json().encode()
        return self._objects.write(self._path, content, known)


class Right:
    """To walk a model's aliases, held by the machine `me`; mark: of what it has written last."""

    def __init__(self, at: WalkObject, me: str, rollouts: Mapping[str, Rollout], mark: str) -> None:
        self._at = at
        self._me = me
        self._rollouts = dict(rollouts)
        self._mark = mark

    def write(self, rollout: Rollout) -> None:
        """Raises RepositoryAway; WalkedElsewhere: another machine has taken this one for gone."""
        self._rollouts[rollout.alias] = rollout
        try:
            self._mark = self._at.write(self._me, self._rollouts, self._mark)
        except Overtaken:
            written, mark = self._at.read()
            if written.walker != self._me or mark is None:
                raise WalkedElsewhere(f"another server has gone on with {self._at.model}@{rollout.alias}") from None
            self._mark = self._at.write(self._me, self._rollouts, mark)  # the answer to what was written last was lost

    def give_back(self) -> None:
        """Others go on at once; where that cannot be written, once they take this machine for gone."""
        try:
            self._at.write("", self._rollouts, self._mark)
        except (Overtaken, RepositoryAway) as error:
            log.debug("that nobody walks an alias of %s cannot be written: %s", self._at.model, error)


class Walks:
    """folder: the mirror. clock: seconds."""

    def __init__(self, objects: Objects, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._folder = folder
        self._clock = clock
        self._known: dict[str, Mapping[str, Rollout]] = {}
        self._seen: dict[str, tuple[str | None, float]] = {}  # by model: the mark that another machine has left, and since when

    def read(self, model: str) -> Mapping[str, Rollout]:
        """By alias. While the store is away, as it was read last."""
        try:
            self._known[model] = WalkObject(self._objects, model).read()[0].rollouts
        except RepositoryAway as error:
            log.debug("how far aliases of %s have walked is as it was: %s", model, error)
        return self._known.get(model, {})

    @contextmanager
    def walker(self, model: str) -> Iterator[WriteRollout | None]:
        """The right to walk, and what writes down how far; None: another one has it.

        Raises RepositoryAway, RepositoryError, OSError.
        """
        with rollout_record.alone(self._folder / model) as free:
            right = self._taken(model) if free else None
            try:
                yield None if right is None else right.write
            finally:
                if right is not None:
                    right.give_back()

    def _taken(self, model: str) -> Right | None:
        conditional.require(self._objects, self._folder)
        at, me = WalkObject(self._objects, model), self._me()
        written, mark = at.read()
        if written.walker not in ("", me) and not self._is_gone(model, mark):
            return None
        try:
            right = Right(at, me, written.rollouts, at.write(me, written.rollouts, mark))
        except Overtaken:
            return None
        self._seen.pop(model, None)
        return right

    def _is_gone(self, model: str, mark: str | None) -> bool:
        """Whether the walker has given no sign since it was looked at first."""
        known, now = self._seen.get(model), self._clock()
        if known is None or known[0] != mark:
            self._seen[model] = (mark, now)
            return False
        return now - known[1] >= GONE_SECONDS

    def _me(self) -> str:
        """This machine, by its mirror: a process that starts where one was killed goes on at once."""
        path = self._folder / _NAME_FILE
        try:
            return path.read_text()
        except FileNotFoundError:
            name = uuid.uuid4().hex
            disk.replace_file(path, name.encode())
            return name
