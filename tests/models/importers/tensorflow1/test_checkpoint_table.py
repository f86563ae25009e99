"""The checkpoint reader: real files and written ones, every checksum, and damage of every kind ending in a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from cellserve.models.importers.tensorflow1.checkpoint import OBJECT_GRAPH, Checkpoint
from cellserve.models.importers.tensorflow1.checkpoint_location import locate
from cellserve.models.importers.tensorflow1.checkpoint_table import read_table
from cellserve.models.importers.tensorflow1.crc32c import crc32c, unmasked
from cellserve.models.importers.tensorflow1.protobuf_wire import Damaged
from tests.examples import examples
from tests.golden.cases import FOLDER
from tests.models.importers.checkpoint_files import entry, field, masked, random, table, varint, write_checkpoint
from tests.models.importers.keras_files import layer, sequential

REAL = FOLDER / "tf1_grucell.ckpt.d" / "model.ckpt"
INDEX = REAL.with_name("model.ckpt.index").read_bytes()


@pytest.mark.parametrize(
    ("data", "sum_"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_of_the_standard_vectors(data: bytes, sum_: int) -> None:
    assert crc32c(data) == sum_


@given(st.binary(max_size=300))
def test_crc32c_is_the_plain_loop(data: bytes) -> None:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    assert crc32c(data) == register ^ 0xFFFFFFFF
    assert unmasked(int.from_bytes(masked(data), "little")) == crc32c(data)


def test_a_real_checkpoint() -> None:
    checkpoint = Checkpoint.open(REAL)
    assert {name: entry.shape for name, entry in checkpoint.entries.items()} == {
        "rnn/gru_cell/candidate/bias": (5,),
        "rnn/gru_cell/candidate/kernel": (9, 5),
        "rnn/gru_cell/gates/bias": (10,),
        "rnn/gru_cell/gates/kernel": (9, 10),
    }
    assert [file.name for file in checkpoint.files()] == ["model.ckpt.index", "model.ckpt.data-00000-of-00001"]
    assert checkpoint.read("rnn/gru_cell/gates/bias").dtype == np.float32


@pytest.mark.parametrize("shards", [1, 3])
def test_what_was_written_is_read(tmp_path: Path, shards: int) -> None:
    variables = {f"scope_{i}/kernel": random(2, i + 1) for i in range(11)}
    variables |= {"wide": random(3).astype(np.float64), "step": np.array(7, dtype=np.int64), "half": random(2).astype(np.float16)}
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "model", variables, shards=shards))
    assert checkpoint.entries.keys() == variables.keys()
    assert len(checkpoint.files()) == 1 + shards
    for name, array in variables.items():
        np.testing.assert_array_equal(checkpoint.read(name), array)


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    exact = np.array([1.5, -0.25], dtype=np.float32)
    upper = (exact.view(np.uint32) >> 16).astype(np.uint16)
    record = entry(upper.view(np.float16), 0, 0).replace(field(1, 19), field(1, 14), 1)
    _write(tmp_path, {b"": field(1, 1), b"w": record}, upper.tobytes())
    np.testing.assert_array_equal(Checkpoint.open(tmp_path / "model").read("w"), exact)


def test_a_flipped_byte_in_the_data_is_noticed(tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "model", {"a": random(2), "b": random(3)})
    data = prefix.with_name("model.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    checkpoint = Checkpoint.open(prefix)
    checkpoint.read("a")
    with pytest.raises(ImportRefused, match="variable 'b': its checksum is wrong"):
        checkpoint.read("b")


def test_data_that_are_cut_short_or_not_there(tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "model", {"a": random(4)})
    data = prefix.with_name("model.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ImportRefused, match=r"'a': model.data-00000-of-00001 ends before it, at byte 15"):
        Checkpoint.open(prefix).read("a")
    data.unlink()
    with pytest.raises(ImportRefused, match="cannot be read: No such file"):
        Checkpoint.open(prefix).read("a")


@pytest.mark.parametrize("end", [*range(0, len(INDEX), 7), len(INDEX) - 1])
def test_an_index_cut_anywhere(tmp_path: Path, end: int) -> None:
    (tmp_path / "model.index").write_bytes(INDEX[:end])
    with pytest.raises(ImportRefused, match="damaged or cut short"):
        Checkpoint.open(tmp_path / "model")


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(INDEX) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.none() | st.integers(0, len(INDEX)),
)
def test_a_damaged_index_is_refused_or_harmless(tmp_path: Path, edits: list[tuple[int, int]], cut: int | None) -> None:
    """Nothing but ImportRefused comes out, and what still opens (an edit of padding) reads the same."""
    content = bytearray(INDEX)
    for place, byte in edits:
        content[place] = byte
    _refused_or_the_same(tmp_path, bytes(content[:cut]))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=st.binary(max_size=60) | st.builds(lambda a, b: a + b, st.just(entry(random(2, 3), 0, 0)), st.binary(max_size=30)))
def test_records_of_any_bytes_with_good_checksums(tmp_path: Path, record: bytes) -> None:
    _write(tmp_path, {b"": field(1, 1), b"name": record}, random(2, 3).tobytes())
    try:
        Checkpoint.open(tmp_path / "model").read("name")
    except ImportRefused as refusal:
        assert str(tmp_path) in str(refusal)  # noqa: PT017 - whether it is raised depends on the bytes


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_before_a_good_footer(content: bytes) -> None:
    footer = INDEX[-48:]
    with pytest.raises(Damaged):
        read_table(content[: len(INDEX) - 60] + footer)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({b"w": entry(random(2), 0, 0)}, "no header"),
        ({b"": field(1, 1) + field(2, 1)}, "big-endian"),
        ({b"": field(1, 0)}, "0 data files"),
        ({b"": field(1, 10**6)}, "1000000 data files"),
        ({b"": field(1, b"x")}, "bytes where a number"),
        ({b"": field(1, 1), b"w": field(2, 5)}, "a number where bytes"),
        ({b"": field(1, 1), b"w": varint(1 << 3 | 3)}, "unknown wire type"),
        ({b"": field(1, 1), b"w": field(2, field(2, b"") * 300)}, "300 dimensions"),
        ({b"": field(1, 1), b"\xff": b""}, "a name is not text"),
        ({b"": field(1, 1), b"b": b"", b"a": b""}, "not in order"),
    ],
)
def test_tables_that_are_no_checkpoints(tmp_path: Path, entries: dict[bytes, bytes], said: str) -> None:
    _write(tmp_path, entries, b"")
    with pytest.raises(ImportRefused, match=said):
        Checkpoint.open(tmp_path / "model")


def test_snappy_is_refused(tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "model", {"a": random(2)}, compression=1)
    with pytest.raises(ImportRefused, match=r"compressed \(type 1\)"):
        Checkpoint.open(prefix)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (field(1, 7) + field(2, field(2, field(1, 2))), "DataType 7"),
        (field(1, 1) + field(2, field(2, field(1, 2**40)) + field(2, field(1, 2**40))), "the limit is"),
        (field(1, 1) + field(2, field(2, field(1, 2))) + field(5, 12), "12 bytes are not a tensor of shape"),
        (entry(random(2), 0, 0) + field(7, b""), "partitioned"),
        (entry(random(2), 5, 0), "data-00005-of-00001 cannot be read"),
        (entry(random(2), 0, 2**63), "ends before it"),
    ],
)
def test_tensors_that_cannot_be_read(tmp_path: Path, record: bytes, said: str) -> None:
    _write(tmp_path, {b"": field(1, 1), b"w": record}, random(2).tobytes())
    with pytest.raises(ImportRefused, match=said):
        Checkpoint.open(tmp_path / "model").read("w")


@pytest.mark.parametrize("name", ["", "checkpoint", "model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001"])
def test_every_way_to_name_a_checkpoint(name: str) -> None:
    assert locate(REAL.parent / name) == REAL


def test_the_checkpoint_file_names_the_latest_of_several(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path / f"model-{step}", {"a": random(2)})
    with pytest.raises(ImportRefused, match="several checkpoints \\(model-1, model-2, model-3\\); name one"):
        locate(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/home/me/run/model-2"\nall_model_checkpoint_paths: "model-1"\n')
    assert locate(tmp_path) == tmp_path / "model-2"
    (tmp_path / "model-2.index").unlink()
    with pytest.raises(ImportRefused, match=r"no model-2\.index; copy that too"):
        locate(tmp_path)


def test_one_index_in_a_folder_is_enough(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.v1", {"a": random(2)})
    assert locate(tmp_path) == tmp_path / "model.v1"


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "pt_gru1.npz", tmp_path / "other.index")
    assert locate(tmp_path / "other.index") is None
    assert locate(tmp_path / "absent") is None
    (tmp_path / "variables").mkdir()
    write_checkpoint(tmp_path / "variables" / "variables", {"a": random(2)})
    (tmp_path / "other.index").unlink()
    with pytest.raises(ImportRefused, match="SavedModel; its weights are the checkpoint variables/variables"):
        locate(tmp_path)


def test_a_saved_model_of_tensorflow_2_says_what_leads_on(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "variables").mkdir(parents=True)
    write_checkpoint(folder / "variables" / "variables", {OBJECT_GRAPH: random(2), "variables/0": random(2)})
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ImportRefused, match=r"this is a SavedModel, .*where the model was made.*model.keras"):
        load(folder)


def test_a_checkpoint_of_tensorflow_2_is_not_taken_for_one_of_tensorflow_1(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "weights", {OBJECT_GRAPH: random(2), "layer_with_weights-0/kernel": random(2, 3)})
    with pytest.raises(ImportRefused, match=r"a checkpoint of TensorFlow 2.*model.save\('model.keras'\)"):
        load(tmp_path / "weights")
    (tmp_path / "model.json").write_text(json.dumps(sequential(layer("Dense", "d", units=3, batch_input_shape=[None, 2]))))
    write_checkpoint(tmp_path / "first", {"rnn/lstm_cell/kernel": random(2, 3)})
    with pytest.raises(ImportRefused, match=r"option '--architecture': .*a checkpoint of TensorFlow 1, whose scopes tell"):
        load(tmp_path / "first", architecture=tmp_path / "model.json")


def test_the_first_format_is_told_by_its_single_file(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(table({b"": field(1, field(1, b""))}))
    with pytest.raises(ImportRefused, match="first format"):
        locate(tmp_path / "model.ckpt")


def _write(folder: Path, entries: dict[bytes, bytes], data: bytes) -> None:
    (folder / "model.index").write_bytes(table(entries))
    (folder / "model.data-00000-of-00001").write_bytes(data)


def _refused_or_the_same(folder: Path, index: bytes) -> None:
    shutil.copy(REAL.with_name("model.ckpt.data-00000-of-00001"), folder / "model.data-00000-of-00001")
    (folder / "model.index").write_bytes(index)
    real = Checkpoint.open(REAL)
    try:
        found = Checkpoint.open(folder / "model")
    except ImportRefused as refusal:
        assert "model.index" in str(refusal)  # noqa: PT017 - whether it is raised depends on the edits
        return
    assert found.entries == real.entries
