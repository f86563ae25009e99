"""What a file's era changes about its arithmetic is said in a note: one golden file for each such trap."""

from __future__ import annotations

import pytest

from tests.golden.cases import all_cases

CASES = {case.name: case for case in all_cases()}
TRAPS = {
    "hard_sigmoid before Keras 3": ("k205tf_lstm_impl0_seq.h5", "hard_sigmoid is clip(0.2 x + 0.5, 0, 1)"),
    "hard_sigmoid of Keras 3": ("k3_lstm_hard_sigmoid.keras", "hard_sigmoid is relu6(x + 3) / 6"),
    "default recurrent_activation": (
        "k012_lstm_last.h5",
        "recurrent_activation is not written down; hard_sigmoid was the default of Keras 0.1.2",
    ),
    "default activation of a GRU": (
        "k012_gru_last.h5",
        "activation is not written down; sigmoid was the default of Keras 0.1.2",
    ),
    "reset_after absent": (
        "k205tf_gru_nobias_impl0.h5",
        "no reset_after is written down: the reset gate acts before the product",
    ),
    "twelve arrays": ("k122th_lstm_mem_seq.h5", "its 12 arrays come gate by gate, in the order i, c, f, o"),
    "nine arrays": ("k122th_gru_cpu_last.h5", "its 9 arrays come gate by gate, in the order z, r, h"),
    "TensorFlow's forget bias": ("tf1_multi_basiclstm2.ckpt.d/model.ckpt", "its default 1.0 was added to the bias"),
    "TensorFlow's gates": ("tf1_grucell.ckpt.d/model.ckpt", "were put into cellserve's order"),
    "masks that reset": ("k020_mask_jzs2_last.h5", "the state is set to zeros after it"),
    "masks that repeat": ("k205th_lstm_mask_seq.h5", "repeats the last answer, zeros before the first"),
    "masks that repeat from the state": ("k205tf_lstm_mask_seq.h5", "the initial state before the first"),
    "masks inside a Bidirectional of Keras 3": ("k3_bidir_concat_mask_seq.keras", "keeps the state and answers zeros"),
    "masks inside a Bidirectional of Keras 2": ("k231tf_bidir_mask_seq.h5", "repeats the last answer, zeros before the first"),
    "masks of zeros": ("k031_mask_gru_backwards_seq.h5", "steps of zeros keep the state and answer zeros"),
    "a sum that is a product": ("k030_simplernn_bug_seq.h5", "of exactly Keras 0.3.0 multiplies where it should add"),
    "a candidate's activation": ("k030_mask_gru_bug_seq.h5", "of exactly Keras 0.3.0 takes inner_activation for the candidate"),
    "Pmat": ("k020_jzs2_last.h5", "multiplied by the matrix Pmat."),
    "Pmat left out": ("k020_jzs1_square_hardsig.h5", "multiplied by the matrix Pmat"),
    "CuDNN": ("k224tf_cudnngru_seq.h5", "CuDNNGRU keeps its matrices in the memory order of CuDNN"),
    "backwards": ("k033_gru_backwards_seq.h5", "the first answer is that for the last step"),
    "stateful": ("k205tf_stateful_chunks.h5", "a live sequence keeps its states"),
    "dropout that scales": ("k020_mask_jzs3_stack.h5", "multiplies by 1 - 0.25 outside training"),
    "steps before the first": ("k010_simpledeeprnn_seq.h5", "steps before the beginning count as zeros"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_said(trap: str) -> None:
    name, words = TRAPS[trap]
    notes = CASES[name].load().notes
    assert sum(words in note for note in notes) == 1, notes


def test_a_plain_file_of_today_meets_none() -> None:
    assert CASES["k3_simplernn_relu.keras"].load().notes == (
        "Initializers: only for training, ignored here (simple_rnn, simple_rnn_1).",
    )
