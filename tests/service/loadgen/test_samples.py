"""Inputs drawn and read, and answers judged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.service.loadgen.lengths import parse
from cellserve.service.loadgen.outcomes import Verdict
from cellserve.service.loadgen.samples import Sample, from_file, random_features, random_ids


def test_random_inputs_have_the_lengths_drawn() -> None:
    samples = random_features(np.random.default_rng(3), parse("uniform:2:5"), 40, features=3)
    assert {sample.x.shape[1] for sample in samples} == {3}
    assert {len(sample.x) for sample in samples} == {2, 3, 4, 5}
    assert samples[0].x.dtype == np.float32
    ids = random_ids(np.random.default_rng(3), parse("fixed:50"), 10, vocabulary=4)
    assert {int(i) for sample in ids for i in sample.x} == {0, 1, 2, 3}
    assert ids[0].x.dtype.kind == "i"


class TestFile:
    def write(self, path: Path, **arrays: Any) -> Path:
        np.savez(path / "inputs.npz", **arrays)
        return path / "inputs.npz"

    def test_rows_are_cut_to_their_lengths_and_so_are_sequence_outputs(self, tmp_path: Path) -> None:
        inputs = np.arange(24.0).reshape(2, 4, 3)
        path = self.write(tmp_path, inputs=inputs, lengths=np.array([4, 2]), outputs=inputs * 2)
        first, second = from_file(path)
        assert first.x.shape == (4, 3)
        np.testing.assert_array_equal(second.x, inputs[1, :2])
        np.testing.assert_array_equal(second.expected, inputs[1, :2] * 2)

    def test_vectors_are_expected_whole_and_a_limit_holds(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, inputs=np.zeros((5, 4, 3)), outputs=np.arange(10.0).reshape(5, 2))
        samples = from_file(path, limit=2)
        assert [sample.expected.tolist() for sample in samples if sample.expected is not None] == [[0, 1], [2, 3]]

    def test_inputs_alone_are_enough(self, tmp_path: Path) -> None:
        assert [sample.expected for sample in from_file(self.write(tmp_path, inputs=np.zeros((2, 4), np.int64)))] == [None, None]

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({"x": np.zeros((2, 3, 4))}, "no array `inputs`"),
            ({"inputs": np.zeros(3)}, "no array `inputs`"),
            ({"inputs": np.zeros((0, 3, 4))}, "no array `inputs`"),
            ({"inputs": np.array([{}], dtype=object)}, "plain arrays"),
            ({"inputs": np.zeros((2, 3, 4)), "lengths": np.array([3])}, "`lengths` has 1 rows for 2"),
            ({"inputs": np.zeros((2, 3, 4)), "outputs": np.zeros((3, 1))}, "`outputs` has 3 rows for 2"),
            ({"inputs": np.zeros((2, 3, 4)), "lengths": np.array([3, 4])}, "between 1 and 3"),
        ],
    )
    def test_other_contents_are_refused(self, tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            from_file(self.write(tmp_path, **arrays))

    @pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "inputs.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"inputs\.npz"):
            from_file(path)

    def test_a_missing_file_and_a_single_array_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="cannot be read"):
            from_file(tmp_path / "none.npz")
        np.save(tmp_path / "single.npy", np.zeros((2, 3)))
        with pytest.raises(ValueError, match="cannot be read"):
            from_file(tmp_path / "single.npy")


@pytest.mark.parametrize(
    ("expected", "version", "answer", "verdict"),
    [
        ([1.0, -3.0], 1, [1.0, -3.0], Verdict.RIGHT),
        ([1.0, -3.0], 1, [1.0 + 1.9e-5, -3.0 - 3.9e-5], Verdict.RIGHT),
        ([1.0, -3.0], 1, [1.0 + 2.1e-5, -3.0], Verdict.WRONG),
        ([1.0, -3.0], 1, [1.0], Verdict.WRONG),
        ([1.0, -3.0], 1, [1.0, float("nan")], Verdict.WRONG),
        ([1.0], 2, [7.0], Verdict.UNCHECKED),
        ([1.0], None, [7.0], Verdict.WRONG),
        (None, None, [7.0], Verdict.UNCHECKED),
    ],
)
def test_judgement(expected: list[float] | None, version: int | None, answer: list[float], verdict: Verdict) -> None:
    sample = Sample(np.zeros((1, 1)), None if expected is None else np.array(expected), version)
    assert sample.judge(np.array(answer), 1, 1e-5) is verdict
