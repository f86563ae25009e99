"""Keras's .keras archives: where arrays lie, and archives that are damaged or dishonest."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from tests.golden.cases import FOLDER
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, one_lstm, sequential, write_archive


def test_layers_of_one_class_are_told_apart_by_their_order(tmp_path: Path) -> None:
    model = sequential(
        layer("InputLayer", "in", batch_shape=[None, None, 2]), lstm("second_name", return_sequences=True), lstm("a_first_name")
    )
    first, second = lstm_arrays(2), lstm_arrays(3, seed=1)
    path = write_archive(
        tmp_path / "m.keras", model, {"layers/lstm": [], "layers/lstm/cell": first, "layers/lstm_1/cell": second}
    )
    arrays = load(path).weights.arrays
    np.testing.assert_array_equal(arrays["second_name.kernel"], first[0])
    np.testing.assert_array_equal(arrays["a_first_name.kernel"], second[0])


def test_the_older_root_of_tf_keras(tmp_path: Path) -> None:
    new = load(write_archive(tmp_path / "a.keras", one_lstm(), {"layers/lstm/cell": lstm_arrays()}, version="2.12.0"))
    old = load(
        write_archive(
            tmp_path / "b.keras", one_lstm(), {"_layer_checkpoint_dependencies/lstm/cell": lstm_arrays()}, version="2.12.0"
        )
    )
    assert old.weights.digest == new.weights.digest
    assert old.source.framework == "tf.keras"


@pytest.mark.parametrize("missing", ["metadata.json", "model.weights.h5"])
def test_an_archive_without_one_of_its_parts(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(FOLDER / "k3_gru_ra0.keras") as whole, zipfile.ZipFile(path, "w") as part:
        for name in whole.namelist():
            if name != missing:
                part.writestr(name, whole.read(name))
    with pytest.raises(ImportRefused, match=f"holds no {missing}"):
        load(path)


def test_an_archive_cut_short(tmp_path: Path) -> None:
    whole = (FOLDER / "k3_gru_ra0.keras").read_bytes()
    path = tmp_path / "m.keras"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImportRefused, match="damaged or cut short"):
        load(path)


def test_arrays_cut_short_inside_a_sound_archive(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(FOLDER / "k3_gru_ra0.keras") as whole, zipfile.ZipFile(path, "w") as part:
        for name in whole.namelist():
            content = whole.read(name)
            part.writestr(name, content[: len(content) // 2] if name.endswith(".h5") else content)
    with pytest.raises(ImportRefused, match="damaged or cut short"):
        load(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        archive.writestr("config.json", json.dumps(one_lstm()))
        archive.writestr("model.weights.h5", b"\0" * (64 << 20))
    with pytest.raises(ImportRefused, match="not believable"):
        load(path)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"layers/gru/cell": lstm_arrays()}, "no weights for it"),
        ({"layers/lstm/cell": lstm_arrays()[:1]}, "needs 3 weight arrays and the file holds 1"),
        ({"other": lstm_arrays()}, "holds no layers"),
    ],
)
def test_arrays_in_other_places(tmp_path: Path, places: dict[str, list[np.ndarray]], said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        load(write_archive(tmp_path / "m.keras", one_lstm(), places))


@pytest.mark.parametrize("second", ["out", "dense_end"])
def test_layers_of_a_subclassed_model_by_its_attributes(tmp_path: Path, second: str) -> None:
    """Keras 3 comes to `encoder` and `dense_end` before it comes to the list `layers`, and to `out` in that list."""
    model = sequential(lstm("encoder", batch_input_shape=[None, None, 2]), layer("Dense", second, units=4))
    kernel, bias = np.ones((3, 4), np.float32), np.ones(4, np.float32)
    place = "layers/dense" if second == "out" else second
    arrays = {"encoder/cell": lstm_arrays(), place: [kernel, bias]}
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file.create_group("vars")
        for there, own in arrays.items():
            for index, array in enumerate(own):
                file.create_dataset(f"{there}/vars/{index}", data=array)
    (tmp_path / "model.json").write_text(json.dumps({**model, "keras_version": "3.5.0"}))
    found = load(tmp_path / "a.weights.h5", architecture=tmp_path / "model.json").weights.arrays
    np.testing.assert_array_equal(found["encoder.kernel"], lstm_arrays()[0])
    np.testing.assert_array_equal(found[f"{second}.kernel"], kernel)


def test_hard_sigmoid_means_what_the_archives_keras_meant(tmp_path: Path) -> None:
    for version, meaning in (("3.5.0", "hard_sigmoid_relu6"), ("2.15.0", "hard_sigmoid")):
        model = one_lstm(recurrent_activation="hard_sigmoid")
        found = load(write_archive(tmp_path / f"{version}.keras", model, {"layers/lstm/cell": lstm_arrays()}, version=version))
        assert found.spec.recurrent_layers[0].recurrent_activation.name == meaning
