"""Whether short and long are let in alike."""

from __future__ import annotations

from cellserve.service.engine.admission.proportion import Proportion


def test_one_length_alone_is_always_fair() -> None:
    proportion = Proportion()
    for number in range(100):
        assert proportion.fair(100, number * 0.01)
        proportion.saw(100, number * 0.01, let_in=number % 10 == 0)


def test_a_length_of_which_more_is_let_in_gives_way() -> None:
    proportion = Proportion()
    for _ in range(20):
        proportion.saw(10, 1.0, let_in=True)
        proportion.saw(1000, 1.0, let_in=False)
    assert not proportion.fair(10, 1.0)
    assert proportion.fair(1000, 1.0)
    for _ in range(20):
        proportion.saw(1000, 1.0, let_in=True)
        proportion.saw(10, 1.0, let_in=False)
    assert proportion.fair(10, 1.0)


def test_few_lay_no_claim_and_nothing_is_remembered_for_long() -> None:
    proportion = Proportion()
    proportion.saw(1000, 1.0, let_in=False)
    assert proportion.fair(10, 1.0)
    for _ in range(20):
        proportion.saw(10, 1.0, let_in=True)
        proportion.saw(1000, 1.0, let_in=False)
    assert not proportion.fair(10, 1.0)
    assert proportion.fair(10, 20.0)
