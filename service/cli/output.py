"""Where the command line writes: answers to standard output, everything else to standard error. Knows no command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_PIPED_WIDTH: Final = 160  # columns of a table that goes to a file or another program


def print_json(value: Any) -> None:
    """Exactly one JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """As `table` makes it."""
    print_screen(table(title, headings, rows))


def print_screen(shown: RenderableType) -> None:
    """Tables and texts."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_WIDTH)
    console.print(shown)


@contextmanager
def changing_table() -> Iterator[Callable[[str, Sequence[str], Sequence[Sequence[object]]], None]]:
    """Yields print_table, each call of which replaces what the last one wrote; off a terminal it writes below."""
    if not Console().is_terminal:
        yield print_table
        return
    with Live(auto_refresh=False) as live:
        yield lambda title, headings, rows: live.update(table(title, headings, rows), refresh=True)


@contextmanager
def changing_screen() -> Iterator[Callable[[RenderableType], None]]:
    """Yields what shows something in place of what it showed last, over the whole terminal; off a terminal it writes below."""
    if not Console().is_terminal:
        yield print_screen
        return
    with Live(auto_refresh=False, screen=True) as live:
        yield lambda shown: live.update(shown, refresh=True)


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Headings that start with `#` are numbers and stand to the right."""
    made = Table(title=escape(title), title_justify="left", title_style="bold")
    for heading in headings:
        made.add_column(heading.removeprefix("#"), justify="right" if heading.startswith("#") else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(str(cell)) for cell in row))
    return made


def note(text: str) -> None:
    """A remark for the person at the terminal."""
    Console(stderr=True, soft_wrap=True).print(f"[dim]note:[/dim] {escape(text)}", highlight=False)


def complain(text: str) -> None:
    """What went wrong, in one sentence."""
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/bold red] {escape(text)}", highlight=False)


@contextmanager
def transfer_bar(title: str, afterwards: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, on a terminal only. Yields what to call with bytes sent and bytes in all.

    afterwards: what goes on once all are sent.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(escape(f"{title}: sending"), total=None)

        def sent(done: int, total: int) -> None:
            what = afterwards if done >= total else "sending"
            progress.update(task, description=escape(f"{title}: {what}"), completed=done, total=total)

        yield sent


@contextmanager
def step_bar(title: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, on a terminal only. Yields what to call with each step that begins."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(escape(title), total=steps)
        begun = 0

        def begin(step: str) -> None:
            nonlocal begun
            progress.update(task, description=f"{escape(title)}: {escape(step)}", completed=begun)
            begun += 1

        yield begin
