"""The model repository extension: what there is, and administration of what is loaded. Messages in, messages out."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final, Protocol

from cellserve.service.api.calls import administers
from cellserve.service.api.door import Publishing
from cellserve.service.errors import InvalidInput, NotOffered
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.manifest import parse_version
from cellserve.service.registry.publishing.declaration import Declaration
from cellserve.service.registry.publishing.publishing import Part
from cellserve.service.registry.status import VersionState, VersionStatus

_CONFIG: Final = "config"
_FILE: Final = "file:"
_SAYS_NOTHING: Final = frozenset(("name", "backend", "platform"))
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


async def load(
    request: pb.RepositoryModelLoadRequest, administration: Administration, publishing: Publishing, by: str
) -> pb.RepositoryModelLoadResponse:
    """Answers when everything wanted of the model is READY. Files that come along are published first, as by Registry.Publish.

    Raises InvalidInput, NotOffered, UnknownModel, VersionFailed, and what publishing raises.
    """
    _require_only_repository(request.repository_name)
    administers(request.model_name[:128])
    files = _files(request.parameters)
    _require_bare_config(request.parameters, with_files=bool(files))
    if files:
        declared = await asyncio.to_thread(_declared, request.model_name, files, by)
        await publishing.publish(declared, _parts(files))
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


def _files(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> dict[str, bytes]:
    """By name, those of one version: `file:1/manifest.json`. The number is not kept: the version gets the next one.

    Raises InvalidInput: a path of another form, or of a second version.
    """
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    for key, parameter in parameters.items():
        if not key.startswith(_FILE):
            continue
        folder, slash, name = key.removeprefix(_FILE).partition("/")
        if not slash or parse_version(folder) is None or parameter.WhichOneof("parameter_choice") != "bytes_param":
            raise InvalidInput(
                f"{key[:64]!r} is no file of a version; expected are bytes under file:1/manifest.json and the like",
                field=f"parameters.{key[:64]}",
            )
        folders.add(folder)
        files[name] = parameter.bytes_param
    if len(folders) > 1:
        raise InvalidInput(
            f"a load brings one version along, and there are {len(folders)}; send one load for each", field="parameters"
        )
    return files


def _require_bare_config(parameters: Mapping[str, pb.ModelRepositoryParameter], *, with_files: bool) -> None:
    """Clients of Triton must send a config with files. Here the manifest says it all, so that it may say no more than a name.

    Raises InvalidInput, NotOffered.
    """
    if _CONFIG not in parameters:
        return
    try:
        config = json.loads(parameters[_CONFIG].string_param or "{}")
    except ValueError as error:
        raise InvalidInput("the config that came along is not JSON", field="parameters.config") from error
    if not with_files or not isinstance(config, dict) or config.keys() - _SAYS_NOTHING:
        raise NotOffered(
            "a load cannot change a model's config: what is served is what was published, with the settings of its model.yaml; "
            "with files, {} is taken",
            field="parameters.config",
        )


def _declared(model: str, files: Mapping[str, bytes], by: str) -> Declaration:
    """In a thread: many bytes. Raises InvalidInput."""
    digests = {name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in files.items()}
    identity = hashlib.sha256("".join(f"{name}:{digests[name]};" for name in sorted(digests)).encode()).hexdigest()
    listed = [(name, len(data), digests[name]) for name, data in files.items()]
    return Declaration.checked(model, identity, listed, {}, by)


async def _parts(files: Mapping[str, bytes]) -> AsyncIterator[Part]:
    """All of them, whatever had come before of a load that was broken off."""
    for name, data in files.items():
        yield Part(name, 0, data)


def _reason(status: VersionStatus) -> str:
    return status.reason or ("unloaded" if status.state is VersionState.UNLOADED else "")
