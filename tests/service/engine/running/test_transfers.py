"""Transfers in host memory, where nothing moves; those of a GPU are in test_gpu.py."""

from __future__ import annotations

import pytest
import torch

from cellserve.service.engine.running.cuda_transfers import CudaTransfers
from cellserve.service.engine.running.transfers import HostTransfers, transfers_of


def test_a_processor_has_everything_at_once_and_copies_nothing() -> None:
    transfers, tensor = transfers_of(torch.device("cpu")), torch.ones(2, 3)
    assert isinstance(transfers, HostTransfers)
    assert not transfers.deferred
    assert transfers.upload(tensor) is tensor
    tensor[0, 0] = 7
    assert transfers.download(tensor)[0, 0] == 7
    with pytest.raises(ValueError, match="nothing to wait for"):
        transfers.mark()


def test_a_gpu_gives_later_what_was_asked_for() -> None:
    transfers = transfers_of(torch.device("cuda", 1))
    assert isinstance(transfers, CudaTransfers)
    assert transfers.deferred
