"""Whether a sequence may enter one worker: decided by when it would be done, in the order in which it would be served.

Whoever would be done too late is refused at once, with the time at which there will be room, and so is, without a deadline,
whoever would wait too long. Who finds the worker idle is let in, whatever is predicted: nothing would be learnt otherwise. Short
and long are refused in proportion, a client that sends much cannot fill the queue for one that sends little, and a live sequence
is not refused because of others. A deadline that even an idle worker would miss, by measurements, is `DeadlineExpired`: to come
again would not help. Pure: the clock and the dice are passed in. Belongs to the submitting side.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cellserve.service.engine.admission.appointments import Appointments
from cellserve.service.engine.admission.backlog import Backlog
from cellserve.service.engine.admission.proportion import Proportion
from cellserve.service.engine.admission.shares import Shares
from cellserve.service.engine.asker import Asker
from cellserve.service.engine.estimate import Estimate
from cellserve.service.errors import CAUSE, TURNED_AWAY, DeadlineExpired, Overloaded

_UNMEASURED_RETRY_SECONDS: Final = 0.1
_LEAST_RETRY_SECONDS: Final = 0.01
_GIVEN_WAY: Final = 0.1  # of what is ahead: after so much others of its length may have caught up
_KEPT: Final = 0.15  # of a newcomer's time, where all come again as they are told: for those who come early or late
_BUSY_ROWS: Final = 32  # with fewer under way nobody gives way to another length: the worker would have too little


class _Foresight(NamedTuple):
    ahead_seconds: float
    estimate: Estimate


class Admission:
    """max_waiting_seconds: for what has no deadline. max_waiting_timesteps: most that may be outstanding, whatever they take.

    appointments: of the whole engine.
    """

    def __init__(
        self,
        max_waiting_seconds: float,
        max_waiting_timesteps: int,
        appointments: Appointments,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._max_waiting_seconds = max_waiting_seconds
        self._max_waiting_timesteps = max_waiting_timesteps
        self._dice = dice
        self._shares = Shares()
        self._proportion = Proportion()
        self._appointments = appointments
        self.refused_seconds = float("-inf")  # when somebody was last refused
        self._work_seconds = 0.0  # of one sequence, lately

    def admit(
        self,
        steps: int,
        deadline_seconds: float | None,
        asker: Asker,
        now_seconds: float,
        backlog: Backlog,
        others: Iterable[Backlog],
        unasked: bool = False,
    ) -> Estimate:
        """Books a sequence of so many time steps for `backlog`. others: those that share the worker with it.

        unasked: it is let in with the request that it is a row of. Raises Overloaded.
        """
        shared = [other for other in others if other is not backlog and other.sequences > 0]
        outstanding = backlog.steps + sum([other.steps for other in shared])
        foresight = self._foresee(steps, asker.client, backlog, shared)
        estimate = foresight.estimate
        if outstanding > 0:
            self._check_steps(steps, outstanding, backlog)
        returning = bool(asker.ticket) and self._appointments.redeem(asker.ticket, now_seconds)
        if (backlog.sequences > 0 or shared) and not asker.live and not unasked:
            try:
                due_seconds = None if deadline_seconds is None else deadline_seconds - asker.way_seconds
                self._check(steps, due_seconds, now_seconds, foresight, backlog, returning)
            except Overloaded:
                if returning:
                    self._appointments.met(let_in=False)
                raise
            if returning:
                self._appointments.met(let_in=True)
        if not asker.live:
            self._proportion.saw(steps, now_seconds, let_in=True)
        self._work_seconds += 0.05 * (estimate.work_seconds - self._work_seconds)
        turn = self._shares.turn_seconds(asker.client, estimate.work_seconds, now_seconds)
        backlog.submit(steps)
        return estimate._replace(turn_seconds=turn)

    def withdraw(self, steps: int, estimate: Estimate, backlog: Backlog) -> None:
        """One that was admitted, and that no worker has been told of."""
        backlog.withdraw(steps)
        self._shares.withdraw(estimate.client, estimate.work_seconds)

    def end(self, estimate: Estimate) -> None:
        """One that was admitted is over. The worker's thread."""
        self._shares.end(estimate.client, estimate.work_seconds)

    @staticmethod
    def late(done: str, left_seconds: float) -> Overloaded:
        """For one that was let in and can no longer be done in time. The worker's thread."""
        return Overloaded(
            f"others took longer than was foreseen: {done} are computed, and the deadline leaves {left_seconds:.3g} s",
            retry_after_seconds=max(left_seconds, _LEAST_RETRY_SECONDS),
            metadata={CAUSE: "late"},
        )

    def refusal(self, cause: str, sentence: str, now_seconds: float, earliest_seconds: float, work_seconds: float) -> Overloaded:
        """An Overloaded that says when to come again. earliest_seconds: from now; before, there is no room in any case."""
        self.refused_seconds = now_seconds
        retry_after_seconds, ticket = self._appointments.book(
            now_seconds, max(earliest_seconds, _LEAST_RETRY_SECONDS), work_seconds, self._dice()
        )
        retry_after = f"{retry_after_seconds:.3g}"
        return Overloaded(
            f"{sentence}; try again in {retry_after} s",
            retry_after_seconds=float(retry_after),  # as the sentence has it
            metadata={CAUSE: cause},
            ticket=ticket,
        )

    def expects(self, ticket: str, now_seconds: float) -> bool:
        """Whether a call was told to come now."""
        return self._appointments.expects(ticket, now_seconds)

    def turn_away(self, now_seconds: float, sentence: str) -> Overloaded:
        """For a call of which nothing is known but that there is no time to read it."""
        return self.refusal(TURNED_AWAY, sentence, now_seconds, _UNMEASURED_RETRY_SECONDS, self._work_seconds)

    def _foresee(self, steps: int, client: str, backlog: Backlog, shared: list[Backlog]) -> _Foresight:
        ahead, own = backlog.prospect(steps)
        # Lanes take turns: while this one's work is done, each other one has as much time, if it needs that.
        ahead += sum([min(other.seconds, ahead + own) for other in shared])
        work = steps * backlog.seconds_per_step
        ahead *= self._shares.part_ahead(client, work)
        predicted = ahead + own
        stretch = backlog.stretch(steps, predicted)
        return _Foresight(ahead * stretch, Estimate(client, float("-inf"), work, predicted, predicted * stretch))

    def _check_steps(self, steps: int, outstanding: int, backlog: Backlog) -> None:
        excess = outstanding + steps - self._max_waiting_timesteps
        if excess > 0:
            retry = min(excess, outstanding) * backlog.seconds_per_step or _UNMEASURED_RETRY_SECONDS
            retry = max(retry, _LEAST_RETRY_SECONDS)
            raise Overloaded(
                f"{outstanding} time steps are waiting and {steps} more would exceed the limit of {self._max_waiting_timesteps}; "
                f"try again in {retry:.3g} s",
                retry_after_seconds=retry,
                metadata={CAUSE: "steps"},
            )

    def _check(
        self,
        steps: int,
        due_seconds: float | None,
        now_seconds: float,
        foresight: _Foresight,
        backlog: Backlog,
        returning: bool,
    ) -> None:
        ahead, estimate = foresight
        done = estimate.stretched_seconds
        booked = 0.0
        if not returning:
            booked = self._appointments.due_work_seconds(now_seconds, done) + _KEPT * self._appointments.returning * done
        if due_seconds is None:
            late = ahead + booked - self._max_waiting_seconds
            why = f"{ahead:.3g} s of work are ahead of this sequence, more than the {self._max_waiting_seconds:g} s that may wait"
        else:
            left = due_seconds - now_seconds
            late = done + booked - left
            why = f"{ahead:.3g} s of work are ahead of this sequence, and its deadline leaves {left:.3g} s"
        if late > 0.0:
            self._proportion.saw(steps, now_seconds, let_in=False)
            raise self.refusal("wait" if due_seconds is None else "deadline", why, now_seconds, late, estimate.work_seconds)
        if backlog.sequences >= _BUSY_ROWS and not returning and not self._proportion.fair(steps, now_seconds):
            self._proportion.saw(steps, now_seconds, let_in=False)
            why = f"sequences of other lengths, of which more were refused, come first: {ahead:.3g} s of work are ahead"
            raise self.refusal("proportion", why, now_seconds, _GIVEN_WAY * ahead, estimate.work_seconds)


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
