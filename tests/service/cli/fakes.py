"""Runs the command line in this process, on a repository with published models, which could be served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from cellserve.service.cli.main import app
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import imported, measured_once


class Shell:
    """`shell("show", "digits")` with CELLSERVE_REPOSITORY set to a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._environment = {"CELLSERVE_REPOSITORY": str(root), "COLUMNS": "200"}

    def __call__(self, *arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=answer, env=self._environment)

    def json(self, *arguments: str) -> Any:
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def publish(self, model: str = "digits", alias: str | None = None) -> None:
        Repository(self.root, gate=measured_once).publish(model, imported(), alias=alias)
