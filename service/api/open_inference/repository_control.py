"""The model repository extension: what there is, and administration of what is loaded. Messages in, messages out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from cellserve.service.api.calls import administers
from cellserve.service.errors import InvalidInput, NotOffered
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.status import VersionState, VersionStatus

_STATES: Final = {
    VersionState.UNKNOWN: "UNKNOWN",
    VersionState.LOADING: "LOADING",
    VersionState.READY: "READY",
    VersionState.UNLOADING: "UNLOADING",
    VersionState.FAILED: "UNAVAILABLE",
    VersionState.UNLOADED: "UNAVAILABLE",
}


class Administration(Protocol):
    """The part of the catalog that loads and unloads on request."""

    async def load(self, model: str) -> None: ...

    async def unload(self, model: str) -> None: ...


def index(request: pb.RepositoryIndexRequest, statuses: Iterable[VersionStatus]) -> pb.RepositoryIndexResponse:
    """Raises InvalidInput: another repository is named."""
    _require_only_repository(request.repository_name)
    shown = [status for status in statuses if status.state is VersionState.READY or not request.ready]
    return pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(
                name=status.model, version=str(status.version), state=_STATES[status.state], reason=_reason(status)
            )
            for status in shown
        ]
    )


async def load(request: pb.RepositoryModelLoadRequest, administration: Administration) -> pb.RepositoryModelLoadResponse:
    """Answers when everything wanted of the model is READY. Raises InvalidInput, NotOffered, UnknownModel, VersionFailed."""
    _require_only_repository(request.repository_name)
    _require_no_files(request.parameters)
    administers(request.model_name[:128])
    await administration.load(request.model_name)
    return pb.RepositoryModelLoadResponse()


async def unload(request: pb.RepositoryModelUnloadRequest, administration: Administration) -> pb.RepositoryModelUnloadResponse:
    """Holds until a load or a restart; requests under way finish. Raises InvalidInput, UnknownModel."""
    _require_only_repository(request.repository_name)
    administers(request.model_name[:128])
    await administration.unload(request.model_name)
    return pb.RepositoryModelUnloadResponse()


def _require_only_repository(name: str) -> None:
    if name:
        raise InvalidInput("this server has one repository, without a name; leave repository_name empty", field="repository_name")


def _require_no_files(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> None:
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise NotOffered(
                f"a load cannot bring {name[:64]!r} along; publish the model with `cellserve import`, then load it",
                field=f"parameters.{name[:64]}",
            )


def _reason(status: VersionStatus) -> str:
    return status.reason or ("unloaded" if status.state is VersionState.UNLOADED else "")
