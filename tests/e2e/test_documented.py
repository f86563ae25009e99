"""Pages of the documentation, run as they are written: every command, session and program, in order, in an empty folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.documented import EXECUTED, PAGES, ROOT, RUN, blocks
from tests.e2e.models import DEMO
from tests.e2e.reader import Reader, fresh
from tests.service.tls import AUTHORITY, certificate, key

pytestmark = pytest.mark.e2e

GOLDEN = ROOT / "tests" / "golden"
OLD, SAVED = "tf1_basiclstm_fb0_relu", "tfk_nested"
TOKEN = "admin-0123456789abcdef"


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """In a checkout that has been set up, with models, inputs and certificates of their own."""
    for name in ("deploy", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name if name == "deploy" else Path(sys.executable).parents[1])
    for name in ("my_model.keras", "digits.keras"):
        shutil.copy(DEMO / "digits.keras", tmp_path / name)
    with np.load(DEMO / "digits-heldout.npz") as heldout:
        np.save(tmp_path / "sequence.npy", heldout["inputs"][0])
        np.save(tmp_path / "heldout.npy", heldout["inputs"])
    _write_what_tensorflow_left(tmp_path)
    for name, content in (("chain.pem", certificate("server")), ("key.pem", key("server")), ("ca.pem", AUTHORITY)):
        shutil.copy(content, tmp_path / name)
    (tmp_path / "my-token").write_text(TOKEN)
    (tmp_path / "tokens").write_text(f"admin {TOKEN} mine\n")
    monkeypatch.chdir(tmp_path)
    yield from fresh(tmp_path)


def _write_what_tensorflow_left(folder: Path) -> None:
    shutil.copytree(GOLDEN / SAVED, folder / "saved_model_folder")
    (folder / "checkpoints").mkdir()
    for file in (GOLDEN / f"{OLD}.ckpt.d").glob("model.ckpt.*"):
        shutil.copy(file, folder / "checkpoints" / file.name.replace("model.ckpt", "model.ckpt-1000"))
    shutil.copy(GOLDEN / f"{OLD}.description.yaml", folder / "old.yaml")


@pytest.mark.parametrize("name", RUN)
def test_a_page_works_as_it_is_written(name: str, reader: Reader) -> None:
    (page,) = [page for page in PAGES if page.name == name]
    shown = [block for block in blocks(page) if block.read_here and (block.language in EXECUTED or block.file)]
    assert shown
    for block in shown:
        reader.read(block)
