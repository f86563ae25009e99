"""Damaged files of every kind that PyTorch writes, from the command line. TORCH_DAMAGES says how many of each.

Whatever an import says of one, it says in a sentence and with code 2, publishes nothing, and takes bounded time and memory.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
from pathlib import Path

import pytest

from tests.e2e.compose import ROOT
from tests.models.importers.damage import damaged

pytestmark = pytest.mark.e2e

CELLSERVE = str(ROOT / ".venv/bin/cellserve")
DAMAGES = int(os.environ.get("TORCH_DAMAGES", 10))
SECONDS, BYTES = 600, 8 << 30
GOLDEN, FILES = ROOT / "tests/golden", ROOT / "tests/models/importers/files"
ORIGINALS = {
    ".pt": GOLDEN / "pt_lstm2_bi_proj.pt",
    ".pth": GOLDEN / "pt_spectra.pt",
    ".ckpt": GOLDEN / "pt_gru1.pt",
    ".safetensors": GOLDEN / "pt_lstm2_bi_proj.safetensors",
    ".jit": FILES / "torchscript_scripted.pt",
    ".pt2": FILES / "export_streaming.pt2",
}
DESCRIBED = {".pth": GOLDEN / "pt_spectra.description.yaml"}


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


@pytest.mark.parametrize("kind", ORIGINALS)
def test_a_damaged_file_is_imported_or_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    said = ["--description", str(DESCRIBED[kind])] if kind in DESCRIBED else []
    refused = 0
    for seed in range(DAMAGES):
        path, repository = tmp_path / f"damaged{kind}", tmp_path / f"repository{seed}"
        path.write_bytes(damaged(ORIGINALS[kind].read_bytes(), random.Random(seed)))
        command = [CELLSERVE, "import", str(path), *said, "--repository", str(repository), "--name", "model"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, preexec_fn=bounded)
        what = f"seed {seed}: {done.stdout}{done.stderr}"
        assert done.returncode in (0, 2), what
        assert "Traceback" not in what
        if done.returncode:
            refused += 1
            assert str(path) in done.stderr, what
            assert not list(repository.glob("*/*")), what
    print(f"{refused} of {DAMAGES} damaged {kind} files refused")
    assert refused
