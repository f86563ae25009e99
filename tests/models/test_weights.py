"""Weights: conversion, digest, the check against the description, and the file."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.errors import InvalidWeights
from cellserve.models.weights import Weights
from tests.models.networks import chain

SPEC = chain(DenseLayer(name="d", inputs=("x",), units=2))
KERNEL = np.arange(6.0).reshape(3, 2)


def good() -> Weights:
    return Weights.of({"d.kernel": KERNEL, "d.bias": [0.5, -0.5]})


def test_arrays_become_read_only_float32_in_c_order() -> None:
    weights = Weights.of({"d.kernel": np.asfortranarray(KERNEL)})
    kernel = weights.arrays["d.kernel"]
    assert kernel.dtype == np.float32
    assert kernel.flags.c_contiguous
    np.testing.assert_array_equal(kernel, KERNEL)
    with pytest.raises(ValueError, match="read-only"):
        kernel[0, 0] = 1


def test_what_is_not_numbers_is_refused() -> None:
    with pytest.raises(InvalidWeights, match=r"d\.kernel holds <U1, not numbers"):
        Weights.of({"d.kernel": np.array(["a"])})


def test_the_digest_is_of_the_numbers_names_and_shapes_alone() -> None:
    assert good().digest == Weights.of({"d.bias": np.float32([0.5, -0.5]), "d.kernel": KERNEL.astype(">f4")}).digest
    others = [
        Weights.of({"d.kernel": KERNEL.reshape(2, 3), "d.bias": [0.5, -0.5]}),
        Weights.of({"d.kernel": KERNEL, "d.bias": [0.5, -0.25]}),
        Weights.of({"d.kernel": KERNEL, "e.bias": [0.5, -0.5]}),
        Weights.of({"d.kernel": KERNEL}),
    ]
    assert len({good().digest, *(other.digest for other in others)}) == 5


def test_the_digest_is_the_same_in_every_release() -> None:
    content = b"6:d.bias:2:" + struct.pack("<2f", 0.5, -0.5) + b"8:d.kernel:3,2:" + struct.pack("<6f", *range(6))
    assert good().digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_the_check_passes_what_fits() -> None:
    good().check(SPEC)


def test_the_check_lists_everything_that_is_wrong() -> None:
    weights = Weights.of({"d.kernel": np.zeros((2, 2)), "e.bias": [1.0]})
    with pytest.raises(InvalidWeights) as refused:
        weights.check(SPEC)
    message = str(refused.value)
    assert "d.bias [2] is missing" in message
    assert "d.kernel is [2, 2], expected [3, 2]" in message
    assert "e.bias [1] is not part of this network" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_in_float32_are_refused(value: float) -> None:
    weights = Weights.of({"d.kernel": KERNEL, "d.bias": [value, 0.0]})
    with pytest.raises(InvalidWeights, match=r"d\.bias holds values that are not finite \(1 of 2\)"):
        weights.check(SPEC)


def test_a_file_gives_back_the_same_weights(tmp_path: Path) -> None:
    good().save(tmp_path / "weights.safetensors")
    loaded = Weights.load(tmp_path / "weights.safetensors")
    assert loaded.digest == good().digest
    assert loaded.arrays.keys() == good().arrays.keys()


def test_large_arrays_come_back_whole(tmp_path: Path) -> None:
    """They are read in parts."""
    shapes = {"tall": (1_000_003, 2), "wide": (2, 1_000_003), "one": (), "none": (0, 5), "row": (3_000_001,)}
    kept = Weights.of({name: np.random.default_rng(7).random(shape, np.float32) for name, shape in shapes.items()})
    kept.save(tmp_path / "weights")
    assert Weights.load(tmp_path / "weights").digest == kept.digest


@pytest.mark.parametrize("content", [b"", b"not a model at all", None], ids=["empty", "foreign", "truncated"])
def test_a_file_that_is_not_whole_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.safetensors"
    good().save(path)
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    with pytest.raises(InvalidWeights, match=r"weights.safetensors: not a complete safetensors file"):
        Weights.load(path)


def test_a_file_of_another_precision_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"d.kernel": KERNEL.astype(np.float16)}, tmp_path / "half.safetensors")
    with pytest.raises(InvalidWeights, match=r"half.safetensors: every array must be float32, .*d.kernel \(F16\)"):
        Weights.load(tmp_path / "half.safetensors")


def test_a_file_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Weights.load(tmp_path / "none.safetensors")


def test_a_network_without_weights_has_a_file_too(tmp_path: Path) -> None:
    Weights.of({}).save(tmp_path / "weights.safetensors")
    assert not Weights.load(tmp_path / "weights.safetensors").arrays
