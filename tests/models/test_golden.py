"""Every golden case, in every implementation that can run it, to the case's own tolerance: outputs and states."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cellserve.models.importers import ImportedModel
from cellserve.models.measuring import parity
from cellserve.models.network import Network
from tests.compiled import PACKED
from tests.golden.cases import GoldenCase, all_cases, imported
from tests.golden.run import Answer, by_network, by_network_in_calls, by_network_in_chunks, by_network_in_passes, by_oracle, pairs

CASES = {case.name: case for case in all_cases()}
LABELS = ("0", "1", "2", "fused", "onnxruntime", *PACKED)

# Torch's kernels know tanh and sigmoid, and a reset gate after the product; ONNX's know neither projections nor every activation.
# Everything else they must refuse, and say why.
REFUSED_BY_FUSED = {
    "hard_sigmoid": [
        "k030_mask_gru_bug_seq.h5",
        "k030_mask_lstm_last.h5",
        "k031_masking_lstm_seq.h5",
        "k033_mask_lstm_stack.h5",
        "k033_normalization_seq.h5",
        "k122th_bidir_mul_ave_mask.h5",
        "k122th_conv_dilated_padded.h5",
        "k122th_conv_pool_lstm.h5",
        "k122th_conv_same_gru.h5",
        "k122th_func_concat_mask.h5",
        "k122th_func_skip_max.h5",
        "k122th_max_pooling.h5",
        "k122th_normalization_functions.h5",
        "k122th_sequential_merge.h5",
        "k010_lstm_seq.weights.npz",
        "k030_lstm_seq.h5",
        "k030_lstm_seq.weights.npz",
        "k033_gru_backwards_seq.h5",
        "k033_gru_backwards_seq.weights.npz",
        "k033_lstm_seq.h5",
        "k033_lstm_seq.weights.npz",
        "k122th_bidir_concat_td.h5",
        "k122th_frozen_parts.h5",
        "k122th_gru_cpu_last.h5",
        "k122th_gru_gpu_last.h5",
        "k122th_lstm_gpu_seq.h5",
        "k122th_lstm_mem_seq.h5",
        "k205tf_dropout_cfg_inference.h5",
        "k205tf_gru_mask_backwards_seq.h5",
        "k205tf_gru_nobias_impl0.h5",
        "k205tf_lstm_impl0_seq.h5",
        "k205tf_lstm_impl1_seq.h5",
        "k205tf_lstm_impl2_seq.h5",
        "k205tf_lstm_mask_seq.h5",
        "k205tf_stateful_chunks.h5",
        "k205th_gru_impl1_seq.h5",
        "k205th_gru_mask_backwards_seq.h5",
        "k205th_gru_nobias_impl0.h5",
        "k205th_lstm_impl0_seq.h5",
        "k205th_lstm_impl2_seq.h5",
        "k205th_lstm_mask_seq.h5",
        "k209tf_lstm_impl2_seq.h5",
        "k224tf_bidir_ave_seq.h5",
        "k224tf_bidir_concat_seq.h5",
        "k224tf_bidir_mask_last.h5",
        "k224tf_embed_3lstm_softmax.h5",
        "k224tf_flatten_dense.h5",
        "k224tf_frozen_parts.h5",
        "k224tf_func_mask_2lstm_state.h5",
        "k224tf_gru_ra0_bias1.h5",
        "k224tf_gru_ra1_bias0.h5",
        "k224tf_gru_ra1_bias1.h5",
        "k224tf_lstm_unroll_backwards.h5",
        "k224tf_repeatvector_decoder.h5",
        "k224tf_stateful_mask.h5",
        "k3_lstm_hard_sigmoid.keras",
        "seed2_k205tf_lstm128_lstm256.h5",
        "tfk_gru_ra0_hard.h5",
    ],
    "activation is": [
        "k031_mask_gru_backwards_seq.h5",
        "k010_gru_seq.weights.npz",
        "k224tf_gru_elu_softsign.h5",
        "k224tf_lstm_relu_hard_sigmoid.h5",
        "k224tf_lstm_selu_softsign.h5",
        "k224tf_lstm_sigmoid_tanh.h5",
        "k224tf_lstm_softmax_sigmoid.h5",
        "k3_lstm_leaky_relu_hard_tanh.keras",
        "tf1_basiclstm_fb0_relu.ckpt.d/model.ckpt",
    ],
    "reset gate": [
        "haiku_gru.weights.npz",
        "k231tf_bidir_mask_seq.h5",
        "k3_gru_ra0.keras",
        "tf1_grucell.ckpt.d/model.ckpt",
        "tfl_loops.tflite",
    ],
    "peepholes": [
        "tf1_lstmcell_peephole_proj.ckpt.d/model.ckpt",
        "tfl_bidirectional.tflite",
        "tfl_coupled_peepholes.tflite",
    ],
}
REFUSED_BY_ONNXRUNTIME = {
    "activation is": [
        "k224tf_lstm_selu_softsign.h5",
        "k224tf_lstm_softmax_sigmoid.h5",
        "k3_lstm_leaky_relu_hard_tanh.keras",
    ],
    "projection": ["pt_lstm2_bi_proj.pt", "pt_lstm2_bi_proj.safetensors", "tf1_lstmcell_peephole_proj.ckpt.d/model.ckpt"],
}
REFUSED_BY_ALL_KERNELS = {
    "a masked step resets its state": [
        "k013_mask_gru_stack.h5",
        "k020_normalization.h5",
        "k012_embed_mask_lstm_seq.h5",
        "k012_embed_mask_lstm_seq.weights.npz",
        "k012_gru_last.h5",
        "k012_gru_last.weights.npz",
        "k012_lstm_last.h5",
        "k012_lstm_last.weights.npz",
        "k020_simplernn_seq.h5",
        "k020_simplernn_seq.weights.npz",
        "k020_stack_lstm_gru_jzs3_dense.h5",
        "k020_stack_lstm_gru_jzs3_dense.weights.npz",
    ],
    "a jzs layer": [
        "k012_jzs1_seq.h5",
        "k020_jzs1_seq.h5",
        "k020_mask_jzs2_last.h5",
        "k020_mask_jzs3_stack.h5",
        "k012_jzs2_seq.h5",
        "k012_jzs2_seq.weights.npz",
        "k012_jzs3_seq.h5",
        "k012_jzs3_seq.weights.npz",
        "k020_jzs1_square_hardsig.h5",
        "k020_jzs1_square_hardsig.weights.npz",
        "k020_jzs2_last.h5",
        "k020_jzs2_last.weights.npz",
        "k020_jzs2_square_hardsig.h5",
        "k020_jzs2_square_hardsig.weights.npz",
    ],
    "a simple_deep_rnn layer": ["k010_simpledeeprnn_seq.h5", "k020_mask_simpledeeprnn_seq.h5"],
    "a min_lstm layer": ["pt_cells.pt"],
}
REFUSED_BY_BOTH = {
    "clips its state": ["tfl_cell_clip.tflite", "tfl_keras.tflite", "tfl_lstm2.tflite"],
    "a min_gru layer": ["pt_min_gru.pt"],
    "it multiplies": ["k030_simplernn_bug_seq.h5", "k030_simplernn_bug_seq.weights.npz"],
}
REFUSED = {
    (label, name): reason
    for label, refused in (
        ("fused", REFUSED_BY_FUSED | REFUSED_BY_BOTH),
        ("onnxruntime", REFUSED_BY_ONNXRUNTIME | REFUSED_BY_BOTH),
        *((label, {}) for label in PACKED),
    )
    for reason, names in (refused | REFUSED_BY_ALL_KERNELS).items()
    for name in names
}
SUPPORTED = [(name, label) for name in CASES for label in LABELS if (label, name) not in REFUSED]


def loaded(name: str) -> ImportedModel:
    return imported(CASES[name])


@cache
def network(name: str) -> Network:
    return Network(loaded(name).spec, loaded(name).weights)


def assert_as_the_framework(case: GoldenCase, answers: list[Answer]) -> None:
    compared = pairs(case, answers)
    assert len(compared) >= len(case.calls)
    for what, expected, found in compared:
        np.testing.assert_allclose(found, expected, rtol=case.rtol, atol=case.atol, err_msg=f"{case.name}: {what}")


def test_the_cases_are_all_there() -> None:
    """Each family of files that must pass is present, with the stateful cases among them."""
    families = {"k205tf": 10, "k205th": 7, "k209tf": 1, "k224tf": 21, "k231tf": 2, "k3": 50, "tfk": 39, "pt": 20, "seed2": 1}
    families |= {
        "tf1": 6,
        "seed4": 1,
        "k010": 3,
        "k012": 11,
        "k013": 1,
        "k020": 15,
        "k030": 6,
        "k031": 2,
        "k033": 6,
        "flax": 4,
        "haiku": 2,
        "mlx": 3,
        "k122th": 16,
        "tfl": 9,
    }
    assert {family: sum(name.startswith(f"{family}_") for name in CASES) for family in families} == families
    assert sum(len(case.calls) > 1 for case in CASES.values()) == 6


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_gives_the_numbers_of_the_framework(name: str) -> None:
    assert_as_the_framework(CASES[name], by_oracle(CASES[name], loaded(name)))


@pytest.mark.parametrize(("name", "label"), SUPPORTED)
def test_an_implementation_gives_the_numbers_of_the_framework(name: str, label: str) -> None:
    assert network(name).implementations[label] is None
    assert_as_the_framework(CASES[name], by_network(CASES[name], network(name), label))


@pytest.mark.parametrize(("name", "label"), SUPPORTED)
def test_chunks_leave_no_trace(name: str, label: str) -> None:
    """In chunks of two steps: causal networks onward, the others pass by pass; and each chunk in one call, of those that can."""
    case, made = CASES[name], network(name)
    run = by_network_in_chunks if made.causal else by_network_in_passes
    assert_as_the_framework(case, run(case, made, label))
    if made.chunk_call(label) is not None:
        assert_as_the_framework(case, by_network_in_calls(case, made, label))


def test_the_usual_models_take_one_call() -> None:
    """Those of the plain kinds, whatever their activations; with layers that mask, where no step is masked."""
    usual = {"k205tf_lstm_impl2_seq.h5", "k224tf_gru_ra1_bias1.h5", "k224tf_lstm_relu_hard_sigmoid.h5"}
    for label, count in {"onnxruntime": 111, **dict.fromkeys(PACKED, 120)}.items():
        names = {name for name, other in SUPPORTED if other == label and network(name).chunk_call(label) is not None}
        assert len(names) == count
        assert usual <= names


def test_what_is_refused_and_why() -> None:
    found = {(label, name): network(name).implementations[label] for name in CASES for label in LABELS}
    reasons = {key: reason for key, reason in found.items() if reason is not None}
    assert reasons.keys() == REFUSED.keys()
    for key, reason in reasons.items():
        assert REFUSED[key] in reason
        assert any(f"{layer.name!r}" in reason for layer in network(key[1]).spec.recurrent_layers)


@pytest.mark.parametrize("name", CASES)
def test_the_publishing_gate_lets_every_case_through(name: str) -> None:
    report = parity.check(loaded(name).spec, loaded(name).weights)
    assert set(report.differences) | set(report.refused) >= set(LABELS)
    assert max(difference for label, difference in report.differences.items() if label in LABELS) < 1e-5
