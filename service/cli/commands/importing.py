"""`cellserve import`: trained files into versions. Each file succeeds or fails by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cellserve.models.description.step_model import StepModel
from cellserve.service.cli import describing, failures
from cellserve.service.cli.options import (
    ArchitectureOption,
    DequantizeOption,
    DescriptionOption,
    JsonOption,
    RepositoryOption,
    open_repository,
    operator,
)
from cellserve.service.cli.output import complain, note, print_json, step_bar, transfer_bar
from cellserve.service.cli.recipes import FILE, recipe
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.errors import VersionRefused
from cellserve.service.registry.manifest import Manifest, check_alias_name, check_model_name
from cellserve.service.registry.repository.pruning import apply_retention, retention_words
from cellserve.service.registry.repository.repository import Repository

if TYPE_CHECKING:
    from cellserve.models.importers import Imported
    from cellserve.models.measuring.framework_answers import FrameworkAnswers

_STEPS: Final = 3  # read, check, publish


@asks_a_server(None, "Publish to this running server, host:port or grpcs://host:port, and not into a folder.")
def import_models(
    server: Server | None,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Trained files: .h5, .keras, .pt, .safetensors, .onnx, .npz, a checkpoint.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model.", show_default="the file's name without its suffix")
    ] = None,
    architecture: ArchitectureOption = None,
    description: DescriptionOption = None,
    dequantize: DequantizeOption = False,
    expect: Annotated[
        Path | None,
        typer.Option(
            "--expect",
            help="The framework's own answers, .npz: inputs x0, x1 … and outputs y0, y1 …; the import must give them.",
            dir_okay=False,
        ),
    ] = None,
    repository: RepositoryOption = None,
    alias: Annotated[
        str | None,
        typer.Option("--alias", help="Point this alias at the new version; requests without a version go to `stable`, if any."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn trained files into served versions.

    Every implementation must give the answers of a float64 oracle before a version is published, and the framework's own where
    --expect has them; without, two lines are printed that make such a file. Prints name/version for each; what was assumed goes
    to standard error. Exit code 2 if a file was refused; the repository then holds nothing of it.

        cellserve import digits.keras --alias stable
        cellserve import digits.keras --expect expect.npz
        cellserve import digits.keras --url grpcs://models.example:8001 --token-file token
        cellserve import weights.h5 --architecture model.json --name speech
    """
    if name is not None:
        check_model_name(name)
    if alias is not None:
        check_alias_name(alias)
    publish = partial(_publish_to, server) if server is not None and server.instead_of(repository) else _publish_in
    store = open_repository(repository)
    published: list[Manifest] = []
    worst = 0
    for source in sources:
        try:
            manifest = _import_one(
                publish, store, source, name or source.stem, architecture, description, dequantize, expect, alias
            )
        except Exception as error:
            if isinstance(error, ModuleNotFoundError):
                raise
            complain(_with_source(source, failures.sentence(error)))
            worst = max(worst, failures.exit_code(error))
            continue
        published.append(manifest)
        if not as_json:
            typer.echo(str(manifest.key))
        for remark in manifest.notes:
            note(f"{manifest.key}: {remark}")
        note(f"{manifest.key}: {_checked(manifest, source, expected=expect is not None)}")
        if publish is _publish_in:
            for version in apply_retention(store, manifest.model):
                note(retention_words(manifest.model, version))
    if as_json:
        print_json([_as_data(manifest, alias) for manifest in published])
    raise typer.Exit(worst)


Publish = Callable[..., Manifest]  # as _publish_in


def _import_one(
    publish: Publish,
    store: Repository,
    source: Path,
    name: str,
    architecture: Path | None,
    description: Path | None,
    dequantize: bool,
    expect: Path | None,
    alias: str | None,
) -> Manifest:
    """What was assumed is told of a file whose answers are not the framework's too: it is why, more often than not."""
    with step_bar(source.name, _STEPS) as begin:
        begin("reading")
        from cellserve.models.importers.expected import read_expected
        from cellserve.models.importers.isolated import load_isolated
        from cellserve.models.measuring.framework_answers import AnswersDoNotFit
        from cellserve.models.measuring.parity import ParityFailure

        check_model_name(name)
        expected = () if expect is None else (read_expected(expect),)
        imported = load_isolated(source, architecture=architecture, description=description, dequantize=dequantize)
        try:
            return publish(store, name, imported, expected, alias, begin)
        except (ParityFailure, AnswersDoNotFit, VersionRefused):
            for remark in imported.notes:
                note(f"{source}: {remark}")
            raise


def _publish_in(
    store: Repository,
    name: str,
    imported: Imported,
    expected: tuple[FrameworkAnswers, ...],
    alias: str | None,
    begin: Callable[[str], None],
) -> Manifest:
    return store.publish(name, imported, alias=alias, answers=(*imported.answers, *expected), progress=begin)


def _publish_to(
    server: Server,
    store: Repository,
    name: str,
    imported: Imported,
    expected: tuple[FrameworkAnswers, ...],
    alias: str | None,
    begin: Callable[[str], None],
) -> Manifest:
    """The server checks it. What has been published before, of the same content, is not published twice, and that is told."""
    from cellserve.models.importers.isolated import leave

    begin(f"publishing to {server.url}")
    with TemporaryDirectory(prefix="cellserve-publish-") as folder, server.client() as client:
        leave(imported, Path(folder), expected)
        with transfer_bar(name, f"checked by {server.url}") as sent:
            made = client.publish(name, Path(folder), alias=alias or "", publisher=operator(), progress=sent)
        manifest = Manifest.model_validate_json(client.manifest(f"{name}/{made.version.version}"))
    if made.repeated:
        note(f"{manifest.key} is the same, published before")
    return manifest


def _checked(manifest: Manifest, source: Path, *, expected: bool) -> str:
    """Who has confirmed the version's answers; where it was not the program that has them, how to let it do so."""
    agreed = describing.agreement(manifest.parity.framework)
    if expected or manifest.source.framework == "onnx" or isinstance(manifest.spec, StepModel):
        return f"checked against {agreed}."
    said = f"checked against {agreed}; how the program wires its modules is not" if agreed else "not"
    first, second = recipe(manifest.spec, manifest.source.framework)
    return (
        f"{said} checked against the framework. Where the model was made:\n    {first}\n    {second}\n"
        f"and then: cellserve import {source} --expect {FILE}"
    )


def _with_source(source: Path, sentence: str) -> str:
    return sentence if sentence.startswith(str(source)) else f"{source}: {sentence}"


def _as_data(manifest: Manifest, alias: str | None) -> dict[str, object]:
    return {
        "model": manifest.model,
        "version": manifest.version,
        "alias": alias,
        "framework": manifest.source.framework,
        "differences": dict(manifest.parity.differences),
        "framework_differences": dict(manifest.parity.framework),
        "notes": list(manifest.notes),
    }
