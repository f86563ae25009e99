"""`cellserve`: the table of commands, and what they all share. Each command lives in a file of its own."""

from __future__ import annotations

from importlib.metadata import version as distribution_version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cellserve.service.cli import failures
from cellserve.service.cli.bench.command import bench
from cellserve.service.cli.commands import (
    cluster,
    comparing,
    importing,
    inspecting,
    listing,
    load_test,
    predicting,
    pruning,
    registry,
    reporting,
    serving,
    sessions,
    verifying,
)
from cellserve.service.cli.output import complain
from cellserve.service.cli.top.command import top


class Commands(TyperGroup):
    """Turns what a command raises into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug") or _is_usage_error(error):
                raise
            complain(failures.sentence(error))
            raise typer.Exit(failures.exit_code(error)) from error


def _is_usage_error(error: Exception) -> bool:
    """Typer tells these itself, with the usage line and exit code 2."""
    return hasattr(error, "show") and hasattr(error, "exit_code")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"cellserve {distribution_version('cellserve')}")
        raise typer.Exit


app = typer.Typer(
    name="cellserve",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def everything(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="On a failure, print the traceback instead of one sentence.")] = False,
) -> None:
    """Serve trained recurrent models (LSTM, GRU and relatives) over gRPC, with the numbers of the framework that trained them.

    Three lines from a file to an answer:

        cellserve import digits.keras
        cellserve serve
        cellserve predict digits --input sequence.csv
    """


app.command("import")(importing.import_models)
app.command()(inspecting.inspect)
app.command()(serving.serve)
app.command()(listing.models)
app.command()(registry.show)
app.command()(registry.promote)
app.command()(registry.remove)
app.command()(pruning.prune)
app.command()(verifying.verify)
app.command()(predicting.predict)
app.command()(comparing.compare)
app.command()(sessions.sessions)
app.command()(top)
app.command()(load_test.load)
app.command()(reporting.report)
app.command()(bench)
app.add_typer(cluster.cluster, name="cluster")


def main() -> None:
    """The console script."""
    app()
