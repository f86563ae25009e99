"""Every kind of bad file, through the command line: a sentence that names it, exit code 2, and nothing published."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.importers.keras_files import (
    functional,
    layer,
    lstm,
    lstm_arrays,
    node,
    one_lstm,
    sequential,
    write_archive,
    write_h5,
)
from tests.service.cli.fakes import Shell

GOLDEN = Path(__file__).parents[2] / "golden"
IMPORTED = Path(__file__).parents[2] / "models" / "importers" / "files"
SHAPE = {"batch_input_shape": [None, None, 2]}


def cut_short(name: str, within: Path = GOLDEN) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        content = (within / name).read_bytes()
        path = folder / name
        path.write_bytes(content[: len(content) * 2 // 3])
        return path

    return make


def without_weights_of_export(folder: Path) -> Path:
    """The program whole, of its weights only what names them."""
    path = folder / "model.pt2"
    with zipfile.ZipFile(IMPORTED / "export_projected.pt2") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if not name.rpartition("/")[2].startswith("weight_"):
                target.writestr(name, source.read(name))
    return path


def h5(model: dict[str, object], arrays: dict[str, list[np.ndarray]]) -> Callable[[Path], Path]:
    return lambda folder: write_h5(folder / "model.h5", model, arrays)


def with_nan(folder: Path) -> Path:
    kernel, *rest = lstm_arrays()
    kernel[1, 2] = np.nan
    return write_h5(folder / "model.h5", one_lstm(), {"lstm_1": [kernel, *rest]})


def state_dict_with_infinity(folder: Path) -> Path:
    arrays = torch.nn.LSTM(3, 4).state_dict()
    arrays["bias_ih_l0"][0] = torch.inf
    torch.save(arrays, folder / "model.pt")
    return folder / "model.pt"


def pickle(folder: Path) -> Path:
    torch.save(torch.nn.LSTM(3, 4).state_dict(), folder / "model.pt", _use_new_zipfile_serialization=False)
    return folder / "model.pt"


def without_weights(folder: Path) -> Path:
    whole = GOLDEN / "k3_lstm_hard_sigmoid.keras"
    path = folder / whole.name
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if name != "model.weights.h5":
                target.writestr(name, source.read(name))
    return path


def bomb(folder: Path) -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        archive.writestr("config.json", json.dumps(one_lstm()))
        archive.writestr("model.weights.h5", bytes(32 << 20))
    return path


def cyclic() -> dict[str, object]:
    given = layer("InputLayer", "given", batch_input_shape=[None, None, 2])
    first, second = lstm("first", return_sequences=True), lstm("second", return_sequences=True)
    return functional([node(given), node(first, "second"), node(second, "first")], ["given"], [("second", 0)])


def checkpoint_without_its_data(folder: Path) -> Path:
    shutil.copytree(GOLDEN / "tf1_grucell.ckpt.d", folder / "saved")
    for data in (folder / "saved").glob("*.data-*"):
        data.unlink()
    return folder / "saved" / "model.ckpt"


THREE = {"lstm_1": lstm_arrays()}
BAD: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "truncated h5": (cut_short("k224tf_gru_ra1_bias1.h5"), ("damaged or cut short", "copy")),
    "truncated archive": (cut_short("k3_lstm_hard_sigmoid.keras"), ("damaged or cut short", "copy")),
    "truncated state dict": (cut_short("pt_lstm2_bi_proj.pt"), ("damaged or cut short", "copy")),
    "truncated safetensors": (cut_short("pt_lstm2_bi_proj.safetensors"), ("damaged", "copy")),
    "truncated arrays": (cut_short("k010_gru_seq.weights.npz"), ("damaged or cut short", "copy")),
    "truncated program of torch.export": (cut_short("export_projected.pt2", IMPORTED), ("damaged or cut short", "copy")),
    "program of torch.export without its weights": (without_weights_of_export, ("damaged",)),
    "truncated state dict of Paddle": (cut_short("paddle_projected.pdparams", IMPORTED), ("damaged or cut short", "copy")),
    "truncated TFLite": (cut_short("tfl_simple.tflite"), ("damaged or cut short", "copy")),
    "wrong shapes": (h5(one_lstm(), {"lstm_1": lstm_arrays(units=4)}), ("layer 'lstm_1'", "expected")),
    "missing arrays": (h5(one_lstm(), {"lstm_1": lstm_arrays()[:2]}), ("layer 'lstm_1'", "needs 3 weight arrays")),
    "arrays too many": (h5(one_lstm(), {"lstm_1": [*lstm_arrays(), np.ones(3)]}), ("layer 'lstm_1'", "3 are expected")),
    "no weights in the archive": (without_weights, ("holds no model.weights.h5",)),
    "NaN": (with_nan, ("layer 'lstm_1'", "kernel", "NaN")),
    "infinity": (state_dict_with_infinity, ("layer 'lstm_l0'", "infinite")),
    "unknown layer": (h5(sequential(layer("Capsule", "caps", **SHAPE)), {"caps": []}), ("layer 'caps'", "Capsule", "supported")),
    "code": (h5(sequential(layer("Lambda", "code", **SHAPE)), {"code": []}), ("layer 'code'", "never run")),
    "unknown activation": (
        h5(one_lstm(activation="snake"), THREE),
        ("layer 'lstm_1': option 'activation'", "'snake'", "known ones"),
    ),
    "unknown option": (h5(one_lstm(zoneout=0.1), THREE), ("layer 'lstm_1': option 'zoneout'", "save the model without it")),
    "cyclic graph": (h5(cyclic(), {"first": lstm_arrays(3), "second": lstm_arrays(3)}), ("layer 'first'", "cyclic")),
    "plain pickle": (pickle, ("plain pickle", "none is opened but of arrays", "safetensors")),
    "bomb": (bomb, ("not believable",)),
    "empty file": (lambda folder: write(folder, b""), ("the file is empty",)),
    "something else": (lambda folder: write(folder, b"%PDF-1.7 nothing to serve"), ("no model file",)),
    "checkpoint without its data": (checkpoint_without_its_data, ("model.ckpt", "data")),
    "archive of a later form": (
        lambda folder: write_archive(
            folder / "model.keras", {"class_name": "Transformer", "config": {}}, {"layers/lstm": lstm_arrays()}
        ),
        ("'Transformer'",),
    ),
}


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.h5"
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("read_here")
@pytest.mark.parametrize("command", ["import", "inspect"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_sentence(kind: str, command: str, shell: Shell, tmp_path: Path) -> None:
    make, words = BAD[kind]
    path = make(tmp_path)
    result = shell(command, str(path))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    complaints = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(complaints) == 1
    assert str(path) in complaints[0]
    for word in words:
        assert word in complaints[0]
    assert "Traceback" not in result.stderr
    assert not shell.root.exists()
