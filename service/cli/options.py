"""Options that several commands share, so that each has one name and one help text."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from cellserve.service.config import DEFAULT_REPOSITORY, Settings
from cellserve.service.registry.repository.remote.opening import home_of
from cellserve.service.registry.repository.repository import Repository

INPUT_HELP: Final = escape(
    "One sequence: .npy [time, features], or .csv with a time step a line. Several: .npz with an array for each, .json, or .npy "
    "[batch, time, features]. Arrays are saved by numpy.save('sequence.npy', x)."
)

RepositoryOption = Annotated[
    str | None,
    typer.Option(
        "--repository",
        metavar="FOLDER|URL",
        help="The model repository: a folder, or s3://bucket/prefix, gs:// or az://. "
        f"{escape(f'[default: $CELLSERVE_REPOSITORY or {DEFAULT_REPOSITORY}]')}",
        show_default=False,
    ),
]

ArchitectureOption = Annotated[
    Path | None,
    typer.Option(
        "--architecture", help="Keras JSON, for an .h5 file or a TensorFlow 2 checkpoint that holds weights only.", dir_okay=False
    ),
]

DescriptionOption = Annotated[
    Path | None,
    typer.Option("--description", help="YAML or JSON, for what a file of weights does not say.", dir_okay=False),
]

DequantizeOption = Annotated[
    bool,
    typer.Option("--dequantize", help="Serve a quantised .onnx file with its weights in float32; a note says how far apart."),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def settings_of(given: str | None) -> Settings:
    """given: the option --repository. Raises ValidationError, UnusableFile."""
    return Settings() if given is None else Settings(repository=given)


def open_repository(given: str | None) -> Repository:
    """The repository of the option, else of the environment, else the default, as it is now. Who runs the command moves its
    aliases. Raises RepositoryError.
    """
    repository = Repository(home_of(settings_of(given)), by=operator())
    repository.refresh()
    return repository


def operator() -> str:
    """Who runs the command: `root@host`; a user whom the system does not know by name is a number."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
