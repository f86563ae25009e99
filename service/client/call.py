"""One call of either client: what is asked, how it is cut, how long it may take. Knows no channel: the clients send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

from cellserve.service.client.prediction import Prediction, prediction
from cellserve.service.client.requests import PartLimits, Question, Reference
from cellserve.service.client.retry import Attempts, RetryPolicy
from cellserve.service.client.rows import Input, Rows
from cellserve.service.client.tensors import Array, WireDtype
from cellserve.service.pb import cellserve_pb2 as pb

Progress = Callable[[int, int], None]


class RunOptions(TypedDict, total=False):
    """What may be said beside the model and its input.

    lengths: [B] integers, of a padded batch: the true time steps of each row; default: all of them.
    mask: booleans in the form of the input, one per time step; False marks a step that the recurrent layers skip.
    initial_state: by name ("0.h", "0.c", "1.h" …) [rows, units], or [units] for one sequence; default: zeros.
    more_inputs: inputs_1, inputs_2 … of a model with several, each in the form of the first: sequences of any lengths, or
        vectors [rows, width], [width] for one sequence.
    more_lengths: of each of more_inputs that is a padded batch; None or left out: those of the first if it is padded alike, else
        all of its steps.
    implementation: as Client.show lists them; default: the server's choice.
    precision: "float32" or "bfloat16", of what recurrent layers multiply; default: the model's.
    timeout_seconds: for the whole call, attempts and waits included; default: the client's.
    priority: higher goes first among sequences that wait; default 0.
    progress: called with (rows answered, rows in all) after each part of a long batch.
    """

    lengths: Sequence[int] | Array | None
    mask: Input | None
    initial_state: Mapping[str, Array] | None
    more_inputs: Sequence[Input]
    more_lengths: Sequence[Sequence[int] | Array | None]
    implementation: str
    precision: str
    timeout_seconds: float | None
    priority: int
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What a client keeps from call to call."""

    timeout_seconds: float
    retry: RetryPolicy
    limits: PartLimits
    wire_dtype: WireDtype
    clock: Callable[[], float]

    def call(self, model: str, x: Input, return_state: bool, options: RunOptions) -> Call:
        """Raises InvalidInput."""
        return _call(self, model, x, return_state, **options)

    def attempts(self) -> Attempts:
        """At a call that is not cut into parts."""
        return self.attempts_until(self.until(None))

    def until(self, timeout_seconds: float | None) -> float:
        """When a call that begins now must be over, on `clock`. timeout_seconds: None for the client's own."""
        return self.clock() + (self.timeout_seconds if timeout_seconds is None else timeout_seconds)

    def attempts_until(self, deadline_seconds: float) -> Attempts:
        return Attempts(self.retry, deadline_seconds, self.clock)


def _call(settings: CallSettings, model: str, x: Input, return_state: bool, **options: Unpack[RunOptions]) -> Call:
    unknown = sorted(set(options) - RunOptions.__optional_keys__)
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}; known are {', '.join(sorted(RunOptions.__optional_keys__))}")
    rows = Rows.of(
        x,
        lengths=options.get("lengths"),
        mask=options.get("mask"),
        initial_state=options.get("initial_state"),
        more_inputs=options.get("more_inputs", ()),
        more_lengths=options.get("more_lengths", ()),
    )
    question = Question(
        Reference.parse(model),
        rows,
        implementation=options.get("implementation", ""),
        precision=options.get("precision", ""),
        return_state=return_state,
        priority=options.get("priority", 0),
        wire_dtype=settings.wire_dtype,
    )
    return Call(settings, question, settings.until(options.get("timeout_seconds")), options.get("progress"))


class Call:
    """The parts of one call and what has been answered of them."""

    def __init__(self, settings: CallSettings, question: Question, deadline_seconds: float, progress: Progress | None) -> None:
        self._settings = settings
        self._question = question
        self._deadline_seconds = deadline_seconds
        self._progress = progress
        self._rows_answered = 0
        self.parts = question.parts(settings.limits)

    def attempts(self) -> Attempts:
        return Attempts(self._settings.retry, self._deadline_seconds, self._settings.clock)

    def request(self, part: range, first: pb.RunReply | None = None) -> pb.RunRequest:
        """first: the reply to the first part, whose version answers all others too."""
        return self._question.request(part, None if first is None else first.version)

    def answered(self, part: range) -> None:
        self._rows_answered += len(part)
        if self._progress is not None:
            self._progress(self._rows_answered, len(self._question.rows))

    def prediction(self, replies: Sequence[pb.RunReply]) -> Prediction:
        """Raises BadReply."""
        return prediction(self._question, replies)
