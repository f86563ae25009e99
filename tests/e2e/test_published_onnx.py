"""Trained ONNX files out of packages from PyPI, imported as a user would and served: onnxruntime's answers with the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from cellserve.service.client import Client
from deploy.demo.server import Server
from tests.e2e.compose import ROOT, CommandFailed, run
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

BITS = 0.05  # how far activations in eight bits lie from float32, of numbers up to about 10
HEIGHT = 64
WIDTHS = (96, 64, 120, 96)
NAMES = ("chatgptlogin", "mercedesbenz", "openaikey", "thequickbrownfox", "a")


def test_dksplit_cuts_words_without_its_eight_bits(tmp_path: Path) -> None:
    """Rows of several lengths in one request, each as onnxruntime answers it alone."""
    packages = interpreter("dksplit").parents[1]
    (file,) = packages.glob("lib/*/site-packages/dksplit/models/*.onnx")
    cellserve, repository = str(ROOT / ".venv/bin/cellserve"), str(tmp_path / "repository")
    with pytest.raises(CommandFailed, match="import it with --dequantize"):
        run(cellserve, "import", str(file), "--repository", repository)
    run(cellserve, "import", str(file), "--repository", repository, "--dequantize", "--name", "split", "--alias", "stable")
    ids = [np.array([ord(letter) - ord("a") + 2 for letter in name]) for name in NAMES]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with Server(tmp_path / "repository", tmp_path / "log") as address, Client(address.url) as client:
        for row, found in zip(ids, client.predict("split", ids), strict=True):
            (expected,) = session.run(None, {"chars": row[np.newaxis]})
            np.testing.assert_allclose(found, expected[0], atol=BITS, rtol=BITS)


@pytest.mark.parametrize(("name", "options", "near"), [("common", (), 1e-4), ("common_old", ("--dequantize",), 1.5)])
def test_ddddocr_reads_pictures_of_several_widths(name: str, options: tuple[str, ...], near: float, tmp_path: Path) -> None:
    """Convolutions carried over whole rows, LSTMs in the engine; each picture as onnxruntime answers it alone.

    The older file computes in eight bits: its numbers go up to 20, and what it reads is the largest of each step.
    """
    packages = interpreter("ddddocr").parents[1]
    (file,) = packages.glob(f"lib/*/site-packages/ddddocr/{name}.onnx")
    cellserve, repository = str(ROOT / ".venv/bin/cellserve"), str(tmp_path / "repository")
    run(cellserve, "import", str(file), "--repository", repository, "--name", "ocr", "--alias", "stable", *options)
    random = np.random.default_rng(0)
    pictures = [random.standard_normal((width, HEIGHT)).astype(np.float32) for width in WIDTHS]  # columns are the steps
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with Server(tmp_path / "repository", tmp_path / "log") as address, Client(address.url) as client:
        for picture, found in zip(pictures, client.predict("ocr", pictures), strict=True):
            (expected,) = session.run(None, {"input1": picture.T[np.newaxis, np.newaxis]})
            np.testing.assert_allclose(found, expected[:, 0], atol=near)
            np.testing.assert_array_equal(found.argmax(1), expected[:, 0].argmax(1))
