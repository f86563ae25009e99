"""Snapshots keep the state and nothing else is taken for one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from cellserve.service.errors import InvalidInput
from cellserve.service.sessions.storage import snapshot
from tests.service.sessions.fakes import LAYOUT, version

MODEL = version("m", 3)
CONTENT = snapshot.encode(MODEL, 7, np.array([1, 2, 1], np.float32))
FACTS = snapshot.decode(CONTENT, 10_000).facts


def _with(tensors: dict[str, np.ndarray] | None = None, **facts: str) -> bytes:
    metadata = {name: str(value) for name, value in FACTS.model_dump().items()} | facts
    return save({"0.h": np.zeros(2, np.float32)} if tensors is None else tensors, metadata)


def test_a_snapshot_says_what_it_is_of() -> None:
    assert (FACTS.model, FACTS.version, FACTS.position) == ("m", 3, 7)
    assert FACTS.weights_digest == MODEL.manifest.weights_digest


def test_the_states_are_named_as_on_the_wire_and_what_is_private_is_left_out() -> None:
    assert {name: array.tolist() for name, array in load(CONTENT).items()} == {"0.h": [1, 2]}
    assert snapshot.decode(CONTENT, 10_000).row(LAYOUT).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "not a snapshot", id="nothing"),
        pytest.param(b"\x80\x04\x95pickled", "not a snapshot", id="a pickle"),
        pytest.param(CONTENT[:-1], "not a snapshot", id="cut"),
        pytest.param(CONTENT + b"x", "not a snapshot", id="longer"),
        pytest.param((1 << 40).to_bytes(8, "little") + CONTENT[8:], "not a snapshot", id="a header without end"),
        pytest.param(save({"0.h": np.zeros(2, np.float32)}), "not a snapshot", id="no metadata"),
        pytest.param(_with(format="something.else"), "not a snapshot", id="another format"),
        pytest.param(_with(schema_version="2"), "not a snapshot", id="of a later cellserve"),
        pytest.param(_with(position="-1"), "not a snapshot", id="before the beginning"),
        pytest.param(_with(weights_digest="md5:1"), "not a snapshot", id="no digest"),
        pytest.param(_with({"0.h": np.zeros(2, np.float64)}), "expected F32", id="doubles"),
        pytest.param(_with({"0.h": np.zeros((1, 2), np.float32)}), "expected F32", id="two dimensions"),
        pytest.param(_with({"0.h": np.array([1, np.nan], np.float32)}), "not finite", id="not a number"),
        pytest.param(json.dumps({"position": 1}).encode(), "not a snapshot", id="JSON"),
    ],
)
def test_what_is_not_a_snapshot_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        snapshot.decode(content, 10_000)


def test_a_snapshot_has_its_limit() -> None:
    with pytest.raises(InvalidInput, match="takes at most 100"):
        snapshot.decode(CONTENT, 100)


@pytest.mark.parametrize("tensors", [{}, {"0.c": np.zeros(2, np.float32)}, {"0.h": np.zeros(3, np.float32)}])
def test_states_of_another_network_are_refused(tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(InvalidInput, match="holds the states"):
        snapshot.decode(_with(tensors), 10_000).row(LAYOUT)


@given(st.integers(0, len(CONTENT) - 1), st.integers(0, 255))
def test_no_byte_that_is_wrong_does_more_than_be_refused(place: int, value: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[place] = value
    try:
        row = snapshot.decode(bytes(damaged), 10_000).row(LAYOUT)
    except InvalidInput:
        return
    assert row.shape == (LAYOUT.width,)
