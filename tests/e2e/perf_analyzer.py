"""Runs of perf_analyzer: its binary in a process of its own, its files in a folder. Knows no model and no expectation."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.demo.server import Address
from tests.e2e.get_perf_analyzer import perf_analyzer
from tests.e2e.perf_reports import Exchange, Report, read_exchanges, read_report
from tests.e2e.venvs import interpreter

LIMIT_SECONDS = 180.0


class PerfAnalyzer:
    """requests: how many a run sends, at least. inputs: the file that a run reads, to be written before it."""

    def __init__(self, address: Address, folder: Path, requests: int) -> None:
        self._command = perf_analyzer(interpreter("tritonclient"))
        self._address = address
        self._requests = requests
        self.inputs = folder / "inputs.json"
        self._table, self._profile = folder / "report.csv", folder / "profile.json"

    def run(self, model: str, *load: str) -> subprocess.CompletedProcess[str]:
        fixed = ("-i", "grpc", "-u", self._address.url, "-m", model, "--input-data", str(self.inputs))
        files = ("-f", str(self._table), "--profile-export-file", str(self._profile))
        command = (str(self._command), *fixed, *files, "--request-count", str(self._requests), *load)
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)

    def report(self) -> Report:
        """Of the last run, as are its exchanges."""
        return read_report(self._table, self._profile)

    def exchanges(self) -> list[Exchange]:
        return read_exchanges(self._profile)
