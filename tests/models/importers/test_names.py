"""Names as people count and read them."""

from __future__ import annotations

import pytest

from cellserve.models.importers.names import listed, natural


def test_numbers_in_names_count() -> None:
    assert sorted(["fc10", "fc2", "fc", "a1b12", "a1b3", "0.x"], key=natural) == ["0.x", "a1b3", "a1b12", "fc", "fc2", "fc10"]


@pytest.mark.parametrize(("most", "told"), [(3, "a, b, c"), (2, "a, b and 1 more"), (4, "a, b, c")])
def test_so_many_are_listed_and_the_others_counted(most: int, told: str) -> None:
    assert listed(iter("abc"), most) == told
