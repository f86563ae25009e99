"""How many examples properties are tried on: few at every change, as many as one likes with EXAMPLES_FACTOR."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """count, or as many times that as the environment's EXAMPLES_FACTOR says: each run draws other ones."""
    return count * int(os.environ.get("EXAMPLES_FACTOR", "1"))
