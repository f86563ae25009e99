"""How commands reach a running server: --url, and what a server with TLS or tokens wants. Written once, for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from cellserve.service.client import Client, ClientFiles, RetryPolicy
from cellserve.service.config import DEFAULT_METRICS_PORT, DEFAULT_PORT
from cellserve.service.errors import InvalidInput

_PANEL: Final = "TLS and tokens"
URL_VARIABLE: Final = "CELLSERVE_URL"
_ATTEMPTS: Final = 5
DEFAULT_URL: Final = f"localhost:{DEFAULT_PORT}"
METRICS_URL_VARIABLE: Final = "CELLSERVE_METRICS_URL"
DEFAULT_METRICS_URL: Final = f"http://localhost:{DEFAULT_METRICS_PORT}"


@dataclass(frozen=True, slots=True)
class Server:
    """Where a command asks, and what it shows there. by_option: the command line names it, not the environment alone."""

    url: str
    files: ClientFiles
    by_option: bool = True

    def instead_of(self, repository: str | None) -> bool:
        """Whether it is asked, and not the folder that --repository names, if any."""
        return self.by_option or repository is None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Raises as `arguments`."""
        with self.arguments() as arguments:
            made = Client(**arguments)
        with made:
            yield made

    @contextmanager
    def arguments(self) -> Iterator[dict[str, Any]]:
        """Of Client or AsyncClient, which is made inside: what they cannot take is InvalidInput. Raises OSError too.

        Attempts are counted: a person who waits is told soon that nobody answers.
        """
        given = {"url": self.url, "retry": RetryPolicy(attempts=_ATTEMPTS), **self.files.read()}
        try:
            yield given
        except ValueError as error:
            raise InvalidInput(str(error), field="url") from error


def _shown(name: str, kind: Any, help_text: str, **checks: Any) -> Any:
    option, variable = f"--{name.replace('_', '-')}", f"CELLSERVE_{name.upper()}"
    told = typer.Option(option, envvar=variable, help=help_text, show_default=False, rich_help_panel=_PANEL, **checks)
    return Annotated[kind | None, told]


_file = partial(_shown, kind=Path, exists=True, dir_okay=False)
_SHOWN: Final[dict[str, Any]] = {
    "token_file": _file("token_file", help_text="File of the token to show, where the server wants one."),
    "root_certificates": _file(
        "root_certificates", help_text="PEM file of the authorities to trust, in place of the system's; asks for TLS."
    ),
    "client_certificate": _file(
        "client_certificate", help_text="PEM file of the certificate to show, where the server wants one."
    ),
    "client_key": _file("client_key", help_text="PEM file of that certificate's key."),
    "server_name": _shown("server_name", str, "The name in the server's certificate, where it is not the host of the url."),
}


def asks_a_server(
    default_url: str | None = DEFAULT_URL, url_help: str = "host:port, or grpcs://host:port for TLS."
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """In place of its parameter `server`, a command gets the options that make a Server.

    default_url None: without --url the command is told of none.
    """

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        told = typer.Option("--url", envvar=URL_VARIABLE, help=url_help, show_default=default_url is not None)
        url_option = Annotated[str | None, told]
        options = [_keyword("url", url_option, default_url), *(_keyword(name, kind, None) for name, kind in _SHOWN.items())]

        @wraps(command)
        def run(*, context: typer.Context, url: str | None, **given: Any) -> None:
            files = ClientFiles(**{name: given.pop(name) for name in _SHOWN})
            source = context.get_parameter_source("url")
            by_option = source is not None and source.name == "COMMANDLINE"
            command(server=None if url is None else Server(url, files, by_option), **given)

        kinds = get_type_hints(command, include_extras=True)
        parameters = [_keyword("context", typer.Context, inspect.Parameter.empty)]
        for own in inspect.signature(command).parameters.values():
            parameters += options if own.name == "server" else [_keyword(own.name, kinds[own.name], own.default)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return with_options


def _keyword(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
