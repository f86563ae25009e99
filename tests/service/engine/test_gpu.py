"""The engine on a CUDA device: iterations overlapped, loops recorded, copies pinned; the answers are those of the processor."""

from __future__ import annotations

from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.models.implementations import LABELS
from cellserve.models.network import Network
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.running.cuda_transfers import CudaTransfers
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import Cancelled, Draining
from tests.fakes import DeliveryBox, FakeClock, RecordingObserver
from tests.service.engine.driving import KEY, HandDriven
from tests.service.engine.test_on_networks import NETWORKS, Case, alone, cases, weights_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
DEVICE = "cuda"
PATIENCE = 120.0  # seconds; only keeps a broken test from hanging


def on_device(name: str) -> Network:
    spec = NETWORKS[name].spec
    return Network(spec, weights_of(spec), DEVICE)


def agree(delivery: Any, name: str, work: Work) -> None:
    outputs, state = alone(NETWORKS[name], work)
    assert delivery.error is None
    for ours, expected in zip(delivery.outputs, outputs, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=5e-6)
    assert (delivery.state is not None) == work.want_state
    if delivery.state is not None:
        np.testing.assert_allclose(delivery.state, state, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_through_the_engine_as_alone(name: str) -> None:
    network = on_device(name)
    labels = [label for label in LABELS if network.implementations[label] is None]

    @settings(deadline=None, max_examples=25)
    @given(cases(labels), st.integers(1, 5), st.integers(2, 6))
    def holds(drawn: list[Case], max_batch_rows: int, pool_rows: int) -> None:
        driven = HandDriven(network, FakeClock(), max_batch_rows=max_batch_rows, max_active_sequences=pool_rows)
        asked = []
        for seed, case in enumerate(drawn):
            asked.append((driven.engine.submit(work := case.work(network, seed)), work))
            for _ in range(case.turns):
                driven.iterate()
        driven.finish()
        for identity, work in asked:
            agree(driven.box.of(identity), name, work)
        assert driven.lane.rows_free == pool_rows

    holds()


def test_results_come_one_iteration_later() -> None:
    driven = HandDriven(on_device("stack"))
    work = Case(3, False, False, "2", 0, True).work(NETWORKS["stack"], 0)
    identity = driven.engine.submit(work)
    driven.iterate()
    assert driven.busy
    assert driven.box.all == []
    driven.iterate()
    agree(driven.box.of(identity), "stack", work)
    assert driven.observer.iterations[0].seconds > 0


def test_a_row_is_used_again_while_its_last_owner_is_under_way() -> None:
    driven = HandDriven(on_device("stack"), max_active_sequences=1)
    cancelled = driven.engine.submit(Case(4000, False, False, "2", 0, True).work(NETWORKS["stack"], 1))
    for _ in range(3):
        driven.iterate()
    driven.engine.cancel(cancelled)
    work = Case(20, False, True, "2", 0, True).work(NETWORKS["stack"], 2)
    newcomer = driven.engine.submit(work)
    driven.finish()
    assert isinstance(driven.box.of(cancelled).error, Cancelled)
    agree(driven.box.of(newcomer), "stack", work)


def test_a_stop_delivers_what_is_under_way() -> None:
    driven = HandDriven(on_device("stack"))
    work = Case(2, False, False, "fused", 0, True).work(NETWORKS["stack"], 0)
    short = driven.engine.submit(work)
    long = driven.engine.submit(Case(4000, False, False, "fused", 0, True).work(NETWORKS["stack"], 1))
    while driven.lane.active_sequences != 1:
        driven.iterate()
    driven.engine.stop()
    agree(driven.box.of(short), "stack", work)
    assert isinstance(driven.box.of(long).error, Draining)


@pytest.mark.parametrize("workers", [1, 2])
def test_many_submitters_on_running_loops(workers: int) -> None:
    """Two loops share the network, its recordings and the device's stream."""
    box, network = DeliveryBox(), on_device("stack")
    engine = Engine(box, RecordingObserver(), EngineSettings(workers=workers, max_batch_rows=8), lambda cause: None)
    engine.add_version(KEY, network)
    engine.start()
    asked: dict[int, Work] = {}

    def submit(first: int) -> None:
        for seed in range(first, first + 40):
            label = ("0", "1", "2", "fused")[seed % 4]
            work = Case(1 + seed % 37, seed % 5 == 0, seed % 3 == 0, label, 0, True).work(network, seed)
            asked[engine.submit(work)] = work

    threads = [Thread(target=submit, args=(40 * index,)) for index in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        box.wait(160, PATIENCE)
        assert engine.drain(PATIENCE)
        assert engine.healthy
    finally:
        engine.stop()
    for identity, work in asked.items():
        agree(box.of(identity), "stack", work)


def test_what_comes_back_lies_in_pinned_memory_and_is_there_after_its_mark() -> None:
    transfers = CudaTransfers(torch.device(DEVICE))
    began = transfers.mark()
    large = torch.arange(1 << 22, device=DEVICE, dtype=torch.float32)
    for _ in range(20):
        large = large + 1
    promised = transfers.download(large)
    done = transfers.mark()
    assert torch.from_numpy(promised).is_pinned()
    done.wait()
    np.testing.assert_array_equal(promised[:3], [20, 21, 22])
    assert promised[-1] == (1 << 22) + 19
    assert done.seconds_since(began) > 0


def test_what_is_uploaded_may_be_overwritten_at_once() -> None:
    transfers = CudaTransfers(torch.device(DEVICE))
    staged, sent = torch.empty(1 << 20), []
    for number in range(30):
        staged.fill_(number)
        sent.append(transfers.upload(staged))
    assert [tensor.unique().tolist() for tensor in sent] == [[number] for number in range(30)]
