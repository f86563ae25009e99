"""Names of arrays: put in the order in which people count, and told where there are many. Knows no files."""

from __future__ import annotations

import re
from collections.abc import Iterable


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts cell_2 before cell_10, and a name before the same with a number."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def listed(names: Iterable[str], most: int) -> str:
    """The first of them, and how many more there are."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
