"""Records as bytes: what was written is read, and what was not is told from it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cellserve.service.engine.batch import Delivery
from cellserve.service.sessions.stores import record as records
from cellserve.service.sessions.stores import reply as replies
from cellserve.service.sessions.stores.record import DamagedRecord, Identity, Kind, LastFeed, Record
from cellserve.service.sessions.stores.store import RUN_BYTES, STAMP_BYTES, is_live

IDENTITY = Identity(model="m", session_id="ä/5", weights_digest="sha256:0", epoch="e-1", former=("d-1",), replica="one")
RUN = b"r" * RUN_BYTES
STATE = np.array([1, -2, 3.5], np.float32)
LAST = LastFeed("id", 6, False, True, b"f" * 16, b"answer")


def made(kind: Kind = Kind.LIVE, last: LastFeed | None = LAST) -> Record:
    return Record(kind, 7, 3, 1.5e9, True, False, IDENTITY.json_bytes, last, STATE)


def written(record: Record) -> bytes:
    return RUN + records.encode(record, records.tokens()())


@pytest.mark.parametrize("last", [None, LAST, LAST._replace(request_id="", reply=None), LAST._replace(reply=b"")])
def test_a_record_is_read_as_it_was_written(last: LastFeed | None) -> None:
    content = written(made(last=last))
    read, identity = records.decode(content)
    assert identity == IDENTITY
    assert read._replace(state=STATE) == made(last=last)._replace(state_bytes=12)
    assert read.state.tolist() == STATE.tolist()
    assert (records.run_of(content), len(records.stamp_of(content)), is_live(content)) == (RUN, STAMP_BYTES, True)


def test_one_that_has_ended_has_no_state() -> None:
    content = written(made(Kind.ENDED))
    assert records.decode(content)[0].state.size == 0
    assert not is_live(content)


def test_a_head_tells_all_but_state_and_request() -> None:
    content = written(made(last=LAST._replace(reply=bytes(100_000))))
    read, identity = records.decode_head(content[: records.HEAD_BYTES])
    assert (read.position, read.version, read.state_bytes, identity) == (7, 3, 12, IDENTITY)


def test_no_two_writes_have_the_same_stamp() -> None:
    token = records.tokens()
    assert len({records.encode(made(), token())[: STAMP_BYTES - RUN_BYTES] for _ in range(100)}) == 100


def test_what_is_cut_or_longer_is_damaged() -> None:
    content = written(made())
    for length in range(len(content)):
        with pytest.raises(DamagedRecord):
            records.decode(content[:length])
    with pytest.raises(DamagedRecord):
        records.decode(content + b"\0")


def test_whatever_is_changed_raises_nothing_else() -> None:
    chance, content = random.Random(1), written(made(last=LAST._replace(reply=replies.encode(ANSWER))))
    for _ in range(3000):
        forged = bytearray(content)
        for _ in range(chance.randrange(1, 4)):
            forged[chance.randrange(len(forged))] = chance.randrange(256)
        try:
            read, _ = records.decode(bytes(forged))
            if read.last is not None and read.last.reply is not None:
                replies.decode(read.last.reply)
        except DamagedRecord:
            continue
        assert np.isfinite(read.state).all()


ANSWER = Delivery(5, (np.ones((2, 3), np.float32), np.arange(2, dtype=np.int64)), STATE, None, "fused", 2, 4, 0.1, 0.2)


@pytest.mark.parametrize("answer", [ANSWER, ANSWER._replace(state=None), ANSWER._replace(outputs=(), steps=0), None])
def test_an_answer_is_read_as_it_was_given(answer: Delivery | None) -> None:
    read = replies.decode(replies.encode(answer))
    assert (read is None) == (answer is None)
    if answer is None or read is None:
        return
    assert (read.implementation, read.steps) == (answer.implementation, answer.steps)
    assert [array.tolist() for array in read.outputs] == [array.tolist() for array in answer.outputs]
    assert [array.dtype for array in read.outputs] == [array.dtype for array in answer.outputs]
    assert (None if read.state is None else read.state.tolist()) == (None if answer.state is None else STATE.tolist())


@pytest.mark.parametrize(
    "content", [b"x", b"\xff\xff\xff\xff", b"\x02\0\0\0{}", replies.encode(ANSWER)[:-1], replies.encode(ANSWER) + b"x"]
)
def test_a_damaged_answer_is_told(content: bytes) -> None:
    with pytest.raises(DamagedRecord):
        replies.decode(content)
