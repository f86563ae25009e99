"""Shares of an alias: what is a split, and which version answers which request."""

from __future__ import annotations

import pytest

from cellserve.service.registry.policy.split import checked, main_version, pick, point_of, split_words, with_share


@pytest.mark.parametrize("weights", [{3: 0.9, 4: 0.1}, {1: 0.2, 2: 0.3, 3: 0.5}, {1: 1 / 3, 2: 2 / 3}])
def test_shares_that_make_one_are_a_split_newest_first(weights: dict[int, float]) -> None:
    assert checked(weights) == weights
    assert list(checked(weights)) == sorted(weights, reverse=True)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, "two versions or more"),
        ({3: 1.0}, "two versions or more"),
        ({3: 0.9, 4: 0.2}, "make 1 together, not 1.1"),
        ({3: 1.5, 4: -0.5}, "between 0 and 1"),
        ({3: 1.0, 4: 0.0}, "between 0 and 1"),
        ({3: float("nan"), 4: 0.5}, "between 0 and 1"),
    ],
)
def test_what_is_no_split_is_told(weights: dict[int, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked(weights)


def test_a_share_is_taken_from_the_rest() -> None:
    assert with_share(4, 0.25, rest=3) == {4: 0.25, 3: 0.75}
    with pytest.raises(ValueError, match="answers all of it already"):
        with_share(4, 0.25, rest=4)


@pytest.mark.parametrize(("weights", "main"), [({3: 0.9, 4: 0.1}, 3), ({3: 0.1, 4: 0.9}, 4), ({3: 0.5, 4: 0.5}, 3)])
def test_an_alias_that_must_mean_one_version_means_the_largest_share_or_the_oldest(weights: dict[int, float], main: int) -> None:
    assert main_version(weights) == main


def test_every_point_has_a_version_and_the_newest_has_the_first_part() -> None:
    weights = {3: 0.75, 4: 0.25}
    assert [pick(weights, point) for point in (0.0, 0.2499, 0.25, 0.999, 1.0)] == [4, 4, 3, 3, 3]


def test_keys_are_spread_as_the_shares_are() -> None:
    weights = {3: 0.9, 4: 0.1}
    picked = [pick(weights, point_of(f"user-{number}")) for number in range(10_000)]
    assert 900 < picked.count(4) < 1100


def test_a_growing_share_takes_keys_and_gives_none_away() -> None:
    keys = [f"user-{number}" for number in range(1000)]
    on_new: set[str] = set()
    for share in (0.1, 0.25, 0.5, 0.9):
        now = {key for key in keys if pick(with_share(4, share, rest=3), point_of(key)) == 4}
        assert on_new < now
        on_new = now


def test_a_key_lies_where_it_always_did() -> None:
    assert point_of("user-7") == point_of("user-7")
    assert round(point_of("user-7"), 9) == 0.245394707  # on every server


def test_shares_are_told_in_percent() -> None:
    assert split_words({4: 0.1, 3: 0.9}) == "10% to 4, 90% to 3"
