"""Whether a sequence may enter, counted in time steps and in predicted seconds. Pure: every figure is passed in.

A sequence is refused `Overloaded` when a worker would have more steps outstanding than the limit. One that alone exceeds the
limit is let in when nothing else is outstanding, so that no model is unusable by its settings. It is refused
`DeadlineExpired` when even a lower bound of its time, from measurements, ends after its deadline: whatever could have been
served is not refused.
"""

from __future__ import annotations

from cellserve.service.errors import DeadlineExpired, Overloaded

_UNMEASURED_RETRY_SECONDS = 0.1
_LEAST_RETRY_SECONDS = 0.001


def check_room(steps: int, outstanding_steps: int, max_waiting_timesteps: int, seconds_per_step: float | None) -> None:
    """Raises Overloaded, with the measured time until there will be room as `retry_after_seconds`."""
    excess = outstanding_steps + steps - max_waiting_timesteps
    if excess <= 0 or outstanding_steps == 0:
        return
    wait = _UNMEASURED_RETRY_SECONDS if seconds_per_step is None else min(excess, outstanding_steps) * seconds_per_step
    retry = max(wait, _LEAST_RETRY_SECONDS)
    raise Overloaded(
        f"{outstanding_steps} time steps are waiting and {steps} more would exceed the limit of {max_waiting_timesteps}; "
        f"try again in {retry:.3g} s",
        retry_after_seconds=retry,
    )


def check_deadline(deadline_seconds: float | None, now_seconds: float, least_seconds: float) -> None:
    """`least_seconds`: what it will take at the very least; 0 while nothing has been measured. Raises DeadlineExpired."""
    if deadline_seconds is None:
        return
    left = deadline_seconds - now_seconds
    if left <= 0:
        raise DeadlineExpired(f"the deadline had passed {-left:.3g} s before the sequence reached the engine")
    if least_seconds > left:
        raise DeadlineExpired(
            f"the deadline leaves {left:.3g} s, but the sequence will take at least {least_seconds:.3g} s as measured; "
            "allow more time or send fewer time steps"
        )
