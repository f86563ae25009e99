"""The status page: a server at a glance in a browser, for whoever only looks. No scripts; the browser asks again by itself.

Knows no HTTP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from html import escape
from typing import Final

from cellserve.service.overview.facts import Overview
from cellserve.service.overview.look import Look
from cellserve.service.overview.overview import overview
from cellserve.service.overview.tables import Figure, Table, figures, tables, title
from cellserve.service.pages.document import document, table_of

REFRESH_SECONDS: Final = 5
_LEAST_SECONDS: Final = 4.0  # between the looks that are compared: a little less than between two questions of one browser
_APART_SECONDS: Final = 1.0  # looks that are kept, so that a few suffice however many browsers ask
_HEAD: Final = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
_STYLE: Final = """
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .5rem; margin: 0 }
.figures div { border: 1px solid var(--faint); border-radius: .4rem; padding: .35rem .6rem; min-width: 0 }
.figures dt { font-weight: 400; font-size: .8rem; opacity: .75 }
.figures dd { font-size: 1.15rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
th, td { white-space: nowrap }
@media (max-width: 600px) { body { margin: 1rem auto; padding: 0 .6rem; font-size: 14px }
  .figures { grid-template-columns: repeat(auto-fill, minmax(6.6rem, 1fr)); gap: .35rem }
  .figures dd { font-size: 1rem } th, td { padding: .2rem .35rem } table { font-size: 13px } }
"""


class StatusPage:
    """Made when the server begins: the first page tells of the time since then, each other one of the last seconds.

    look: at the server's own series, now. Safe on any thread.
    """

    def __init__(self, look: Callable[[], Look], clock: Callable[[], float] = time.time) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._looks = [look()]  # the oldest first; there is always one to compare with

    def __call__(self) -> str:
        seen = self._look()
        return page(overview(self._earlier(seen), seen), self._clock())

    def _earlier(self, seen: Look) -> Look:
        """The last look that is long enough ago, else the oldest. Keeps this one for later."""
        with self._lock:
            ago = [number for number, look in enumerate(self._looks) if seen.seconds - look.seconds >= _LEAST_SECONDS]
            self._looks = self._looks[ago[-1] if ago else 0 :]
            if seen.seconds - self._looks[-1].seconds >= _APART_SECONDS:
                self._looks.append(seen)
            return self._looks[0]


def page(seen: Overview, now_unix_seconds: float) -> str:
    cards = "".join(map(_card, figures(seen, now_unix_seconds)))
    sections = (
        f'<p>{escape(title(seen).capitalize())}. Asks again every {REFRESH_SECONDS} s. <a href="metrics">All series</a></p>',
        f'<dl class="figures">{cards}</dl>',
        *map(_section, tables(seen)),
    )
    return document("cellserve", sections, _HEAD, _STYLE)


def _card(figure: Figure) -> str:
    kind = ' class="bad"' if figure.bad else ""
    return f"<div><dt>{escape(figure.label)}</dt><dd{kind}>{escape(figure.value)}</dd></div>"


def _section(table: Table) -> str:
    if table.rows:
        return table_of(table.title, table.headings, table.rows)
    return f"<h2>{escape(table.title)}</h2>\n<p>{escape(table.nothing)}</p>"
