"""DeviceLengths: as RowLengths where rows have steps, and nothing that Python could decide by."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cellserve.models.numerics.device_lengths import DeviceLengths
from cellserve.models.numerics.row_lengths import RowLengths

CPU = torch.device("cpu")


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_the_same_as_lengths_that_the_host_knows(lengths: list[int]) -> None:
    known, hidden = RowLengths(lengths, 6, CPU), DeviceLengths(torch.tensor(lengths), 6)
    sequence = torch.arange(6 * len(lengths) * 2).reshape(6, len(lengths), 2)
    assert torch.equal(hidden.inside, known.inside)
    assert torch.equal(hidden.last(sequence), known.last(sequence))
    assert torch.equal(hidden.clean(sequence), torch.where(known.inside.unsqueeze(2), sequence, 0))


def test_a_row_may_have_no_steps() -> None:
    hidden = DeviceLengths(torch.tensor([0, 2]), 2)
    assert hidden.inside.tolist() == [[False, True], [False, True]]
    assert hidden.last(torch.tensor([[1, 2], [3, 4]]))[1] == 4


def test_what_the_device_holds_when_it_is_read_counts() -> None:
    memory = torch.tensor([1])
    before = DeviceLengths(memory, 3)
    memory.fill_(2)
    assert before.inside.flatten().tolist() == [True, True, False]


def test_nothing_is_known_on_the_host() -> None:
    hidden = DeviceLengths(torch.tensor([3, 3]), 3)
    assert hidden.ragged
    assert hidden.shortest == 0
    assert hidden != DeviceLengths(torch.tensor([3, 3]), 3)
    assert hidden == hidden
    with pytest.raises(AttributeError):
        _ = hidden.host
