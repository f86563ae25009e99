"""Masks made of comparisons: equal just if they count the same steps."""

from __future__ import annotations

from cellserve.models.importers.keras.mask_logic import EVERYTHING, NOTHING, all_of, any_of, where

A, B, C = (where("not_equal", name, 0.0) for name in "abc")


def test_neutral_and_absorbing_masks() -> None:
    assert any_of([A, NOTHING]) == A == all_of([A, EVERYTHING])
    assert any_of([A, EVERYTHING]) == EVERYTHING
    assert all_of([A, NOTHING]) == NOTHING
    assert any_of([]) == NOTHING
    assert all_of([]) == EVERYTHING


def test_order_repetition_and_what_follows_make_no_difference() -> None:
    assert any_of([A, B, A]) == any_of([B, A]) != all_of([A, B])
    assert all_of([A, any_of([A, B])]) == A == any_of([A, all_of([A, B])])
    assert any_of([all_of([A, B]), C]) == all_of([any_of([A, C]), any_of([B, C])])
