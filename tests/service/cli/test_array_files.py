import json
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.cli.array_files import check_output, read_sequences, write_answers
from cellserve.service.errors import InvalidInput


def test_npy_keeps_its_rank(tmp_path: Path) -> None:
    for shape in ((5, 3), (2, 5, 3)):
        np.save(tmp_path / "x.npy", np.ones(shape, dtype=np.int32))
        value = read_sequences(tmp_path / "x.npy").value
        assert isinstance(value, np.ndarray)
        assert (value.shape, value.dtype) == (shape, np.float32)


def test_npz_is_a_ragged_batch_with_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", left=np.ones((5, 3)), right=np.zeros((2, 3)))
    sequences = read_sequences(tmp_path / "x.npz")
    assert sequences.names == ("left", "right")
    assert [row.shape for row in sequences.value] == [(5, 3), (2, 3)]


@pytest.mark.parametrize("head", ["", "a,b\n", "\ufeffa,b\n", "\n"])
def test_csv_is_one_sequence_with_or_without_headings(tmp_path: Path, head: str) -> None:
    (tmp_path / "x.csv").write_text(head + "1,2\n3,4.5\n", encoding="utf-8")
    value = read_sequences(tmp_path / "x.csv").value
    assert np.array_equal(value, np.array([[1, 2], [3, 4.5]], dtype=np.float32))


@pytest.mark.parametrize(
    ("nested", "ids", "shapes"),
    [
        ([[1, 2], [3, 4], [5, 6]], False, (3, 2)),
        ([[[1, 2]], [[3, 4], [5, 6]]], False, [(1, 2), (2, 2)]),
        ([[[1, 2]], [[3, 4]]], False, (2, 1, 2)),
        ([1, 2, 3], True, (3,)),
        ([[1, 2], [3]], True, [(2,), (1,)]),
    ],
)
def test_json_nests_like_arrays_and_may_be_ragged(tmp_path: Path, nested: object, ids: bool, shapes: object) -> None:
    (tmp_path / "x.json").write_text(json.dumps(nested))
    value = read_sequences(tmp_path / "x.json", ids=ids).value
    found = [row.shape for row in value] if isinstance(value, list) else value.shape
    assert found == shapes
    assert (value[0] if isinstance(value, list) else value).dtype == (np.int64 if ids else np.float32)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.npy", b"not an array"),
        ("x.npz", b"not a zip"),
        ("x.csv", b"a,b\n"),
        ("x.csv", b"1,2\n3\n"),
        ("x.csv", b"\xff\xfe"),
        ("x.json", b"{"),
        ("x.json", b'["a"]'),
        ("x.json", b"[[[1,2]],[[1]],[[1,[2]]]]"),
        ("x.txt", b"1"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=name):
        read_sequences(tmp_path / name)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInput, match=r"x\.npy"):
        read_sequences(tmp_path / "x.npy")


def test_fractions_are_not_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1.5]))
    with pytest.raises(InvalidInput, match="whole numbers"):
        read_sequences(tmp_path / "x.npy", ids=True)


def test_answers_come_back_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = [np.ones((2, 3), dtype=np.float32), np.zeros((1, 3), dtype=np.float32)]
    write_answers(tmp_path / "y.npz", rows, ("left", "right"))
    with np.load(tmp_path / "y.npz") as file:
        assert np.array_equal(file["left"], rows[0])
        assert np.array_equal(file["right"], rows[1])
    write_answers(tmp_path / "z.npz", rows, ())
    with np.load(tmp_path / "z.npz") as file:
        assert file.files == ["row_0", "row_1"]
    write_answers(tmp_path / "y.npy", rows[0], ())
    assert np.array_equal(np.load(tmp_path / "y.npy"), rows[0])
    write_answers(tmp_path / "y.json", rows, ())
    assert json.loads((tmp_path / "y.json").read_text()) == [row.tolist() for row in rows]


def test_ragged_answers_do_not_fit_one_array(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="different lengths"):
        write_answers(tmp_path / "y.npy", [np.ones((2, 3)), np.ones((1, 3))], ())
    with pytest.raises(InvalidInput, match=r"\.npy, \.npz or \.json"):
        check_output(tmp_path / "y.csv")
