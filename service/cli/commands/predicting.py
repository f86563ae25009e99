"""`cellserve predict`: sequences from a file to a running server, answers as a table or into a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cellserve.service.cli.completion import references
from cellserve.service.cli.options import INPUT_HELP, JsonOption
from cellserve.service.cli.output import print_json, print_table
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.errors import InvalidInput

if TYPE_CHECKING:
    from cellserve.service.cli.commands.timing import Latency
    from cellserve.service.client import Client, Prediction

_COMPARED_REQUESTS: Final = 50  # under each implementation, unless --repeat says
_ROWS_SHOWN: Final = 20
_VALUES_SHOWN: Final = 8


@asks_a_server()
def predict(
    ref: Annotated[
        str,
        typer.Argument(metavar="REF", help="name, name/3 or name@alias.", show_default=False, autocompletion=references),
    ],
    input_file: Annotated[
        Path,
        typer.Option("--input", help=INPUT_HELP, dir_okay=False, show_default=False),
    ],
    server: Server,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the answers to this .npy, .npz or .json file.", dir_okay=False)
    ] = None,
    implementation: Annotated[
        str,
        typer.Option(
            "--implementation", help="Force one: 0, 1, 2, fused, onnxruntime or packed.", show_default="the server's choice"
        ),
    ] = "",
    precision: Annotated[
        str,
        typer.Option("--precision", help="float32, or bfloat16 for what recurrent layers multiply.", show_default="the model's"),
    ] = "",
    lengths: Annotated[
        str | None, typer.Option("--lengths", help="True time steps of each row of a padded batch, as in 8,5,7.")
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat", help="Ask so many times more, one after the other, and tell the latencies.", min=1, show_default=False
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Ask under every implementation of the model: latencies, and how far answers differ."),
    ] = False,
    ids: Annotated[
        bool, typer.Option("--ids", help="The numbers are integer ids, for a model that begins with an embedding.")
    ] = False,
    timeout_seconds: Annotated[
        float | None,
        typer.Option(
            "--timeout-seconds",
            help="For the whole call, in seconds; until then it is tried again where nobody answers or the server is too busy. "
            "Default: 60, and a few attempts.",
            min=0.001,
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    r"""Send sequences to a running server and print its answers.

    An .npy of \[time, features] is one sequence, of \[batch, time, features] a batch; an .npz holds sequences of any lengths.

        cellserve predict digits --input sequence.csv
        cellserve predict digits@canary --input many.npz --output answers.npz --implementation fused
        cellserve predict digits --input many.npz --compare --repeat 200
    """
    from cellserve.service.cli.array_files import check_output, read_sequences, write_answers
    from cellserve.service.client import Client

    if output is not None:
        check_output(output)
    if compare and (implementation or precision or output is not None):
        raise InvalidInput("--compare asks under every implementation and writes no answers: leave out the other option")
    sequences = read_sequences(input_file, ids=ids)
    with server.arguments() as arguments:
        patience = {} if timeout_seconds is None else {"timeout_seconds": timeout_seconds, "retry": None}
        client = Client(**arguments | patience)
    cuts = _lengths(lengths)

    def ask(label: str, model: str = ref) -> Prediction:
        return client.run(model, sequences.value, implementation=label, precision="" if compare else precision, lengths=cuts)

    with client:
        if compare:
            _compare(client, ref, ask, repeat or _COMPARED_REQUESTS, as_json)
            return
        prediction, latency = (ask(implementation), None) if repeat is None else _repeated(ask, implementation, repeat)
    if output is not None:
        write_answers(output, prediction.answer, sequences.names)
    if as_json:
        print_json(_as_data(prediction) | ({} if latency is None else {"latency": latency.as_data()}))
        return
    if output is None:
        _print(prediction, sequences.names)
    else:
        typer.echo(str(output))
    if latency is not None:
        latency.print()


def _repeated(ask: Callable[[str], Prediction], implementation: str, repeat: int) -> tuple[Prediction, Latency]:
    from cellserve.service.cli.commands.timing import timed

    return timed(ask, (implementation,), repeat)[implementation]


def _compare(client: Client, ref: str, ask: Callable[[str, str], Prediction], repeat: int, as_json: bool) -> None:
    from cellserve.service.cli.commands.timing import Comparison, timed

    shown = client.show(ref)
    model = f"{shown.status.model}/{shown.status.version}"  # one version under all, even while an alias moves
    default = next((each.label for each in shown.implementations if each.is_default), None)
    obstacles = {each.label: each.obstacle for each in shown.implementations if each.obstacle is not None}
    rounding = frozenset(each.label for each in shown.implementations if each.precision != "float32")
    comparison = Comparison(model, timed(lambda label: ask(label, model), shown.offered, repeat), default, obstacles, rounding)
    if as_json:
        print_json(comparison.as_data())
    else:
        comparison.print()


def _lengths(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidInput(
            f"--lengths {text!r}: expected whole numbers with commas between them, as in 8,5,7", field="lengths"
        ) from error


def _as_data(prediction: Prediction) -> dict[str, Any]:
    return {
        "model": prediction.model,
        "version": prediction.version,
        "implementation": prediction.implementation,
        "queue_seconds": prediction.queue_seconds,
        "compute_seconds": prediction.compute_seconds,
        "iterations": prediction.iterations,
        "outputs": {name: [row.tolist() for row in rows] for name, rows in prediction.outputs.items()},
    }


def _print(prediction: Prediction, names: tuple[str, ...]) -> None:
    title = (
        f"{prediction.model}/{prediction.version} under implementation {prediction.implementation}: "
        f"computed in {prediction.compute_seconds * 1e3:.2f} ms, {prediction.iterations} iterations"
    )
    for name, rows in prediction.outputs.items():
        shown = [
            (
                names[i] if names else i,
                str(list(row.shape)),
                _brief(row.reshape(-1).tolist()),
                int(row.argmax()) if row.ndim == 1 else "",
            )
            for i, row in enumerate(rows[:_ROWS_SHOWN])
        ]
        print_table(title, ("sequence", "shape", name, "#largest at"), shown)
        if len(rows) > _ROWS_SHOWN:
            typer.echo(f"… and {len(rows) - _ROWS_SHOWN} more; --output FILE or --json gives them all")


def _brief(values: list[float]) -> str:
    text = "  ".join(f"{value:.6g}" for value in values[:_VALUES_SHOWN])
    return text + (f"  … ({len(values)} values)" if len(values) > _VALUES_SHOWN else "")
