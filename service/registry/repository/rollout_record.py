"""Gradual promotes on disk, `<repository>/<model>/.rollouts.json`: of each alias the one that walks, or the last one that did.

Written at each step and every few seconds, so that whoever goes on does from there. What aliases mean is not here: aliases.json
alone counts. Writers hold the repository's lock. Knows no engine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from cellserve.service import disk
from cellserve.service.registry.policy.rollout import Rollout

ROLLOUTS_FILE: Final = ".rollouts.json"
_LOCK_FILE: Final = ".rollouts-lock"

log = logging.getLogger(__name__)

Rollouts = Mapping[str, Rollout]  # by alias

_ROLLOUTS = TypeAdapter(dict[str, Rollout])


def read(folder: Path) -> Rollouts:
    """Of a model's folder; empty where there is none, or none that can be read, which is told in the log."""
    path = folder / ROLLOUTS_FILE
    try:
        return _ROLLOUTS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be read (%s); aliases stay as they are", path, str(error).partition("\n")[0])
        return {}


def write(folder: Path, rollout: Rollout) -> None:
    """In place of what was there of its alias. Raises OSError."""
    known = {**read(folder), rollout.alias: rollout}
    disk.replace_file(folder / ROLLOUTS_FILE, _ROLLOUTS.dump_json(dict(sorted(known.items())), indent=1))


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Of the processes of this machine one at a time walks a model's aliases; whether it is this one. Raises OSError."""
    path = folder / _LOCK_FILE
    path.touch()
    with disk.if_free(path) as free:
        yield free
