"""What an import has no use for: told, or refused where it looks like a part that the model needs."""

from __future__ import annotations

import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.unused import tell_unused


@pytest.mark.parametrize(
    "name",
    [
        *(
            "rnn.weight_hh_l0",
            "weight_ih_l3_reverse",
            "cell.weight_ih",
            "cell.bias_hh",
            "rnn.weight_hh_l0_raw",
            "lstm.weight_hr_l0",
        ),
        *("rnn.parametrizations.weight_hh_l0.original0", "ema.rnn.weight_ih_l0", "decoder/lstm/recurrent_kernel"),
        *("encoder/rnn/lstm_cell/kernel", "rnn/my_cell_1/bias", "lstm_2/kernel", "RNNCell/bias"),
    ],
)
def test_recurrent_arrays_are_refused(name: str) -> None:
    with pytest.raises(
        ImportRefused, match=r"would use no .* \[4, 4\], which looks recurrent: because\. If the model does without"
    ):
        tell_unused({name: (4, 4)}, "file", "because")


@pytest.mark.parametrize("name", ["embedding.weight", "word_embeddings", "encoder.tok_emb.weight", "model/embed/table"])
def test_tables_are_refused(name: str) -> None:
    with pytest.raises(ImportRefused, match="which looks like the table of an embedding"):
        tell_unused({name: (90, 4)}, "file", "because")


def test_a_matrix_alone_is_a_table_where_the_first_layer_reads_rows_of_its_width() -> None:
    with pytest.raises(ImportRefused, match="the table of an embedding"):
        tell_unused({"tokens.weight": (90, 4)}, "file", "because", read_widths={4})
    assert tell_unused({"tokens.weight": (90, 4)}, "file", "because", read_widths={5})
    assert tell_unused({"fc.weight": (90, 4), "fc.bias": (90,)}, "file", "because", read_widths={4})


def test_all_else_is_told() -> None:
    assert tell_unused({}, "file", "because") == []
    left = {f"optimizer.state.{number}.exp_avg": (4, 4) for number in range(8)}
    assert tell_unused(left | {"optimizer.state.embedding.weight": (9, 4)}, "file", "because") == [
        "Ignored, because: optimizer.state.0.exp_avg, optimizer.state.1.exp_avg, optimizer.state.2.exp_avg, "
        "optimizer.state.3.exp_avg, optimizer.state.4.exp_avg, optimizer.state.5.exp_avg and 3 more."
    ]
