"""Totals of each version as the messages of the statistics extension."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import UnknownModel, UnknownVersion, VersionUnavailable
from cellserve.service.metrics.statistics import Durations, VersionCounts
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.status import VersionState, VersionStatus

_LIVE: Final = (VersionState.READY, VersionState.UNLOADING)


class StatisticsSource(Protocol):
    def of(self, key: VersionKey) -> VersionCounts: ...


def live_versions(statuses: Sequence[VersionStatus], model: str, version: str) -> list[VersionKey]:
    """The loaded versions that a request means: of every model if `model` is empty, every one of it if `version` is.

    version: a number or an alias. Raises UnknownModel, UnknownVersion, VersionUnavailable (it is not loaded).
    """
    if not model:
        return [status.key for status in statuses if status.state in _LIVE]
    named = [status for status in statuses if status.model == model]
    if not named:
        raise UnknownModel(f"there is no model {model[:128]!r}", field="name")
    if not version:
        return [status.key for status in named if status.state in _LIVE]
    meant = [status for status in named if str(status.version) == version or version in status.aliases]
    if not meant:
        raise UnknownVersion(f"{model} has no version or alias {version[:128]!r}", field="version")
    for status in meant:
        if status.state not in _LIVE:
            raise VersionUnavailable(f"{status.key} is {status.state}; only loaded versions have statistics", field="version")
    return [status.key for status in meant]


def describe(keys: Iterable[VersionKey], source: StatisticsSource) -> pb.ModelStatisticsResponse:
    return pb.ModelStatisticsResponse(model_stats=[_model(key, source.of(key)) for key in keys])


def _model(key: VersionKey, counts: VersionCounts) -> pb.ModelStatistics:
    return pb.ModelStatistics(
        name=key.model,
        version=str(key.version),
        last_inference=counts.last_answer_unix_milliseconds,
        inference_count=counts.rows_done,
        execution_count=sum(durations.count for durations in counts.iterations.values()),
        inference_stats=pb.InferStatistics(
            success=_durations(counts.success),
            fail=_durations(counts.fail),
            queue=_durations(counts.queue),
            compute_input=_durations(counts.compute_input),
            compute_infer=_durations(counts.compute_infer),
            compute_output=_durations(counts.compute_output),
        ),
        batch_stats=[
            pb.InferBatchStatistics(batch_size=rows, compute_infer=_durations(durations))
            for rows, durations in sorted(counts.iterations.items())
        ],
    )


def _durations(durations: Durations) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=durations.count, ns=durations.nanoseconds)
