"""The same agreement with the oracle on a CUDA device, for each implementation."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cellserve.models.network import Network
from cellserve.models.spec import LstmLayer
from tests.models.feeding import in_chunks
from tests.models.networks import Case, agree_with_oracle, cases, chain, random_weights, run_whole, supported
from tests.models.passing import feeder, passes_agree_with_oracle

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
modest = settings(deadline=None, max_examples=40)


@modest
@given(cases(fusable=True) | cases(fusable=False))
def test_stacks_agree_with_the_oracle(case: Case) -> None:
    network = case.network("cuda")
    for label in supported(network):
        agree_with_oracle(case, *run_whole(case, network, label), label)


@modest
@given(cases(fusable=True, causal=True) | cases(fusable=False, causal=True), st.data())
def test_cuts_into_chunks_leave_no_trace(case: Case, data: st.DataObject) -> None:
    network = case.network("cuda")
    for label in supported(network):
        agree_with_oracle(case, *in_chunks(case, network, partial(str, label), data), label)


@modest
@given(cases(fusable=True) | cases(fusable=False), st.data())
def test_cuts_into_passes_leave_no_trace(case: Case, data: st.DataObject) -> None:
    network = case.network("cuda")
    assume(network.passes is not None)
    for label in supported(network):
        made = feeder(case, network)
        made.finish(lambda low, high: data.draw(st.integers(low, high)), partial(str, label))
        passes_agree_with_oracle(case, made, label)


def test_products_keep_the_whole_float32() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    spec = chain(LstmLayer(name="lstm", inputs=("x",), units=4))
    Network(spec, random_weights(spec), "cuda:0").warm_up("fused")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
