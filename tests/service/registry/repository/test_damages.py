"""Some damages of each kind of repository; tests/e2e/test_damages.py tries many more."""

from pathlib import Path

import pytest

from tests.service.registry.repository.damages import require_told_of_a_folder, require_told_or_mended_of_a_store


@pytest.mark.parametrize("seed", range(15))
def test_damage_of_a_folder_is_told_and_never_believed(tmp_path: Path, seed: int) -> None:
    require_told_of_a_folder(tmp_path, seed)


@pytest.mark.parametrize("seed", range(15))
def test_damage_of_an_object_store_and_of_its_copies_is_told_or_mended(tmp_path: Path, seed: int) -> None:
    require_told_or_mended_of_a_store(tmp_path, seed)
