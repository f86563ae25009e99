"""A live sequence as its client knows it, against a server in a few lines that loses requests, replies, steps and itself.

The server's model answers with the sum of everything fed, so a step that was lost, doubled or fed out of order shows at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.service import errors
from cellserve.service.client import FeedUnsettled, ReplayLimits, StreamBroken
from cellserve.service.client.live.conversation import Talk
from cellserve.service.client.live.feed import FeedOptions, feed_question
from cellserve.service.client.live.replay import Fed, Replay
from cellserve.service.client.live.sequence import Course
from cellserve.service.client.requests import Reference
from cellserve.service.client.tensors import from_wire, to_wire
from cellserve.service.pb import cellserve_pb2 as pb
from tests.examples import examples

MODEL = "sums"


class FakeServer:
    """One live sequence, fed exactly once. `sums`: after each step, from position 0. `faults`: of the next requests, in order."""

    def __init__(self) -> None:
        self.epochs = itertools.count(1)
        self.epoch = f"e{next(self.epochs)}"
        self.live = False
        self.values: list[float] = []
        self.ends = [0]  # of the feeds
        self.remembered: tuple[int, bytes, pb.FeedReply] | None = None
        self.faults: list[str] = []
        self.asked: list[Any] = []
        self.name = ""  # of the first sequence; every other has a server of its own that ends with this one
        self.others: dict[str, FakeServer] = {}

    def answer(self, request: Any) -> Any:
        """Raises ServiceError."""
        self.asked.append(request)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "busy":
            raise errors.Overloaded("later")
        if fault == "request lost":
            raise StreamBroken("the request is lost")
        if fault.startswith("falls back"):
            self.fall_back(int(fault.split()[-1]))
        if fault == "forgets":
            self.remembered = None
        if fault == "dies":
            self.others.clear()
            self.live, self.epoch = False, f"e{next(self.epochs)}"
        reply = getattr(self._of(request), f"_{type(request).__name__}")(request)
        if fault == "reply lost":
            raise StreamBroken("the reply is lost")
        return reply

    def _of(self, request: Any) -> FakeServer:
        sequence_id = getattr(request, "new_sequence_id", "") or request.sequence_id
        self.name = self.name or sequence_id
        if sequence_id == self.name:
            return self
        other = self.others.setdefault(sequence_id, FakeServer())
        other.epoch = self.epoch
        return other

    def fall_back(self, feeds: int) -> None:
        """Restarted, with what was written `feeds` feeds ago."""
        self.others.clear()
        self.ends = self.ends[: max(1, len(self.ends) - feeds)]
        self.values = self.values[: self.ends[-1]]
        self.epoch, self.remembered = f"e{next(self.epochs)}", None

    def _OpenRequest(self, request: pb.OpenRequest) -> pb.OpenReply:
        if self.live and not request.restart:
            raise errors.SequenceExists("it is live")
        self.live, self.values, self.ends, self.remembered = True, [], [0], None
        return pb.OpenReply(model=MODEL, version="1", sequence_id=request.sequence_id, epoch=self.epoch)

    def _GetRequest(self, request: pb.GetRequest) -> pb.SequenceInfo:
        self._require_live(self.epoch)
        return pb.SequenceInfo(model=MODEL, version=1, position=len(self.values), epoch=self.epoch)

    def _FeedRequest(self, request: pb.FeedRequest) -> pb.FeedReply:
        self._require_live(request.epoch)
        steps = from_wire(request.inputs)[:, 0].tolist() if request.HasField("inputs") else []
        position = len(self.values)
        if steps and request.position != position:
            if self.remembered is not None and self.remembered[:2] == (request.position, request.inputs.data):
                return self.remembered[2]
            raise errors.SequencePosition("elsewhere", metadata={"position": str(position), "epoch": self.epoch})
        self.values += steps
        self.ends.append(len(self.values))
        reply = pb.FeedReply(position=len(self.values), epoch=self.epoch)
        if steps:
            sums = np.cumsum(self.values, dtype=np.float32)[-len(steps) :, np.newaxis]
            output = pb.Output(name="outputs", per_step=True, tensor=to_wire(sums))
            reply.answer.CopyFrom(pb.RunReply(model=MODEL, version="1", lengths=[len(steps)], outputs=[output]))
            self.remembered = (request.position, request.inputs.data, reply)
        return reply

    def _CloseRequest(self, request: pb.CloseRequest) -> pb.CloseReply:
        self._require_live(self.epoch)
        self.live = False
        return pb.CloseReply()

    def _ForkRequest(self, request: pb.ForkRequest) -> pb.SequenceInfo:
        if self.live:
            raise errors.SequenceExists("it is live")
        self.live = True
        return pb.SequenceInfo(model=MODEL, version=1, position=len(self.values), epoch=self.epoch)

    def _require_live(self, epoch: str) -> None:
        if not self.live:
            raise errors.SequenceUnknown("gone") if epoch == self.epoch else errors.SequenceLost("lost")


class Held:
    """A course and the server it talks to: what the clients do, with `attempts` at each request."""

    def __init__(self, server: FakeServer | None = None, *, sequence_id: str = "", attempts: int = 4, **limits: int) -> None:
        self.server = server or FakeServer()
        self.course = Course(MODEL, sequence_id, ReplayLimits(**limits))
        self._attempts = attempts

    def open(self) -> Held:
        self.hold(self.course.opening(Reference(MODEL, ""), False, {}))
        return self

    def feed(self, *values: float) -> list[float]:
        steps = np.array(values, np.float32)[:, np.newaxis]
        asked = feed_question(MODEL, steps, False, "float32", FeedOptions())
        return np.asarray(self.hold(self.course.feeding(*asked)).answer)[:, 0].tolist()

    def hold(self, talk: Talk[Any]) -> Any:
        outcome: Any = None
        while True:
            try:
                ask = talk.throw(outcome) if isinstance(outcome, Exception) else talk.send(outcome)
            except StopIteration as done:
                return done.value
            for left in reversed(range(self._attempts)):
                try:
                    outcome = self.server.answer(ask.request)
                    break
                except (errors.Overloaded, StreamBroken) as error:
                    outcome = error
                    if left:
                        ask.failed(error)
                except errors.ServiceError as error:
                    outcome = error
                    break


def test_positions_and_sums_go_on() -> None:
    held = Held().open()
    assert held.feed(1, 2) == [1, 3]
    assert held.feed(4) == [7]
    assert (held.course.position, held.course.epoch, held.course.version) == (3, "e1", 1)


@pytest.mark.parametrize("fault", ["request lost", "reply lost", "busy"])
def test_a_feed_sent_again_is_applied_once(fault: str) -> None:
    held = Held().open()
    held.feed(1)
    held.server.faults = [fault, fault]
    assert held.feed(2) == [3]
    assert held.server.values == [1, 2]


def test_an_opening_sent_again_is_ones_own() -> None:
    server = FakeServer()
    server.faults = ["reply lost", "reply lost"]
    held = Held(server, sequence_id="mine").open()
    assert held.feed(5) == [5]


def test_an_opening_of_anothers_id_is_refused() -> None:
    server = FakeServer()
    Held(server, sequence_id="mine").open().feed(1)
    with pytest.raises(errors.SequenceExists):
        Held(server, sequence_id="mine").open()
    server.faults = ["request lost"]
    with pytest.raises(errors.SequenceExists):
        Held(server, sequence_id="mine").open()
    assert server.values == [1]


@pytest.mark.parametrize("lost", [1, 3, 5])
def test_what_a_restored_server_has_lost_is_fed_again(lost: int) -> None:
    held = Held().open()
    for value in range(1, 7):
        held.feed(value)
    held.server.faults = [f"falls back {lost}"]
    assert held.feed(100) == [121]
    assert held.server.values == [1, 2, 3, 4, 5, 6, 100]
    assert held.course.epoch == "e2"


def test_a_server_that_falls_back_again_and_again_is_given_up() -> None:
    held = Held().open()
    held.feed(1)
    held.server.faults = ["falls back 1", "", "falls back 1", "", "falls back 1"]
    with pytest.raises(errors.SequencePosition):
        held.feed(2)
    assert held.feed(2) == [3]


def test_what_is_no_longer_kept_is_told_with_its_position() -> None:
    held = Held(steps=2).open()
    for value in range(1, 7):
        held.feed(value)
    held.server.faults = ["falls back 5"]
    with pytest.raises(errors.SequencePosition) as caught:
        held.feed(7)
    assert caught.value.position == 1
    held.hold(held.course.attaching())
    assert held.course.position == 1
    assert [held.feed(value)[0] for value in range(2, 8)] == [3, 6, 10, 15, 21, 28]


def test_a_feed_is_never_cut_when_it_is_fed_again() -> None:
    held = Held().open()
    held.feed(1, 2, 3)
    held.server.values.pop()
    with pytest.raises(errors.SequencePosition) as caught:
        held.feed(4)
    assert caught.value.position == 2


def test_a_server_that_has_lost_everything_is_fed_everything() -> None:
    held = Held().open()
    held.feed(1)
    held.feed(2, 3)
    held.server.faults = ["dies"]
    assert held.feed(4) == [10]
    assert [type(request).__name__ for request in held.server.asked[-4:]] == ["OpenRequest", *["FeedRequest"] * 3]
    assert held.server.asked[-4].version == "1"


def test_an_id_that_others_have_taken_over_is_left_to_them() -> None:
    held = Held(sequence_id="mine").open()
    held.feed(1)
    held.server.faults = ["dies", ""]
    dying = held.server.answer

    def taken_over(request: Any) -> Any:
        if isinstance(request, pb.OpenRequest) and not held.server.live:
            held.server.live, held.server.values = True, [70.0]
        return dying(request)

    held.server.answer = taken_over  # type: ignore[method-assign]
    with pytest.raises(errors.SequenceLost):
        held.feed(2)
    assert held.server.values == [70]


def test_a_loss_that_cannot_be_made_good_is_told() -> None:
    held = Held(steps=1).open()
    held.feed(1)
    held.feed(2)
    held.server.faults = ["dies"]
    with pytest.raises(errors.SequenceLost):
        held.feed(4)


@pytest.mark.parametrize(("fault", "consumed"), [("request lost", False), ("reply lost", True)])
def test_after_a_failure_the_same_steps_may_be_fed_again_and_others_only_once_it_is_settled(fault: str, consumed: bool) -> None:
    for way in ("the same", "settled"):
        held = Held(attempts=1).open()
        held.feed(1)
        held.server.faults = [fault]
        with pytest.raises(StreamBroken):
            held.feed(2)
        with pytest.raises(FeedUnsettled):
            held.feed(8)
        assert held.course.position == 1
        if way == "the same":
            assert held.feed(2) == [3]
        else:
            assert held.hold(held.course.settling()) is consumed
        before = 3 if way == "the same" or consumed else 1
        assert held.feed(8) == [before + 8]


def test_a_feed_that_was_refused_before_anything_was_done_needs_no_settling() -> None:
    held = Held(attempts=2).open()
    held.server.faults = ["busy", "busy"]
    with pytest.raises(errors.Overloaded):
        held.feed(2)
    assert held.feed(8) == [8]


def test_settling_without_need_asks_nobody() -> None:
    held = Held().open()
    asked = len(held.server.asked)
    assert held.hold(held.course.settling()) is False
    assert len(held.server.asked) == asked


def test_settling_feeds_again_what_was_lost_meanwhile() -> None:
    held = Held(attempts=1).open()
    held.feed(1)
    held.server.faults = ["request lost", "falls back 1"]
    with pytest.raises(StreamBroken):
        held.feed(2)
    assert held.hold(held.course.settling()) is False
    assert held.feed(8) == [9]


@pytest.mark.parametrize("sequence_id", ["", "known to others"])
def test_an_answer_that_a_restarted_server_has_no_more_is_computed_anew(sequence_id: str) -> None:
    held = Held(sequence_id=sequence_id).open()
    held.feed(1)
    held.server.faults = ["reply lost", "forgets"]
    assert held.feed(2) == [3]
    assert held.course.position == 2
    assert held.feed(4) == [7]
    assert held.server.values == [1, 2, 4]
    assert held.server.ends == [0, 1, 2, 3]  # never begun anew itself
    assert not any(other.live for other in held.server.others.values())


def test_an_answer_that_cannot_be_computed_anew_either_is_missing() -> None:
    held = Held().open()
    held.feed(1)
    held.server.faults = ["reply lost", "forgets", "", "", "dies"]
    with pytest.raises(errors.SequencePosition):
        held.feed(2)
    assert held.course.position == 2


def test_steps_whose_answer_is_forgotten_are_consumed_all_the_same() -> None:
    held = Held(steps=0).open()
    held.feed(1)
    held.server.faults = ["reply lost", "forgets"]
    with pytest.raises(errors.SequencePosition) as caught:
        held.feed(2)
    assert caught.value.position == held.course.position == 2
    assert held.feed(4) == [7]


def test_steps_of_somebody_else_are_never_taken_for_ones_own() -> None:
    held = Held().open()
    held.feed(1)
    held.server.values.append(50)
    with pytest.raises(errors.SequencePosition) as caught:
        held.feed(2)
    assert (caught.value.position, held.course.position) == (2, 1)


def test_closing_what_is_gone_is_no_error() -> None:
    held = Held().open()
    held.server.live = False
    held.hold(held.course.closing())
    assert held.course.closed


def test_a_fork_sent_again_is_ones_own() -> None:
    held = Held()
    held.server.values = [1, 2]
    held.server.faults = ["reply lost"]
    held.hold(held.course.forking("source"))
    assert (held.course.position, held.server.live) == (2, True)


FAULTS = ["", "", "", "request lost", "reply lost", "busy", "forgets", "dies", *(f"falls back {n}" for n in range(4))]


@given(
    feeds=st.lists(st.integers(1, 3), min_size=1, max_size=30),
    faults=st.lists(st.sampled_from(FAULTS), max_size=60),
    kept=st.sampled_from([0, 4, 1000]),
)
@settings(max_examples=examples(300), deadline=None)
def test_whatever_happens_every_answer_is_the_sum_of_what_was_accepted(feeds: list[int], faults: list[str], kept: int) -> None:
    held = Held(attempts=2, steps=kept).open()
    held.server.faults = faults
    numbers: Iterator[int] = itertools.count(1)
    accepted: list[float] = []
    for length in feeds:
        values = [float(next(numbers)) for _ in range(length)]
        fate, found = feed_somehow(held, values)
        if fate == "lost":
            return
        if fate == "gone back":
            del accepted[found:]
        elif fate != "not consumed":
            accepted += values
        if fate == "answered":
            assert found == np.cumsum(accepted)[-length:].tolist()
        assert held.course.position == len(accepted)
    held.server.faults = []
    assert held.feed(1000) == [sum(accepted) + 1000]
    assert held.server.values == [*accepted, 1000]


def feed_somehow(held: Held, values: list[float]) -> tuple[str, Any]:
    """What became of them: answered (with their sums), consumed, not consumed, gone back (to a position), or lost."""
    before = held.course.position
    for _ in range(4):
        try:
            return "answered", held.feed(*values)
        except (StreamBroken, errors.Overloaded):
            continue
        except errors.SequenceLost:
            return "lost", None
        except errors.SequencePosition as error:
            if error.position == held.course.position:
                return ("consumed" if held.course.position > before else "not consumed"), None
            held.server.faults = []
            held.hold(held.course.attaching())
            return "gone back", held.course.position
    held.server.faults = []
    return "consumed" if held.hold(held.course.settling()) else "not consumed", None


def test_the_newest_feeds_are_kept_within_the_limits() -> None:
    replay = Replay(ReplayLimits(steps=3, input_bytes=1000))
    feeds = [Fed(n, 1, pb.FeedRequest(inputs=pb.Tensor(data=b"1234"))) for n in range(6)]
    for each in feeds:
        replay.keep(each)
    assert list(replay) == feeds[3:]
    assert replay.since(3, 6) == feeds[3:]
    assert replay.since(4, 5) == [feeds[4]]
    assert replay.since(6, 6) == []
    assert replay.since(2, 6) is None
    assert replay.since(7, 6) is None
    replay.keep(Fed(9, 1, pb.FeedRequest()))  # after a gap
    assert [each.position for each in replay] == [9]
    small = Replay(ReplayLimits(input_bytes=7))
    for each in feeds:
        small.keep(each)
    assert list(small) == feeds[5:]


@pytest.mark.parametrize(
    ("x", "one_step", "shape"),
    [
        (np.ones((4, 3)), False, (4, 3)),
        (np.ones(3, np.float32), True, (1, 3)),
        (np.arange(4), False, (4,)),
        (np.int64(7), True, (1,)),
        ([[1.0, 2.0]], False, (1, 2)),
    ],
)
def test_one_step_needs_no_axis_of_time(x: Any, one_step: bool, shape: tuple[int, ...]) -> None:
    asked = feed_question(MODEL, x, False, "float32", FeedOptions())
    assert (asked.one_step, asked.question.rows.inputs[0].shape) == (one_step, shape)


def test_a_batch_is_no_feed() -> None:
    with pytest.raises(errors.InvalidInput, match="one row"):
        feed_question(MODEL, np.ones((2, 3, 4)), False, "float32", FeedOptions())
    with pytest.raises(TypeError, match="unknown option 'length'"):
        feed_question(MODEL, np.ones((2, 3)), False, "float32", {"length": 3})  # type: ignore[typeddict-unknown-key]
