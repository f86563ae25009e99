"""Where the work of one version goes: to which worker, and under which implementation. Knows no queue, no clock, no lock.

Whoever asks must hold a lock: the choice of an implementation depends on the answers before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cellserve.models.implementations import INTERPRETED
from cellserve.models.measuring.traffic import TrafficKind
from cellserve.models.served import Served
from cellserve.service.engine.admission.workload import Workload
from cellserve.service.engine.choice import Choice
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.lane import Lane
from cellserve.service.engine.preparation import Preparation, Unprepared, Way
from cellserve.service.engine.running.at_once import AtOnce
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import UnknownImplementation, UnsupportedImplementation


class Placement:
    """lanes, workloads: one of each worker. home: the worker that has all Python loops of this version.

    preparation: None where every way is ready. offer: told an implementation that will be.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        workloads: Sequence[Workload],
        home: int,
        at_once: AtOnce,
        preparation: Preparation | None = None,
        offer: Callable[[str], None] = lambda label: None,
    ) -> None:
        self.preparation = preparation
        self._offer = offer
        self.lanes = tuple(lanes)
        self.at_once = at_once
        self._workloads = tuple(workloads)
        self._home = home
        self._choices: tuple[Choice, ...] = ()  # one of each worker; none before `choose`

    def choose(self, by_kind: Mapping[TrafficKind, str]) -> None:
        """Raises UnknownImplementation, UnsupportedImplementation."""
        for label in by_kind.values():
            check_implementation(self.lanes[0].key, self.lanes[0].network, label)
        self._choices = tuple(Choice(by_kind) for _ in self.lanes)

    def implementation(self, work: Work, worker: int) -> str:
        """What the work names, or what is best for it on this worker.

        Raises UnknownImplementation, UnsupportedImplementation; Unprepared: the work's way is not ready.
        """
        lane, label = self.lanes[worker], work.implementation
        if label is None:
            label = (
                self._choices[worker].label(work.steps, lane.workload.outstanding_sequences)
                if self._choices
                else lane.implementation
            )
            if lane.network.implementations[label] is not None:  # found wrong since then
                label = lane.network.default_implementation
        check_implementation(lane.key, lane.network, label)
        if self.preparation is not None:
            masked = work.mask is not None
            if not self.preparation.is_ready(label, masked):
                raise Unprepared(lane.key, Way(label, masked), self.prepare)
        return label

    def prepare(self, way: Way) -> None:
        """Makes it ready, if it is not. Any thread but one that others wait for; holds no lock."""
        if self.preparation is not None:
            self.preparation.prepare(way, self._offer)

    def place(self, work: Work) -> tuple[int, str]:
        """The worker with the least outstanding time steps, and the implementation. Raises as `implementation` does.

        A loop of Python operations stays on one worker for each version: two of them would only take the interpreter from each
        other (two workers gave 0.63 and 0.82 times the rate of one).
        """
        worker = 0
        if len(self._workloads) > 1:
            worker = min(range(len(self._workloads)), key=lambda index: self._workloads[index].outstanding_steps)
        label = self.implementation(work, worker)
        if label in INTERPRETED and self.lanes[worker].network.device.type == "cpu":
            worker = self._home
        return worker, label


def check_implementation(key: VersionKey, network: Served, label: str) -> None:
    """Raises UnknownImplementation, UnsupportedImplementation."""
    known = network.implementations
    if label not in known:
        offered = ", ".join(offered for offered, reason in known.items() if reason is None)
        raise UnknownImplementation(f"{label!r} is no implementation; {key} offers {offered}", field="implementation")
    if (reason := known[label]) is not None:
        raise UnsupportedImplementation(f"{key} cannot run under implementation {label!r}: {reason}", field="implementation")
