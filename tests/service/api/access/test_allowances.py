"""What a token may use, by a clock that is moved by hand."""

from __future__ import annotations

import pytest

from cellserve.service.api.access.allowances import Allowance, Meters, TokenUse
from cellserve.service.errors import ModelDenied, RateExceeded


class House:
    """now_seconds: of the clock of all meters."""

    def __init__(self) -> None:
        self.now_seconds = 1000.0
        self.meters = Meters(lambda: self.now_seconds)

    def use(self, rate: float | None, token: str = "a") -> TokenUse:
        return TokenUse(token, f"owner of {token}", Allowance(("digits",), rate), self.meters)


def spent(house: House, use: TokenUse, steps: int, seconds: float) -> int:
    """Steps that were let in, of requests of so many, by one who sends again as soon as it may."""
    total, end = 0, house.now_seconds + seconds
    while house.now_seconds < end:
        try:
            use.spend(steps)
            total += steps
        except RateExceeded as refused:
            house.now_seconds += (refused.retry_after_seconds or 0.0) + 1e-9
    return total


@pytest.mark.parametrize("steps", [1, 10, 100, 1000, 25000])
def test_over_a_longer_time_nobody_gets_more_than_its_rate(steps: int) -> None:
    house = House()
    total = spent(house, house.use(1000.0), steps, 100.0)
    assert 100_000 - steps <= total <= 101_000 + 2 * steps


def test_a_seconds_worth_may_be_used_at_once_and_what_is_refused_costs_nothing() -> None:
    house = House()
    use = house.use(1000.0)
    for _ in range(9):
        use.spend(125)  # the last one makes the debt
    with pytest.raises(RateExceeded, match=r"owner of a is for 1,000 time steps a second.*come again in 125 ms") as refused:
        use.spend(1)
    assert refused.value.retry_after_seconds == pytest.approx(0.125)
    house.now_seconds += 0.1251
    use.spend(1)


def test_what_was_not_computed_is_given_back() -> None:
    house = House()
    use = house.use(10.0)
    use.spend(1000)
    use.give_back(1000)
    use.spend(1)


def test_tokens_have_meters_of_their_own_and_a_rate_that_changes_counts_at_once() -> None:
    house = House()
    house.use(10.0).spend(1000)
    with pytest.raises(RateExceeded):
        house.use(10.0).spend(1)
    house.use(10.0, "b").spend(1)
    house.use(None).spend(1)
    house.now_seconds += 200.0
    house.use(10.0).spend(1)


def test_other_models_are_denied() -> None:
    use = House().use(None)
    use.require_model("digits")
    with pytest.raises(ModelDenied, match="owner of a is for the models digits, and not for 'speech'"):
        use.require_model("speech")
