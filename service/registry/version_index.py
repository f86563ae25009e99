"""Every version and what is told of it. Pure: what lies on the disk, what is loaded and who answers, as statuses."""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.live import Record
from cellserve.service.registry.snapshot import Snapshot
from cellserve.service.registry.status import VersionState, VersionStatus


def index(snapshot: Snapshot, records: Mapping[VersionKey, Record], stand_ins: Mapping[VersionKey, str]) -> list[VersionStatus]:
    """Every published version, those that still finish work after their removal, and as FAILED those that aliases point at and
    that do not exist; by model and version. stand_ins: what to tell of versions that answer for others.
    """
    missing = {key: words for key, words in snapshot.dangling().items() if key not in records}
    statuses = [VersionStatus(*key, VersionState.FAILED, words, snapshot.aliases_of(key)) for key, words in missing.items()]
    for key in {*snapshot.keys(), *records}:
        statuses.append(status(snapshot, key, records.get(key, Record()), stand_ins.get(key, "")))
    return sorted(statuses, key=lambda one: one.key)


def status(snapshot: Snapshot, key: VersionKey, record: Record, stands_in: str = "") -> VersionStatus:
    """Why it failed; where it did not, what else is wrong with its model."""
    reason = record.reason or "; ".join(filter(None, (stands_in, *snapshot.problems(key.model))))
    taken = 0 if record.loaded is None else record.loaded.footprint.bytes
    return VersionStatus(key.model, key.version, record.state, reason, snapshot.aliases_of(key), taken)
