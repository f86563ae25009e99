import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellserve.models.implementations import IN_BFLOAT16
from cellserve.models.measuring import call_parity, parity
from cellserve.models.measuring.parity_bounds import ParityFailure
from cellserve.models.network import Network
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.loading import load_version
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.repository.repository import Repository
from tests.compiled import BFLOAT16, PACKED
from tests.service.registry.fakes import imported

KEY = VersionKey("digits", 1)
CPU = Settings(device="cpu")
FIRST = next(iter(PACKED), "onnxruntime")

needs_bfloat16 = pytest.mark.skipif(not BFLOAT16, reason="this processor does not multiply in bfloat16")


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    """One version that passed the real gate."""
    store = Repository(tmp_path)
    store.publish("digits", imported())
    return store


def change_manifest(store: Repository, change: Callable[[dict[str, Any]], None]) -> None:
    path = store.root / "digits/1/manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))
    path.with_name("manifest.sha256").unlink()  # as of before there was one


def test_a_published_version_loads_with_what_it_can_run(store: Repository) -> None:
    version, network = load_version(store, store.manifest(*KEY), CPU)
    assert version.key == KEY
    offered = {label for label, refusal in version.implementations.items() if refusal is None}
    assert offered == {"0", "1", "2", "fused", "onnxruntime", *PACKED, *([IN_BFLOAT16] if BFLOAT16 else [])}
    assert version.default_implementation == network.default_implementation == FIRST
    assert version.causal
    assert version.state_layout.width == 4 + 4 + 1


def test_the_wished_implementation_is_the_default(store: Repository) -> None:
    assert load_version(store, store.manifest(*KEY), Settings(device="cpu", implementation="1"))[0].default_implementation == "1"


def test_a_wish_that_cannot_be_met_is_told_and_does_not_fail_the_version(
    store: Repository, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    with caplog.at_level(logging.WARNING):
        version, _ = load_version(store, store.manifest(*KEY), Settings(device="cpu", implementation="onnxruntime"))
    assert version.default_implementation in (*PACKED, "fused")
    assert "cannot run under implementation onnxruntime" in caplog.text


@needs_bfloat16
def test_a_precision_that_is_wished_is_the_default_and_proved_by_its_own_bound(store: Repository) -> None:
    wished = ModelSettings(precision="bfloat16").applied(CPU)
    version, network = load_version(store, store.manifest(*KEY), wished)
    assert version.default_implementation == IN_BFLOAT16
    assert version.manifest.bound_of(IN_BFLOAT16) == version.manifest.golden["bfloat16_bound"] > version.manifest.bound_of("2")
    change_manifest(store, lambda manifest: manifest["golden"].update(bfloat16_bound=1e-30))
    version, network = load_version(store, store.manifest(*KEY), wished)
    assert version.default_implementation == network.default_implementation == FIRST
    assert "the oracle says" in str(version.implementations[IN_BFLOAT16])


@needs_bfloat16
def test_of_a_version_published_before_there_was_bfloat16_it_is_refused(
    store: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    change_manifest(store, lambda manifest: manifest["golden"].pop("bfloat16_bound"))
    with caplog.at_level(logging.WARNING):
        version, _ = load_version(store, store.manifest(*KEY), ModelSettings(precision="bfloat16").applied(CPU))
    assert version.default_implementation == FIRST
    assert str(version.implementations[IN_BFLOAT16]).endswith(
        "was not measured when this version was published; publish it again"
    )
    assert "digits/1 cannot run under implementation packed-bfloat16" in caplog.text


def test_numbers_that_differ_from_the_golden_pair_are_never_served(store: Repository) -> None:
    change_manifest(store, lambda manifest: manifest["parity"].update(bound=1e-30))
    with pytest.raises(RepositoryError, match="no implementation gives the published answers on cpu"):
        load_version(store, store.manifest(*KEY), CPU)


def test_an_implementation_that_differs_on_this_device_is_withdrawn(
    store: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def differing(network: Network, golden: Any, bound: float, label: str, *call: Any) -> float:
        if label == FIRST:
            raise ParityFailure(f"implementation {FIRST!r}: row 0 is 2.0, the oracle says 1.0")
        return 0.0

    monkeypatch.setattr(call_parity, "verify_call", differing)
    monkeypatch.setattr(parity, "verify", differing)
    with caplog.at_level(logging.WARNING):
        version, network = load_version(store, store.manifest(*KEY), CPU)
    assert "the oracle says 1.0" in str(version.implementations[FIRST])
    assert version.implementations == network.implementations
    assert version.default_implementation == network.offered[0] != FIRST
    assert f"digits/1 does not offer implementation {FIRST} here" in caplog.text


def test_a_damaged_golden_pair_is_told(store: Repository) -> None:
    change_manifest(store, lambda manifest: manifest.update(golden={}))
    with pytest.raises(RepositoryError, match="golden pair in the manifest of digits/1 is damaged"):
        load_version(store, store.manifest(*KEY), CPU)
