"""Options that several commands share, so that each has one name and one help text."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cellserve.service.config import DEFAULT_REPOSITORY, Settings
from cellserve.service.registry.repository.repository import Repository

RepositoryOption = Annotated[
    Path | None,
    typer.Option(
        "--repository",
        help=f"Folder of the model repository. {escape(f'[default: $CELLSERVE_REPOSITORY or {DEFAULT_REPOSITORY}]')}",
        show_default=False,
        file_okay=False,
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


def open_repository(given: Path | None) -> Repository:
    """The repository of the option, else of the environment, else the default. Who runs the command moves its aliases."""
    return Repository(given if given is not None else Settings().repository, by=operator())


def operator() -> str:
    """Who runs the command: `root@host`; a user whom the system does not know by name is a number."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
