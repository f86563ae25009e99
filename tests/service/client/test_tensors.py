"""Arrays to the wire and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cellserve.service.client.tensors import as_wire, concatenated, from_wire, to_wire
from cellserve.service.errors import InvalidInput
from cellserve.service.pb import cellserve_pb2 as pb

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@given(st.sampled_from(["<f4", "<i4", "<i8", "?"]).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)))
def test_what_goes_comes_back(array: np.ndarray) -> None:
    back = from_wire(to_wire(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


@given(st.lists(arrays.arrays("<f4", st.tuples(st.integers(0, 4), st.just(3))), min_size=1, max_size=5))
def test_concatenation_is_numpys(parts: list[np.ndarray]) -> None:
    np.testing.assert_array_equal(from_wire(concatenated(parts)), np.concatenate(parts))


def test_arrays_that_lie_right_are_not_copied() -> None:
    array = np.ones((3, 2), np.float32)
    assert np.shares_memory(as_wire(array), array)
    assert np.shares_memory(as_wire(array[1:]), array)


@pytest.mark.parametrize("dtype", [pb.FLOAT16, pb.BFLOAT16])
def test_half_precision_is_widened(dtype: pb.DataType) -> None:
    values = np.array([[1.0, -2.5, 0.0]], np.float32)
    halves = values.astype("<f2") if dtype == pb.FLOAT16 else (values.view(np.uint32) >> 16).astype("<u2")
    back = from_wire(pb.Tensor(dtype=dtype, shape=[1, 3], data=halves.tobytes()))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize(
    "tensor",
    [
        pb.Tensor(dtype=pb.FLOAT32, shape=[2], data=b"\0" * 4),
        pb.Tensor(dtype=pb.FLOAT32, shape=[1], data=b"\0" * 5),
        pb.Tensor(dtype=pb.BFLOAT16, shape=[1], data=b"\0"),
        pb.Tensor(dtype=pb.FLOAT32, shape=[-7], data=b"\0" * 8),
        pb.Tensor(dtype=99, shape=[1], data=b"\0" * 4),  # type: ignore[arg-type]
    ],
)
def test_bytes_that_fit_no_shape_are_refused(tensor: pb.Tensor) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        from_wire(tensor)


@given(arrays.arrays("<f4", SHAPES.filter(len), elements=st.floats(-60_000, 60_000, width=32)))
def test_halves_are_the_nearest(array: np.ndarray) -> None:
    np.testing.assert_array_equal(from_wire(concatenated([array], "float16")), array.astype(np.float16).astype(np.float32))
    back = from_wire(concatenated([array], "bfloat16"))
    normal = np.abs(array) > 1e-30
    np.testing.assert_allclose(back[normal], array[normal], rtol=2**-8)


def test_bfloat16_rounds_to_even_and_keeps_what_is_not_finite() -> None:
    array = np.array([1.0, 1.0 + 2**-8, 1.0 + 3 * 2**-8, np.inf, -np.inf, np.nan], "<f4")
    back = from_wire(concatenated([array], "bfloat16"))
    np.testing.assert_array_equal(back, np.array([1.0, 1.0, 1.0 + 2**-6, np.inf, -np.inf, np.nan], "<f4"))


@pytest.mark.parametrize(("wire", "value"), [("float16", 70_000.0), ("bfloat16", 3.4e38)])
def test_what_does_not_fit_a_half_is_refused(wire: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=wire):
        concatenated([np.array([1.0, value], "<f4")], wire)


def test_ids_and_masks_are_never_halved() -> None:
    assert concatenated([np.array([1, 2])], "float16").dtype == pb.INT64
    assert concatenated([np.array([True])], "bfloat16").dtype == pb.BOOL
