"""Reading in a process of its own: the same models and refusals, and an end to whatever crashes, hangs or swells."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load, supervision
from cellserve.models.importers.isolated import REFUSAL, answer, load_isolated
from cellserve.models.importers.supervision import Confinement, ReaderFailed, supervise
from tests.models.importers.damage import damaged

GOLDEN = Path(__file__).parents[2] / "golden"
BRIEF = Confinement(cpu_seconds=20, memory_bytes=3 << 30)
WHOLE = GOLDEN / "k224tf_gru_ra1_bias1.h5"


def outcome(path: Path) -> str:
    """ "read", or the refusal. Raises whatever else reading raises."""
    try:
        load_isolated(path, confinement=BRIEF)
    except ImportRefused as refusal:
        return str(refusal)
    return "read"


def run_python(code: str, confinement: Confinement = BRIEF) -> None:
    supervise((sys.executable, "-c", code), confinement, Path("model.h5"))


@pytest.mark.parametrize("name", ["k224tf_gru_ra1_bias1.h5", "k3_lstm_hard_sigmoid.keras", "pt_lstm2_bi_proj.pt"])
def test_the_same_model_as_without_a_process(name: str) -> None:
    found, expected = load_isolated(GOLDEN / name), load(GOLDEN / name)
    assert found.weights.digest == expected.weights.digest
    assert (found.spec, found.source, found.notes) == (expected.spec, expected.source, expected.notes)


def test_what_stands_beside_the_file_goes_along() -> None:
    path, architecture = GOLDEN / "k020_jzs1_seq.h5", GOLDEN / "k020_jzs1_seq.architecture.json"
    assert load_isolated(path, architecture=architecture).source.version == "0.2.0"
    path, description = GOLDEN / "k010_gru_seq.weights.npz", GOLDEN / "k010_gru_seq.description.yaml"
    assert load_isolated(path, description=description).spec.recurrent_layers[0].kind == "gru"


def test_the_same_refusals(tmp_path: Path) -> None:
    for path, description in ((tmp_path / "missing.h5", None), (WHOLE, GOLDEN / "k010_gru_seq.description.yaml")):
        with pytest.raises(ImportRefused) as expected:
            load(path, description=description)
        with pytest.raises(ImportRefused) as found:
            load_isolated(path, description=description)
        assert str(found.value) == str(expected.value)
        assert found.value.option == expected.value.option


def test_a_crash_is_a_refusal_that_names_it() -> None:
    with pytest.raises(ImportRefused, match=r"model\.h5: .*crashed.*SIGSEGV.*damaged"):
        run_python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


def test_what_never_ends_is_ended_by_its_time_on_a_processor() -> None:
    """Not by the clock, so that a busy machine refuses nothing."""
    bounds = "Confinement(cpu_seconds=1, memory_bytes=3 << 30)"
    forever = f"from cellserve.models.importers.supervision import Confinement; {bounds}.enter()\nwhile True: pass"
    with pytest.raises(ImportRefused, match=r"not come to an end after 1 s on a processor; the file is damaged"):
        run_python(forever, Confinement(cpu_seconds=1, memory_bytes=3 << 30))


def test_what_sleeps_has_far_longer_and_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "WAITING", 1)
    with pytest.raises(ImportRefused, match=r"not come to an end after 1 s; the file is damaged"):
        run_python("import time; time.sleep(1000)", Confinement(cpu_seconds=1, memory_bytes=3 << 30))


def test_a_fault_of_our_own_is_not_blamed_on_the_file() -> None:
    with pytest.raises(ReaderFailed, match="ZeroDivisionError"):
        run_python("1 / 0")


def test_memory_past_the_limit_is_a_refusal(tmp_path: Path) -> None:
    """The limit is real, and what the reader then raises becomes a sentence."""
    bounds = "Confinement(cpu_seconds=20, memory_bytes=1 << 30).enter()"
    with pytest.raises(ReaderFailed, match="MemoryError"):
        run_python(f"from cellserve.models.importers.supervision import Confinement; {bounds}; bytearray(2 << 30)")

    def swell() -> ImportedModel:
        raise MemoryError

    answer(swell, Path("model.h5"), tmp_path)
    assert "more memory than the file is large" in (tmp_path / REFUSAL).read_text()


def test_room_grows_with_the_file() -> None:
    small, large = Confinement.for_files_of(0), Confinement.for_files_of(4 << 30)
    assert small.memory_bytes < large.memory_bytes
    assert small.cpu_seconds < large.cpu_seconds


@pytest.mark.parametrize("seed", range(6))
def test_damage_of_any_kind_is_refused_or_harmless(seed: int, tmp_path: Path) -> None:
    """`make e2e` goes on with many more."""
    original = (WHOLE, GOLDEN / "k3_lstm_hard_sigmoid.keras", GOLDEN / "k010_simpledeeprnn_seq.h5")[seed % 3]
    path = tmp_path / original.name
    path.write_bytes(damaged(original.read_bytes(), random.Random(seed)))
    found = outcome(path)
    assert found == "read" or found.startswith(str(path))
