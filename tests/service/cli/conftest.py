from pathlib import Path

import pytest

from tests.service.cli.fakes import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "repository")
