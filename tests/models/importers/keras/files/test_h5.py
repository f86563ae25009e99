"""Keras .h5 files: their places, their damages, and weights that come without an architecture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from tests.golden.cases import FOLDER
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, one_lstm, sequential, write_archive, write_h5


def test_a_whole_model(tmp_path: Path) -> None:
    arrays = lstm_arrays()
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": arrays})
    found = load(path)
    np.testing.assert_array_equal(found.weights.arrays["lstm_1.kernel"], arrays[0])
    assert (found.source.framework, found.source.version, found.source.file) == ("keras", "2.2.4", "m.h5")
    assert found.source.digest.startswith("sha256:")
    assert len(found.source.digest) == len("sha256:") + 64


def test_attributes_in_pieces_and_in_bytes(tmp_path: Path) -> None:
    plain = load(write_h5(tmp_path / "a.h5", one_lstm(), {"lstm_1": lstm_arrays()}))
    pieces = load(write_h5(tmp_path / "b.h5", one_lstm(), {"lstm_1": lstm_arrays()}, pieces=True, version=b"2.2.4"))
    assert pieces.spec == plain.spec
    assert pieces.weights.digest == plain.weights.digest


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_file_cut_short(tmp_path: Path, share: float) -> None:
    whole = (FOLDER / "seed2_k205tf_lstm128_lstm256.h5").read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImportRefused, match="damaged or cut short"):
        load(path)


def test_a_missing_array_names_its_layer(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": lstm_arrays()})
    with h5py.File(path, "r+") as file:
        del file["model_weights/lstm_1/lstm_1/array_1:0"]
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*array_1:0' is missing"):
        load(path)


def keras_3_weights(folder: Path, *layers: dict[str, Any], **places: list[np.ndarray]) -> tuple[Path, Path]:
    """What save_weights and to_json of Keras 3 leave, which name no release."""
    with h5py.File(folder / "m.weights.h5", "w") as file:
        for place, stored in places.items():
            for index, array in enumerate(stored):
                file.create_dataset(f"layers/{place}/vars/{index}", data=array)
    raws = [{"module": "keras.layers", **raw} for raw in layers]
    (folder / "m.json").write_text(json.dumps({"module": "keras", **sequential(*raws)}))
    return folder / "m.weights.h5", folder / "m.json"


def test_weights_of_keras_3_need_no_release_where_all_answer_the_same(tmp_path: Path) -> None:
    shown = layer("InputLayer", "x", batch_shape=[None, None, 2])
    weights, architecture = keras_3_weights(tmp_path, shown, lstm(), **{"lstm/cell": lstm_arrays()})
    found = load(weights, architecture=architecture)
    assert found.source.version.startswith("3.")
    assert any("does not say which Keras wrote it" in note for note in found.notes)
    weights, architecture = keras_3_weights(
        tmp_path, shown, lstm(), layer("UnitNormalization", "unit"), **{"lstm/cell": lstm_arrays()}
    )
    with pytest.raises(ImportRefused, match=r"layer 'unit'.*Keras 3\.0\.0 and 3\.6\.0 answer differently"):
        load(weights, architecture=architecture)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (lstm_arrays()[:2], "needs 3 weight arrays and the file holds 2"),
        ([*lstm_arrays(), np.zeros(3)], "holds 4 weight arrays for it, 3 are expected"),
        (lstm_arrays(units=2), r"kernel is \[2, 8\]"),
        (lstm_arrays(features=5), r"kernel is \[5, 12\] where \[2, 12\] is expected"),
    ],
)
def test_arrays_that_do_not_fit_name_their_layer(tmp_path: Path, arrays: list[np.ndarray], said: str) -> None:
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": arrays})
    with pytest.raises(ImportRefused, match=f"layer 'lstm_1'.*{said}"):
        load(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_weights_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    arrays = [array.astype(np.float64) for array in lstm_arrays()]
    arrays[1][2, 5] = bad
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": arrays})
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*recurrent_kernel holds 1 values that are NaN"):
        load(path)


def test_an_absurd_array_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": lstm_arrays()})
    with h5py.File(path, "r+") as file:
        group = file["model_weights/lstm_1/lstm_1"]
        del group["array_0:0"]
        group.create_dataset("array_0:0", shape=(1 << 30, 1 << 10), dtype="f4", chunks=(1 << 10, 1 << 10))
    with pytest.raises(ImportRefused, match="claims the shape"):
        load(path)


def test_an_array_that_unpacks_out_of_all_proportion(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": lstm_arrays()})
    with h5py.File(path, "r+") as file:
        group = file["model_weights/lstm_1/lstm_1"]
        del group["array_0:0"]
        group.create_dataset("array_0:0", shape=(1 << 14, 1 << 12), dtype="f4", chunks=(1 << 10, 1 << 10))
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*not believable"):
        load(path)


@pytest.mark.parametrize("manner", ["link", "storage", "virtual"])
def test_arrays_in_other_files_are_not_followed(tmp_path: Path, manner: str) -> None:
    secret = np.ones((2, 12), dtype=np.float32)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = secret
    (tmp_path / "other.bin").write_bytes(secret.tobytes())
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": lstm_arrays()})
    with h5py.File(path, "r+") as file:
        group = file["model_weights/lstm_1/lstm_1"]
        del group["array_0:0"]
        if manner == "link":
            group["array_0:0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
        elif manner == "storage":
            place = [(str(tmp_path / "other.bin"), 0, secret.nbytes)]
            group.create_dataset("array_0:0", shape=secret.shape, dtype="f4", external=place)
        else:
            layout = h5py.VirtualLayout(shape=secret.shape, dtype="f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", shape=secret.shape)
            group.create_virtual_dataset("array_0:0", layout)
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*lies in another file"):
        load(path)


def test_weights_alone_need_an_architecture(tmp_path: Path) -> None:
    weights = write_h5(tmp_path / "w.h5", None, {"lstm_1": lstm_arrays()})
    with pytest.raises(ImportRefused, match="--architecture"):
        load(weights)
    architecture = tmp_path / "model.json"
    architecture.write_text(json.dumps(one_lstm() | {"keras_version": "2.2.4", "backend": "tensorflow"}))
    whole = load(write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": lstm_arrays()}))
    found = load(weights, architecture=architecture)
    assert found.spec == whole.spec
    assert found.weights.digest == whole.weights.digest


def test_the_weights_file_of_keras_3_takes_an_architecture_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for index, array in enumerate(lstm_arrays()):
            file.create_dataset(f"layers/lstm/cell/vars/{index}", data=array)
    architecture = tmp_path / "model.json"
    architecture.write_text(json.dumps(one_lstm() | {"keras_version": "3.5.0"}))
    archive = load(write_archive(tmp_path / "m.keras", one_lstm(), {"layers/lstm/cell": lstm_arrays()}))
    assert load(tmp_path / "w.weights.h5", architecture=architecture).weights.digest == archive.weights.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "neither a class_name nor layers"),
        ('{"layers": []}', "only Sequential"),
        ("a: !!int x", "not YAML"),
    ],
)
def test_an_architecture_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    weights = write_h5(tmp_path / "w.h5", None, {"lstm_1": lstm_arrays()})
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ImportRefused, match=f"model.json.*{said}"):
        load(weights, architecture=tmp_path / "model.json")


def test_weights_of_other_layers_than_the_architectures(tmp_path: Path) -> None:
    weights = write_h5(tmp_path / "w.h5", None, {"lstm_1": lstm_arrays()})
    architecture = tmp_path / "model.json"
    model = sequential(lstm("lstm_9", batch_input_shape=[None, None, 2]), layer("Dense", "out", units=1))
    architecture.write_text(json.dumps(model | {"keras_version": "2.2.4"}))
    with pytest.raises(ImportRefused, match=r"layer 'lstm_9'.*no weights for it"):
        load(weights, architecture=architecture)


def test_a_file_that_says_no_version_and_whose_options_do_not_tell_it(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="not say which Keras version"):
        load(write_h5(tmp_path / "n.h5", one_lstm(), {"lstm_1": lstm_arrays()}, version=None))


def test_a_foreign_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_dataset("measurements", data=[1.0, 2.0])
    with pytest.raises(ImportRefused, match="without an architecture"):
        load(tmp_path / "data.h5")
    shutil.copy(tmp_path / "data.h5", tmp_path / "named.h5")
    with h5py.File(tmp_path / "named.h5", "r+") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(one_lstm()), "2.2.4"
    with pytest.raises(ImportRefused, match="holds no Keras weights"):
        load(tmp_path / "named.h5")


def test_what_a_description_may_say_of_a_keras_file(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": lstm_arrays()}, version="2.2.4")
    said = tmp_path / "said.yaml"
    said.write_text('keras_version: "2.2.4"')
    assert load(path, description=said).source.version == "2.2.4"
    said.write_text('keras_version: "1.2.2"')
    with pytest.raises(ImportRefused, match=r"says that Keras 2\.2\.4 wrote it, not 1\.2\.2"):
        load(path, description=said)
    said.write_text("nonlinearity: relu")
    with pytest.raises(ImportRefused, match="'nonlinearity': this has no meaning for a Keras model"):
        load(path, description=said)


def both_ways(*, frozen: bool = False) -> dict[str, Any]:
    inner = layer("LSTM", "inner", units=3, recurrent_activation="sigmoid", return_sequences=True, trainable=not frozen)
    return sequential(layer("Bidirectional", "both", layer=inner, batch_input_shape=[None, None, 2]))


def named(direction: str) -> list[str]:
    return [f"both/{direction}_inner/lstm_cell/{role}:0" for role in ("kernel", "recurrent_kernel", "bias")]


def test_arrays_are_read_by_name_whatever_their_order(tmp_path: Path) -> None:
    """The forward direction is frozen, so Keras wrote it last."""
    forward, backward = lstm_arrays(), lstm_arrays(seed=1)
    names = {"both": named("backward") + named("forward")}
    found = load(write_h5(tmp_path / "m.h5", both_ways(), {"both": [*backward, *forward]}, names=names, version="2.15.0"))
    np.testing.assert_array_equal(found.weights.arrays["both_forward.kernel"], forward[0])
    np.testing.assert_array_equal(found.weights.arrays["both_backward.bias"], backward[2])


@pytest.mark.parametrize(("order", "noted"), [(("backward", "forward"), True), (("forward", "backward"), False)])
def test_a_file_that_its_own_framework_would_mix_up_is_told_of(tmp_path: Path, order: tuple[str, str], noted: bool) -> None:
    names = {"both": [name for direction in order for name in named(direction)]}
    arrays = {"both": [*lstm_arrays(), *lstm_arrays(seed=1)]}
    found = load(write_h5(tmp_path / "m.h5", both_ways(), arrays, names=names, version="2.15.0"))
    assert any(note.startswith("both: ") and "tf.keras 2.15.0 goes by the order" in note for note in found.notes) == noted


def test_names_that_contradict_shapes_are_refused(tmp_path: Path) -> None:
    names = {"lstm_1": [f"lstm_1/{role}:0" for role in ("recurrent_kernel", "kernel", "bias")]}
    path = write_h5(tmp_path / "m.h5", one_lstm(), {"lstm_1": lstm_arrays()}, names=names)
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*kernel is \[3, 12\] where \[2, 12\] is expected"):
        load(path)


def test_names_that_do_not_tell_the_parts_apart_are_refused(tmp_path: Path) -> None:
    names = {"both": [f"both/{part}/{role}:0" for part in "ab" for role in ("kernel", "recurrent_kernel", "bias")]}
    arrays = {"both": [*lstm_arrays(), *lstm_arrays(seed=1)]}
    with pytest.raises(ImportRefused, match=r"layer 'both'.*do not tell which of them run forward"):
        load(write_h5(tmp_path / "m.h5", both_ways(), arrays, names=names))


def test_a_width_that_only_a_frozen_first_cell_knows(tmp_path: Path) -> None:
    cells = [layer("LSTMCell", name, units=3, activation="tanh", recurrent_activation="sigmoid") for name in ("one", "two")]
    first, second = lstm_arrays(), lstm_arrays(3, seed=1)
    names = {"s": [f"s/{name}/{role}:0" for name in ("two", "one") for role in ("kernel", "recurrent_kernel", "bias")]}
    model = sequential(layer("RNN", "s", cell=cells))
    found = load(write_h5(tmp_path / "m.h5", model, {"s": [*second, *first]}, names=names))
    assert found.spec.inputs[0].width == 2
    np.testing.assert_array_equal(found.weights.arrays["s.kernel"], second[0])


@pytest.mark.parametrize(("options", "scale"), [({"lora_rank": 2}, 1.0), ({"lora_rank": 2, "lora_alpha": 5}, 2.5)])
def test_what_lora_has_learnt_is_added(tmp_path: Path, options: dict[str, Any], scale: float) -> None:
    """Keras freezes the array that is adapted, so that it comes last; `.h5` alone keeps the parts apart."""
    random = np.random.default_rng(0)
    bias, low, high, kernel = (random.normal(size=shape).astype(np.float32) for shape in ((4,), (3, 3, 2), (2, 4), (3, 3, 4)))
    raw = layer("Conv1D", "c", filters=4, kernel_size=[3], **options)
    model = sequential(lstm(batch_input_shape=[None, None, 2], return_sequences=True), raw)
    names = {"c": [f"model/c/{name}" for name in ("bias", "lora_kernel_a", "lora_kernel_b", "kernel")]}
    arrays = {"lstm_1": lstm_arrays(), "c": [bias, low, high, kernel]}
    found = load(write_h5(tmp_path / "m.h5", model, arrays, version="3.15.0", names=names))
    np.testing.assert_allclose(found.weights.arrays["c.kernel"], kernel + scale * (low @ high), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.weights.arrays["c.bias"], bias)
    assert not any("goes by the order" in note for note in found.notes)


@pytest.mark.parametrize(("options", "rank"), [({"lora_rank": 2}, 3), ({}, 2)])
def test_what_lora_has_learnt_must_fit(tmp_path: Path, options: dict[str, Any], rank: int) -> None:
    names = {"d": [f"model/d/{name}" for name in ("bias", "lora_kernel_a", "lora_kernel_b", "kernel")]}
    arrays = [np.zeros(shape, np.float32) for shape in ((4,), (3, 2), (rank, 4), (3, 4))]
    model = sequential(lstm(batch_input_shape=[None, None, 2]), layer("Dense", "d", units=4, **options))
    path = write_h5(tmp_path / "m.h5", model, {"lstm_1": lstm_arrays(), "d": arrays}, version="3.15.0", names=names)
    with pytest.raises(ImportRefused, match="layer 'd': what LoRA has learnt lies beside its weights and does not fit them"):
        load(path)
