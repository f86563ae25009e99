"""`cellserve serve`: every setting as an option, made from the settings class. Starts the server and waits for its end."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from cellserve.service import logs
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository

log = logging.getLogger(__name__)


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """One option: name, help and default from the field; None means that the environment or the default decides."""
    kind: Any = field.annotation
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=escape(f"{field.description} [default: {field.default}]"),
        show_default=False,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])


def _with_settings_as_options(command: Callable[..., None]) -> Callable[..., None]:
    parameters = [_option(name, field) for name, field in Settings.model_fields.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


@_with_settings_as_options
def serve(**options: Any) -> None:
    """Serve the repository over gRPC until SIGTERM or Ctrl-C, then finish what was accepted. A second signal ends it at once,
    without writing live sequences.

    Prints one line on standard output when it can serve; logs go to standard error. Versions that are published and aliases
    that move while it runs are followed. Each option is an environment variable too: CELLSERVE_PORT for --port.

        cellserve serve --port 8001 --metrics-port 8002 --device cpu
    """
    settings = Settings(**{name: value for name, value in options.items() if value is not None})
    logs.configure(settings.log_level, settings.log_format)
    if settings.repository_url is None and not Repository(settings.repository_folder).models():
        log.warning(
            "no models in %s yet; publish one with `cellserve import FILE --repository %s`, and it is served at once",
            settings.repository,
            settings.repository,
        )
    from cellserve.service import app

    raise typer.Exit(app.run(settings))
