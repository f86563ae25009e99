"""An overview on a terminal. Knows no server and no options."""

from __future__ import annotations

from collections.abc import Iterator

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.text import Text

from cellserve.service.cli.output import table
from cellserve.service.overview.facts import Overview
from cellserve.service.overview.tables import Figure, Table, figures, tables, title


def screen(seen: Overview, url: str, now_unix_seconds: float) -> RenderableType:
    """From top to bottom what a person asks first."""
    return Group(*_parts(seen, url, now_unix_seconds))


def _parts(seen: Overview, url: str, now_unix_seconds: float) -> Iterator[RenderableType]:
    yield Text.assemble((url, "bold"), f", {title(seen)}")
    yield Columns(map(_figure, figures(seen, now_unix_seconds)), padding=(0, 3), equal=True)
    for each in tables(seen):
        yield Text()
        yield _table(each)


def _table(each: Table) -> RenderableType:
    if each.rows:
        return table(each.title, each.headings, each.rows)
    return Text.assemble((f"{each.title}: ", "bold"), each.nothing)


def _figure(figure: Figure) -> Text:
    return Text.assemble((f"{figure.label} ", "dim"), (figure.value, "bold red" if figure.bad else "bold"))
