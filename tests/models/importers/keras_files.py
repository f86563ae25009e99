"""Writes Keras files as Keras lays them out, so that tests can make each kind of good and bad file they need."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Layer = dict[str, Any]
Arrays = Mapping[str, Sequence[np.ndarray]]  # by layer, in the order of get_weights()


def layer(class_name: str, name: str, **config: Any) -> Layer:
    return {"class_name": class_name, "config": {"name": name, **config}}


def node(raw: Layer, *sources: str | tuple[str, int], **keywords: Any) -> Layer:
    """A layer of a functional model in the form of Keras 2."""
    keys = [(source, 0) if isinstance(source, str) else source for source in sources]
    inbound = [[[name, 0, index, keywords if not place else {}] for place, (name, index) in enumerate(keys)]] if keys else []
    return {**raw, "name": raw["config"]["name"], "inbound_nodes": inbound}


def sequential(*layers: Layer) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(layers)}}


def functional(layers: Sequence[Layer], inputs: Sequence[str], outputs: Sequence[tuple[str, int]]) -> dict[str, Any]:
    config = {
        "name": "model",
        "layers": list(layers),
        "input_layers": [[name, 0, 0] for name in inputs],
        "output_layers": [[name, 0, index] for name, index in outputs],
    }
    return {"class_name": "Functional", "config": config}


def lstm_arrays(features: int = 2, units: int = 3, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = ((features, 4 * units), (units, 4 * units), (4 * units,))
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def lstm(name: str = "lstm_1", units: int = 3, **options: Any) -> Layer:
    return layer("LSTM", name, **{"units": units, "activation": "tanh", "recurrent_activation": "sigmoid", **options})


def one_lstm(**options: Any) -> dict[str, Any]:
    return sequential(lstm(batch_input_shape=[None, None, 2], **options))


def write_h5(
    path: Path,
    model: Mapping[str, Any] | None,
    arrays: Arrays,
    *,
    version: str | bytes | None = "2.2.4",
    backend: str = "tensorflow",
    pieces: bool = False,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """A whole model, or with `model` None weights alone at the root. `pieces`: attributes split as Keras splits long ones.

    `names`: of the arrays, by layer; without, they say nothing.
    """
    with h5py.File(path, "w") as file:
        if model is not None:
            file.attrs["model_config"] = json.dumps(model)
        if version is not None:
            file.attrs["keras_version"] = version
        file.attrs["backend"] = backend
        group = file.create_group("model_weights") if model is not None else file
        _write_names(group, "layer_names", list(arrays), pieces)
        for name, stored in arrays.items():
            own_names = list((names or {}).get(name) or (f"{name}/array_{index}:0" for index in range(len(stored))))
            own = group.create_group(name)
            _write_names(own, "weight_names", own_names, pieces)
            for array_name, array in zip(own_names, stored, strict=True):
                own.create_dataset(array_name, data=array)
    return path


def write_archive(
    path: Path, model: Mapping[str, Any], arrays: Mapping[str, Sequence[np.ndarray]], *, version: str = "3.5.0"
) -> Path:
    """`arrays`: by place in the archive ("layers/lstm/cell")."""
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        for place, own in arrays.items():
            for index, array in enumerate(own):
                file.create_dataset(f"{place}/vars/{index}", data=array)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", stored.getvalue())
    return path


def _write_names(group: h5py.Group, attribute: str, names: list[str], pieces: bool) -> None:
    if not pieces:
        group.attrs[attribute] = [name.encode() for name in names]
        return
    for index, name in enumerate(names):
        group.attrs[f"{attribute}{index}"] = [name.encode()]
