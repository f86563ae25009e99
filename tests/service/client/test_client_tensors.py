"""Arrays to the wire and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cellserve.service.client_tensors import as_wire, concatenated, from_wire, to_wire
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
