"""Versions published and promoted, back and forth, under a load that never stops: nobody fails, and what it costs those who ask.

SWAPS says how many are published, SWAP_SECONDS how long the load is measured alone before and after, SWAP_UNITS how large the
layer of each is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.importers import ImportedModel, Source
from cellserve.models.importers.isolated import leave
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.client import Client
from tests.e2e.swap_load import MODEL
from tests.service.processes import Process, ended_processes, scrape

pytestmark = pytest.mark.e2e

SWAPS = int(os.environ.get("SWAPS", 20))
ALONE_SECONDS = float(os.environ.get("SWAP_SECONDS", 10))
UNITS = int(os.environ.get("SWAP_UNITS", 64))
ONE_SHOTS, SEQUENCES = 8, 8
SPEC = ModelSpec(
    inputs=(InputSpec(name="x", width=3),),
    layers=(LstmLayer(name="lstm", inputs=("x",), units=UNITS), DenseLayer(name="head", inputs=("lstm",), units=2)),
    outputs=("head",),
)
LAG = "cellserve_event_loop_lag_seconds_bucket"


def weights(seed: int) -> Weights:
    """Answers of each seed are its own, by more than is forgiven."""
    randomly = np.random.default_rng(seed)
    return Weights.of({name: randomly.normal(size=shape) / shape[-1] ** 0.5 for name, shape in expected_weights(SPEC).items()})


def left(folder: Path, seed: int) -> Path:
    """An import, as `cellserve import` leaves it."""
    folder.mkdir()
    leave(ImportedModel(SPEC, weights(seed), Source("keras", "2.2.4", "digits.h5", "sha256:" + "0" * 64)), folder)
    return folder


class LoadProcess:
    def __init__(self, address: str, expected: Path) -> None:
        command = (sys.executable, "-m", "tests.e2e.swap_load", address, str(expected), str(ONE_SHOTS), str(SEQUENCES))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stretch(self) -> dict[str, Any]:
        """Ends one, and tells of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told


@contextmanager
def loaded(address: str, expected: Path) -> Iterator[LoadProcess]:
    load = LoadProcess(address, expected)
    try:
        yield load
    finally:
        load.process.communicate()


def lags(page: str) -> dict[float, float]:
    """How often the event loop was as late as each bound of the histogram, or less."""
    lines = [line for line in page.splitlines() if line.startswith(LAG)]
    return {float(line.partition('le="')[2].partition('"')[0]): float(line.rpartition(" ")[2]) for line in lines}


def later(before: Mapping[float, float], after: Mapping[float, float]) -> str:
    """ "3 of 400 over 10 ms, none over 20 ms"."""
    grown = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    looks = grown[float("inf")]
    over = {bound: looks - count for bound, count in grown.items() if 0.01 <= bound < float("inf")}
    told = [f"{int(count)} over {1000 * bound:g} ms" for bound, count in over.items() if count]
    return f"of {int(looks)} looks at the event loop {', '.join(told) or 'none was late by 10 ms'}"


def test_nobody_fails_while_versions_come_and_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every answer, one-shot or live, is that of the version that it names."""
    x = np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32)
    outputs = {str(n + 1): reference.run(SPEC, weights(n).arrays, (x[None],), (len(x),))[0][0][0] for n in range(SWAPS + 1)}
    np.savez(tmp_path / "expected.npz", x=x, **outputs)
    stretches: dict[str, dict[str, Any]] = {}
    late: dict[str, str] = {}
    with ended_processes() as processes:
        processes.append(server := Process(tmp_path / "repository", max_sessions=100))
        port, metrics_port = server.ready()
        with Client(f"127.0.0.1:{port}") as client:
            client.publish(MODEL, left(tmp_path / "import-0", 0), alias="stable")
            imports = [left(tmp_path / f"import-{number}", number) for number in range(1, SWAPS + 1)]
            with loaded(f"127.0.0.1:{port}", tmp_path / "expected.npz") as load:
                time.sleep(2.0)
                load.stretch()

                def watched(name: str) -> None:
                    stretches[name] = load.stretch()
                    nonlocal page
                    before, page = page, scrape(metrics_port)
                    late[name] = later(lags(before), lags(page))

                page = scrape(metrics_port)
                time.sleep(ALONE_SECONDS)
                watched("before")
                began = time.perf_counter()
                for number, folder in enumerate(imports, 1):
                    new = client.publish(MODEL, folder).version.version
                    assert new == number + 1
                    for version in (new, number, new):
                        client.promote(MODEL, version)
                seconds = time.perf_counter() - began
                watched("swaps")
                time.sleep(ALONE_SECONDS)
                watched("after")
    assert [stretch["failures"] for stretch in stretches.values()] == [[]] * 3
    assert stretches["swaps"]["versions"] == list(range(1, SWAPS + 2))
    alone = max(stretches[name]["p99_ms"] for name in ("before", "after"))
    with capsys.disabled():
        print(f"\n{SWAPS} publishes and {3 * SWAPS} promotes in {seconds:.1f} s")
        for name, stretch in stretches.items():
            told = ", ".join(f"{key} {value:.4g}" for key, value in stretch.items() if isinstance(value, int | float))
            print(f"{name}: {told}; {late[name]}")
        print(f"p99 of one-shots during swaps is {stretches['swaps']['p99_ms'] / alone:.2f} times that without")
