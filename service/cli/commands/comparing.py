"""`cellserve compare`: the same inputs to two versions of a model, on a running server or out of a repository; what differs, and
what each costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from cellserve.service.cli.completion import references
from cellserve.service.cli.options import INPUT_HELP, JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import complain, print_json, print_table
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.manifest import ModelRef, check_model_name, parse_version

if TYPE_CHECKING:
    from cellserve.service.cli.array_files import Sequences
    from cellserve.service.cli.comparison.report import Speed
    from cellserve.service.client import Client, Prediction

_ROWS_SHOWN: Final = 10
_DIFFERS: Final = 1  # exit code


@asks_a_server()
def compare(
    model: Annotated[str, typer.Argument(metavar="NAME", help="The model.", show_default=False, autocompletion=references)],
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A version or an alias: 3 or stable.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another: 4 or canary.", show_default=False)],
    server: Server,
    input_file: Annotated[
        Path | None,
        typer.Option("--input", help=INPUT_HELP, dir_okay=False, show_default=False),
    ] = None,
    recorded: Annotated[
        bool,
        typer.Option(
            "--recorded", help="In place of --input: what the server has kept of real requests (record: in model.yaml)."
        ),
    ] = False,
    bound: Annotated[
        float | None, typer.Option("--bound", help="Exit code 1 if any number differs by more.", min=0.0, show_default=False)
    ] = None,
    most_flips: Annotated[
        int | None, typer.Option("--max-flips", help="Exit code 1 if more decisions flip.", min=0, show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots to this file.", dir_okay=False)] = None,
    repeat: Annotated[int, typer.Option("--repeat", help="How often each is asked for its latency.", min=1)] = 20,
    ids: Annotated[
        bool, typer.Option("--ids", help="The numbers are integer ids, for a model that begins with an embedding.")
    ] = False,
    repository: RepositoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the same inputs to two versions of a model on a running server: what differs, whose decisions flip, and the speed.

    With --repository no server need run: both versions are served here, for as long as that takes.

    Each version answers by its own choice of implementation for the differences, and by each that both offer for the speed.

        cellserve compare digits 3 4 --input many.npz
        cellserve compare digits 3 4 --recorded
        cellserve compare digits 3 4 --input many.npz --repository s3://models/production
        cellserve compare digits stable canary --input many.npz --bound 1e-3 --max-flips 0 --html compared.html
    """
    from cellserve.service.cli.array_files import read_sequences
    from cellserve.service.cli.comparison.differences import Differences
    from cellserve.service.cli.comparison.page import page
    from cellserve.service.cli.comparison.report import Bounds, report

    if (input_file is None) != recorded:
        raise InvalidInput("on which inputs? Give --input FILE, or --recorded for what the server has kept of real requests")
    if recorded and not server.instead_of(repository):
        raise InvalidInput("a repository keeps no requests: give --input FILE, or --url of the server that has kept them")
    given = None if input_file is None else _of_file(read_sequences(input_file, ids=ids))
    with _asked(server, repository, _ref(model, before), _ref(model, after)) as (client, refs):
        given = given or _of_requests(client, model)
        answers = [client.run(ref, given.value, more_inputs=given.more) for ref in refs]
        found = Differences.between(answers[0].outputs, answers[1].outputs)
        speeds = _speeds(client, refs, given, repeat)
    names = dict(enumerate(given.names))
    first = given.value if isinstance(given.value, list) else [given.value]
    steps = sum(array.size if ids or array.dtype.kind in "iu" else array.size // array.shape[-1] for array in first)
    data = report((refs[0], refs[1]), found, speeds, Bounds(bound, most_flips), names, steps)
    if html is not None:
        html.write_text(page(data))
    if as_json:
        print_json(data)
    else:
        _print(data)
    for sentence in data["exceeded"]:
        complain(sentence)
    if data["exceeded"]:
        raise typer.Exit(_DIFFERS)


@contextmanager
def _asked(server: Server, repository: str | None, *versions: ModelRef) -> Iterator[tuple[Client, tuple[str, ...]]]:
    """Who answers, the server or one of these versions alone; and each of them as `name/number`, wherever aliases move."""
    from cellserve.service.cli.comparison.own_server import own_server
    from cellserve.service.client import Client

    if server.instead_of(repository):
        with server.client() as client:
            shown = [client.show(str(version)).status for version in versions]
            yield client, tuple(f"{status.model}/{status.version}" for status in shown)
        return
    store = open_repository(repository)
    keys = [store.resolve(version) for version in versions]
    with own_server(store, keys) as url, Client(url) as client:
        yield client, tuple(map(str, keys))


class _Given(NamedTuple):
    """Inputs as the client takes them: the first of the model, and its others."""

    value: Any
    more: Sequence[Any] = ()
    names: tuple[str, ...] = ()


def _of_file(sequences: Sequences) -> _Given:
    return _Given(sequences.value, (), sequences.names)


def _of_requests(client: Client, model: str) -> _Given:
    """Raises InvalidInput: none has come yet."""
    import numpy as np

    rows = list(client.recorded(check_model_name(model)))
    if not rows:
        raise InvalidInput(f"nothing has been recorded of {model} yet: no request has come since the server began to")
    first, *more = ([*column] for column in zip(*rows, strict=True))
    return _Given(first, [np.stack(column) if column[0].ndim == 1 and column[0].dtype.kind == "f" else column for column in more])


def _ref(model: str, version: str) -> ModelRef:
    number = parse_version(version)
    return ModelRef(check_model_name(model), number, None if number else version)


def _speeds(client: Client, refs: tuple[str, ...], given: _Given, repeat: int) -> list[Speed]:
    """Under every implementation that both offer; all take turns, so that a busy moment strikes all alike."""
    from cellserve.service.cli.commands.timing import timed
    from cellserve.service.cli.comparison.report import Speed

    shown = [client.show(ref) for ref in refs]
    both = [label for label in shown[0].offered if label in shown[1].offered]
    if not both:
        raise InvalidInput(f"{' and '.join(refs)} offer no implementation in common")
    cases = {f"{label} {ref}": (label, ref) for label in both for ref in dict.fromkeys(refs)}

    def ask(case: str) -> Prediction:
        label, ref = cases[case]
        return client.run(ref, given.value, more_inputs=given.more, implementation=label)

    return [
        Speed(cases[case][1], cases[case][0], latency.median_seconds, latency.p99_seconds, prediction.compute_seconds)
        for case, (prediction, latency) in timed(ask, tuple(cases), repeat).items()
    ]


def _print(data: dict[str, Any]) -> None:
    from cellserve.service.cli.comparison.page import ROW_HEADINGS, SPEED_HEADINGS, facts, row_cells, speed_cells

    print_table(f"{data['before']} and {data['after']} on {data['rows']} inputs", ("what", "value"), facts(data))
    rows = data["flipped_rows"] or data["worst_rows"]
    title = "Inputs whose decisions flip" if data["flipped_rows"] else "Inputs with the largest differences"
    print_table(title, ROW_HEADINGS, row_cells(rows[:_ROWS_SHOWN]))
    print_table("Speed", SPEED_HEADINGS, speed_cells(data))
