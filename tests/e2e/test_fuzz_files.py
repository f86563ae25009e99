"""Hundreds of damaged model files of each kind: refused in a sentence, or read; never a crash, a hang or a traceback."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.isolated import load_isolated
from cellserve.models.importers.supervision import Confinement
from tests.models.importers.damage import damaged

pytestmark = pytest.mark.e2e

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = 100
BOUNDS = Confinement(cpu_seconds=10, memory_bytes=3 << 30)
WORKERS = 2


@dataclass(frozen=True)
class Original:
    name: str
    architecture: str | None = None
    description: str | None = None


ORIGINALS = (
    Original("k224tf_gru_ra1_bias1.h5"),
    Original("k122th_lstm_mem_seq.h5"),
    Original("k020_jzs1_seq.h5", architecture="k020_jzs1_seq.architecture.json"),
    Original("k3_lstm_hard_sigmoid.keras"),
    Original("pt_lstm2_bi_proj.pt"),
    Original("pt_lstm2_bi_proj.safetensors"),
    Original("k010_gru_seq.weights.npz", description="k010_gru_seq.description.yaml"),
)


def outcome(original: Original, folder: Path, seed: int) -> str | None:
    """The refusal, None for a file that was read. Raises whatever else reading raises."""
    path = folder / f"{seed}-{original.name}"
    path.write_bytes(damaged((GOLDEN / original.name).read_bytes(), random.Random(seed)))
    architecture, description = (None if one is None else GOLDEN / one for one in (original.architecture, original.description))
    try:
        load_isolated(path, architecture=architecture, description=description, confinement=BOUNDS)
    except ImportRefused as refusal:
        return str(refusal)
    finally:
        path.unlink()
    return None


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda original: original.name)
def test_damaged_files(original: Original, tmp_path: Path) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(partial(outcome, original, tmp_path), range(FILES)))
    refusals = [one for one in outcomes if one is not None]
    assert len(refusals) > FILES // 4
    assert all(refusal.startswith(str(tmp_path)) and "Traceback" not in refusal for refusal in refusals)
