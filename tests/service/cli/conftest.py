from pathlib import Path

import pytest

from cellserve.models import importers
from cellserve.models.importers import isolated
from tests.service.cli.fakes import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "repository")


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in this process. That one of its own reads and refuses the same, test_isolated.py of the importers shows."""
    monkeypatch.setattr(isolated, "load_isolated", importers.load)
