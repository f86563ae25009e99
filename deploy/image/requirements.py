"""What the images install beside cellserve itself: a server's packages, and those of traces, object stores and shared sequences.

    python requirements.py < pyproject.toml > server.txt

Knows the project's extras; installs nothing.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

_EXTRAS = ("server", "otel", "remote")
_STORE = "valkey"  # of the extra `cluster`, which brings servers of its own besides: an image is one server


def requirements(project: Mapping[str, Any]) -> Sequence[str]:
    """project: the table of that name in pyproject.toml."""
    extras: Mapping[str, Sequence[str]] = project["optional-dependencies"]
    named = [line for extra in _EXTRAS for line in extras[extra]]
    stores = [line for line in extras["cluster"] if line.startswith(f"{_STORE}[")]
    return [line for line in (*project["dependencies"], *named, *stores) if not line.startswith("cellserve[")]


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(tomllib.load(sys.stdin.buffer)["project"])) + "\n")
