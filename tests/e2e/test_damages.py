"""Random damages of manifests, weights, aliases, histories, ledgers and caches. REPOSITORY_DAMAGES says how many."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.service.registry.repository.damages import require_told_of_a_folder, require_told_or_mended_of_a_store

pytestmark = pytest.mark.e2e

DAMAGES = int(os.environ.get("REPOSITORY_DAMAGES", 1000))


@pytest.mark.parametrize("require", [require_told_of_a_folder, require_told_or_mended_of_a_store])
def test_no_damage_is_believed(tmp_path: Path, require) -> None:  # type: ignore[no-untyped-def]
    for seed in range(1000, 1000 + DAMAGES // 2):
        root = tmp_path / str(seed)
        require(root, seed)
        shutil.rmtree(root)
