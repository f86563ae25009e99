"""What a server says of its models, as plain values. Pure: messages in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from cellserve.service.pb import cellserve_pb2 as pb

State = Literal["UNKNOWN", "LOADING", "READY", "UNLOADING", "FAILED", "UNLOADED"]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Where one version stands. reason: why it FAILED, else empty. aliases: that point at it, sorted. memory_bytes: that it
    takes of the server's memory, weights, their copies and states; 0 while it is not loaded.
    """

    model: str
    version: int
    state: State
    reason: str
    aliases: tuple[str, ...]
    memory_bytes: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class InputTensor:
    """kind: "features" [T, width], "ids" [T] below vocabulary (None: no end known), "vector" [width].

    time_steps: that a sequence must have; None: any number.
    """

    name: str
    kind: Literal["features", "ids", "vector"]
    width: int | None
    vocabulary: int | None
    time_steps: int | None


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A row's answer: [*features], or [T, *features] where per_step. time_steps: None for as many as the input has."""

    name: str
    per_step: bool
    features: tuple[int, ...]
    time_steps: int | None


@dataclass(frozen=True, slots=True)
class StateTensor:
    """A recurrent state [rows, width], by its name in initial_state and Prediction.state. layer: in the trained file."""

    name: str
    layer: str
    width: int


@dataclass(frozen=True, slots=True)
class ImplementationChoice:
    """obstacle: why this model cannot run under it; None: it can. difference: largest |it − float64 oracle| when published.

    precision: of what it multiplies. bound: the largest difference that publishing allowed; 0 where nobody has measured it.
    """

    label: str
    obstacle: str | None
    is_default: bool
    difference: float
    precision: str = "float32"
    bound: float = 0.0


@dataclass(frozen=True, slots=True)
class AliasMoved:
    """One move of an alias. before, after: versions; None: there was, or is, no such alias. by: empty where nobody knows.

    found: it was found so, and `when` is the time of the finding. split: the shares of versions from then on; empty: all to
    `after`. why: where it was no person who decided.
    """

    when: datetime
    alias: str
    before: int | None
    after: int | None
    by: str
    found: bool
    split: dict[int, float]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A gradual promote of an alias, from `before` to `version`. share: of the requests, that the version has or had last.

    seconds: that the walk takes; walked_seconds: so far. state: ended, where somebody moved the alias meanwhile. reason: why it
    was rolled back or ended, or what it waits for. stop_if: its bounds. seen: what they are judged by, in words. by: who asked.
    """

    alias: str
    version: int
    before: int
    seconds: float
    walked_seconds: float
    share: float
    state: Literal["walking", "promoted", "rolled_back", "ended"]
    reason: str
    stop_if: str
    seen: str
    by: str
    began: datetime


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """Everything about one version but its weights.

    versions: every published one of the model. causal: it is advanced step by step; else it needs whole sequences.
    parity_bound: largest difference from the float64 oracle that publishing allowed. notes: what the import assumed.
    published_by: over the wire; empty: it was imported beside the server. alias_history: of the model, oldest first. splits: of
    those of its aliases that are split, the shares of versions. rollouts: of each alias that walks or has walked, the last one.
    """

    status: ModelVersion
    versions: tuple[int, ...]
    inputs: tuple[InputTensor, ...]
    outputs: tuple[OutputTensor, ...]
    states: tuple[StateTensor, ...]
    implementations: tuple[ImplementationChoice, ...]
    causal: bool
    parity_bound: float
    framework: str
    source_file: str
    source_digest: str
    notes: tuple[str, ...]
    weights_digest: str
    created: datetime
    tags: dict[str, str]
    labels: dict[str, str]
    parameters: int
    published_by: str = ""
    alias_history: tuple[AliasMoved, ...] = ()
    splits: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    rollouts: tuple[Rollout, ...] = ()

    @property
    def offered(self) -> tuple[str, ...]:
        """Labels of the implementations that can run this model."""
        return tuple(each.label for each in self.implementations if each.obstacle is None)


_STATES: dict[int, State] = {
    pb.VersionStatus.UNKNOWN: "UNKNOWN",
    pb.VersionStatus.LOADING: "LOADING",
    pb.VersionStatus.READY: "READY",
    pb.VersionStatus.UNLOADING: "UNLOADING",
    pb.VersionStatus.FAILED: "FAILED",
    pb.VersionStatus.UNLOADED: "UNLOADED",
}
_ROLLOUTS: dict[int, Literal["walking", "promoted", "rolled_back", "ended"]] = {
    pb.Rollout.WALKING: "walking",
    pb.Rollout.PROMOTED: "promoted",
    pb.Rollout.ROLLED_BACK: "rolled_back",
    pb.Rollout.ENDED: "ended",
}
_KINDS: dict[int, Literal["features", "ids", "vector"]] = {
    pb.InputDescription.FEATURES: "features",
    pb.InputDescription.IDS: "ids",
    pb.InputDescription.VECTOR: "vector",
}


def model_version(status: pb.VersionStatus) -> ModelVersion:
    state = _STATES.get(status.state, "UNKNOWN")
    return ModelVersion(status.model, status.version, state, status.reason, tuple(status.aliases), status.memory_bytes)


def model_versions(reply: pb.ListReply) -> list[ModelVersion]:
    return [model_version(status) for status in reply.versions]


def rollout(message: pb.Rollout) -> Rollout:
    return Rollout(
        message.alias,
        message.version,
        message.before,
        message.seconds,
        message.walked_seconds,
        message.share,
        _ROLLOUTS.get(message.state, "ended"),
        message.reason,
        message.stop_if,
        message.seen,
        message.by,
        datetime.fromtimestamp(message.began_unix_seconds, UTC),
    )


def _newest_first(split: Mapping[int, float]) -> dict[int, float]:
    return dict(sorted(split.items(), reverse=True))


def description(reply: pb.ShowReply) -> ModelDescription:
    source = reply.source
    return ModelDescription(
        status=model_version(reply.status),
        versions=tuple(reply.versions),
        inputs=tuple(
            InputTensor(
                each.name,
                _KINDS.get(each.kind, "features"),
                each.width or None,
                each.vocabulary or None,
                each.time_steps or None,
            )
            for each in reply.inputs
        ),
        outputs=tuple(
            OutputTensor(each.name, each.per_step, tuple(each.features), each.time_steps or None) for each in reply.outputs
        ),
        states=tuple(StateTensor(each.name, each.layer, each.width) for each in reply.states),
        implementations=tuple(
            ImplementationChoice(
                each.label,
                each.obstacle or None,
                each.is_default,
                each.difference,
                each.precision or "float32",
                each.bound,
            )
            for each in reply.implementations
        ),
        causal=reply.causal,
        parity_bound=reply.parity_bound,
        framework=f"{source.framework} {source.version}".strip(),
        source_file=source.file,
        source_digest=source.digest,
        notes=tuple(reply.notes),
        weights_digest=reply.weights_digest,
        created=datetime.fromtimestamp(reply.created_unix_seconds, UTC),
        tags=dict(reply.tags),
        labels=dict(reply.labels),
        parameters=reply.parameters,
        published_by=reply.published_by,
        alias_history=tuple(
            AliasMoved(
                datetime.fromtimestamp(move.when_unix_seconds, UTC),
                move.alias,
                move.before or None,
                move.after or None,
                move.by,
                move.found,
                _newest_first(move.split),
                move.why,
            )
            for move in reply.alias_history
        ),
        splits={each.alias: _newest_first(each.split) for each in reply.splits},
        rollouts=tuple(rollout(each) for each in reply.rollouts),
    )
