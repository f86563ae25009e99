"""A version described in the words of cellserve.v1. Pure: facts in, a message out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cellserve.models.description.described import obstacle_of, parameters_of, shapes_of
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.implementations import IMPLEMENTATIONS
from cellserve.service.api.requests.signature import Signature
from cellserve.service.api.typed.change_log import Told
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.registry.description import VersionDescription
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.status import AliasStatus, VersionStatus

_MOST_MOVES: Final = 256
_KINDS: Final = {
    "features": pb.InputDescription.FEATURES,
    "ids": pb.InputDescription.IDS,
    "vector": pb.InputDescription.VECTOR,
}


def status_message(status: VersionStatus) -> pb.VersionStatus:
    return pb.VersionStatus(
        model=status.model,
        version=status.version,
        state=status.state.name,
        reason=status.reason,
        aliases=status.aliases,
        memory_bytes=status.memory_bytes,
    )


def told_message(told: Told) -> pb.WatchReply:
    reply = pb.WatchReply(resume_token=told.token)
    if told.change is None:
        (reply.begun if told.void else reply.current).SetInParent()
        return reply
    model, second = told.change.name
    state = told.change.state
    if isinstance(state, VersionStatus):
        reply.version.CopyFrom(status_message(state))
    elif isinstance(state, AliasStatus):
        reply.alias.CopyFrom(_alias_message(state))
    elif isinstance(second, int):
        reply.removed.CopyFrom(pb.VersionRef(model=model, version=second))
    else:
        reply.alias_removed.CopyFrom(pb.AliasRef(model=model, alias=second))
    return reply


def show_reply(version: VersionDescription, rollouts: Iterable[Rollout] = (), *, manifest: bool = False) -> pb.ShowReply:
    """rollouts: of the model. manifest: with what is to be served of it."""
    told = _show_reply(version)
    told.rollouts.extend(map(rollout_message, rollouts))
    if manifest:
        told.manifest = version.manifest.to_json()
    return told


def rollout_message(rollout: Rollout) -> pb.Rollout:
    return pb.Rollout(
        alias=rollout.alias,
        version=rollout.version,
        before=rollout.before,
        seconds=rollout.seconds,
        walked_seconds=rollout.walked_seconds,
        share=rollout.share,
        state=rollout.state.upper(),
        reason=rollout.reason,
        stop_if=rollout.stop_if,
        seen=rollout.seen,
        by=rollout.by,
        began_unix_seconds=rollout.began.timestamp(),
    )


def _alias_message(alias: AliasStatus) -> pb.AliasStatus:
    return pb.AliasStatus(
        model=alias.model,
        alias=alias.alias,
        version=alias.version,
        answering=alias.answering or 0,
        reason=alias.reason,
        split=alias.split,
    )


def _show_reply(version: VersionDescription) -> pb.ShowReply:
    manifest, spec = version.manifest, version.manifest.spec
    signature = Signature.of(spec, shapes_of(spec), StateLayout.of(spec))
    source = manifest.source
    return pb.ShowReply(
        status=status_message(version.status),
        versions=version.versions,
        inputs=[
            pb.InputDescription(
                name=given.name,
                kind=_KINDS[given.kind],
                width=given.width or 0,
                vocabulary=given.vocabulary or 0,
                time_steps=given.time_steps or 0,
            )
            for given in signature.inputs
        ],
        outputs=[
            pb.OutputDescription(
                name=output.name, per_step=output.per_step, features=output.features, time_steps=output.time_steps or 0
            )
            for output in signature.outputs
        ],
        states=[
            pb.StateDescription(name=key, layer=columns.layer_name, width=columns.width)
            for key, columns in signature.states.items()
        ],
        implementations=[
            pb.Implementation(
                label=label,
                obstacle=obstacle or "",
                is_default=label == version.default_implementation,
                difference=manifest.parity.differences.get(label, 0.0),
                precision=IMPLEMENTATIONS[label].precision if label in IMPLEMENTATIONS else "",
                bound=manifest.bound_of(label) or 0.0,
            )
            for label, obstacle in version.implementations.items()
        ],
        causal=obstacle_of(spec) is None,
        parity_bound=manifest.parity.bound,
        source=pb.Source(framework=source.framework, version=source.version, file=source.file, digest=source.digest),
        notes=manifest.notes,
        weights_digest=manifest.weights_digest,
        created_unix_seconds=manifest.created.timestamp(),
        tags=manifest.tags,
        parameters=parameters_of(spec).total(),
        labels=version.settings.labels,
        published_by=version.published_by,
        alias_history=[
            pb.AliasMove(
                when_unix_seconds=move.when.timestamp(),
                alias=move.alias,
                before=move.before or 0,
                after=move.after or 0,
                by=move.by,
                found=move.found,
                split=move.split,
                why=move.why,
            )
            for move in version.alias_moves[-_MOST_MOVES:]
        ],
        splits=[pb.AliasSplit(alias=alias, split=split) for alias, split in sorted(version.splits.items())],
    )
