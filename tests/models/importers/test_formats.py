"""A file's kind is told from its content; what cannot be read safely is not read at all."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from cellserve.models.importers.formats import detect
from tests.golden.cases import FOLDER


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("k209tf_lstm_impl2_seq.h5", "keras_h5"),
        ("k3_gru_ra0.keras", "keras_archive"),
        ("pt_gru1.pt", "torch_zip"),
        ("pt_gru1.safetensors", "safetensors"),
        ("pt_gru1.npz", "arrays"),
    ],
)
def test_the_name_of_a_file_says_nothing(tmp_path: Path, file: str, name: str) -> None:
    misleading = tmp_path / "model.bin"
    shutil.copy(FOLDER / file, misleading)
    assert detect(misleading).name == name


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_plain_pickle_is_refused_unread(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(ImportRefused, match="pickle, which can run code"):
        load(path)


def test_torch_files_from_before_the_zip_format_are_pickles(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"weight": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ImportRefused, match="plain pickle"):
        load(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello, world, this is text", "no model file"),
        (b"PK\x03\x04 and then nothing", "damaged"),
    ],
)
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match=said):
        detect(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="No such file"):
        detect(tmp_path / "absent.h5")
    with pytest.raises(ImportRefused, match="folder holds no TensorFlow checkpoint"):
        detect(tmp_path)


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ImportRefused, match="neither a Keras model, a PyTorch state dict nor arrays"):
        detect(path)


@pytest.mark.parametrize("length", [0x0280, 0x0480, 0x4B50])
def test_the_length_of_a_safetensors_header_is_taken_for_nothing_else(tmp_path: Path, length: int) -> None:
    """Its first two bytes are those of a pickle, or of a zip archive."""
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(2, np.float32)}, path)
    content = path.read_bytes()
    own = int.from_bytes(content[:8], "little")
    path.write_bytes(length.to_bytes(8, "little") + content[8 : 8 + own].ljust(length) + content[8 + own :])
    assert detect(path).name == "safetensors"


def test_a_safetensors_file_cut_within_its_header(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(3, dtype=np.float32)}, path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ImportRefused, match="no model file"):
        detect(path)
