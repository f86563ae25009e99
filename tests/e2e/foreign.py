"""A client of somebody else's, in a process and a virtual environment of its own: runs a script of clients/, reads its JSON."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parent / "clients"
PATIENCE_SECONDS = 180.0
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}  # nothing of ours leaks in


class ClientFailed(Exception):
    """The script ended with another code than 0; the message carries its standard error."""


@dataclass(frozen=True, slots=True)
class ForeignClient:
    """python: of the environment. arguments: what every scenario gets, after its name. patience_seconds: for one scenario."""

    python: Path
    script: str
    arguments: tuple[str, ...]
    patience_seconds: float = PATIENCE_SECONDS

    def run(self, scenario: str, *further: str) -> Any:
        """What the scenario prints. Raises ClientFailed."""
        done = subprocess.run(
            [str(self.python), str(CLIENTS / self.script), scenario, *self.arguments, *further],
            capture_output=True,
            text=True,
            timeout=self.patience_seconds,
            env=ENVIRONMENT,
            check=False,
        )
        if done.returncode != 0:
            raise ClientFailed(f"{self.script} {scenario} ended with code {done.returncode}:\n{done.stderr[-4000:]}")
        return json.loads(done.stdout)
