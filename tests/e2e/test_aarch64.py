"""The packed kernel on aarch64, whose NEON no machine at hand needs to have: compiled by ziglang, run under qemu.

Its numbers are those of the plain path here, but for where instructions fuse; each row's are the same to the last bit in any
company.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.cells import LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.packed import library
from cellserve.models.implementations.packed.description import FUNCTIONS, CellDescription, contiguous
from cellserve.models.implementations.packed.layer import PackedLayer
from tests.models.implementations.test_packed import LAYERS
from tests.models.networks import chain, random_weights

Array = NDArray[np.float32]

QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
NATIVE = Path(library.__file__).with_name("native")
INPUTS = 7
ARRAYS = ("kernel", "recurrent_kernel", "bias", "recurrent_bias", "peepholes", "projection")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        QEMU is None or find_spec("ziglang") is None or bool(library.missing()),
        reason="needs qemu-aarch64 (Debian: qemu-user-static), the package ziglang and the kernel here",
    ),
]


class Answer(NamedTuple):
    outputs: Array  # [T, B, width]
    h: Array  # [B, width]
    c: Array  # [B, units]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel's plain path and a program around it, for another machine."""
    program = tmp_path_factory.mktemp("aarch64") / "driver"
    flags = ["-std=c++17", "-O3", "-fno-exceptions", "-fno-rtti", "-ffp-contract=off", "-fno-math-errno", "-DPACKED_PATH=plain"]
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-mcpu=baseline", "-static", *flags]
    sources = [Path(__file__).parent / "aarch64" / "driver.cpp", NATIVE / "packed.cpp", NATIVE / "path.cpp"]
    subprocess.run([*zig, f"-I{NATIVE}", *sources, "-lm", "-o", program], check=True)
    machine = program.read_bytes()[18:20]
    assert machine == (183).to_bytes(2, "little")  # EM_AARCH64
    return program


def weights_of(layer: RecurrentLayer) -> dict[str, Array]:
    spec = chain(layer, width=INPUTS)
    return {name.rpartition(".")[2]: np.asarray(array) for name, array in random_weights(spec).arrays.items()}


def there(
    driver: Path, layer: RecurrentLayer, weights: dict[str, Array], x: Array, lengths: list[int], h: Array, c: Array
) -> Answer:
    """On aarch64."""
    arrays = contiguous(weights)
    cell = CellDescription.of(layer, arrays)
    told = bytes(cell)[: CellDescription.kernel.offset]
    parts = [told]
    for name in ARRAYS:
        given = arrays.get(name, np.zeros(0))
        parts += (np.int32(given.size).tobytes(), np.ascontiguousarray(given, np.float32).tobytes())
    steps, rows, _ = x.shape
    parts.append(np.array([rows, steps, h.shape[1], c.shape[1], *lengths], np.int32).tobytes())
    for given in (x, h, c):
        parts += (np.int32(given.size).tobytes(), np.ascontiguousarray(given, np.float32).tobytes())
    answer = subprocess.run([str(QEMU), str(driver)], input=b"".join(parts), stdout=subprocess.PIPE, check=True).stdout
    numbers = np.frombuffer(answer, np.float32)
    first, second = steps * rows * h.shape[1], steps * rows * h.shape[1] + h.size
    return Answer(
        numbers[:first].reshape(steps, rows, -1), numbers[first:second].reshape(h.shape), numbers[second:].reshape(c.shape)
    )


def here(layer: RecurrentLayer, weights: dict[str, Array], x: Array, lengths: list[int], h: Array, c: Array) -> Answer:
    h, c = h.copy(), c.copy()
    states = (h, c) if isinstance(layer, LstmLayer) else (h,)
    outputs = PackedLayer(library.loaded(), layer, weights, b"plain").run(x, lengths, states)
    return Answer(outputs, h, c)


@pytest.mark.parametrize("units", [1, 5, 16, 33, 64])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_cell_computes_there_what_it_computes_here(driver: Path, kind: str, units: int) -> None:
    made, options = LAYERS[kind]
    layer = made(name="l", inputs=("x",), units=units, **options)
    weights = weights_of(layer)
    draw = np.random.default_rng(units)
    lengths = [9, 1, 4, 9, 7]
    x = draw.normal(size=(9, len(lengths), INPUTS)).astype(np.float32)
    h = draw.normal(size=(len(lengths), layer.output_units)).astype(np.float32)
    c = draw.normal(size=(len(lengths), units)).astype(np.float32)
    found = there(driver, layer, weights, x, lengths, h, c)
    for one, other in zip(found, here(layer, weights, x, lengths, h, c), strict=True):
        assert np.abs(one - other).max() < 2e-6
    for row, length in enumerate(lengths):
        alone = there(driver, layer, weights, x[:, [row]], [length], h[[row]], c[[row]])
        assert np.array_equal(found.outputs[:, row], alone.outputs[:, 0])
        assert np.array_equal(found.h[row], alone.h[0])


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "softmax"])
def test_every_function_is_there_what_it_is_here(driver: Path, name: str) -> None:
    layer = SimpleRnnLayer(name="l", inputs=("x",), units=19, activation=Activation(name=name))
    weights = {array: 0.3 * given for array, given in weights_of(layer).items()}
    x = np.random.default_rng(1).normal(size=(3, 2, INPUTS)).astype(np.float32)
    h, c = np.zeros((2, 19), np.float32), np.zeros((2, 19), np.float32)
    found, expected = there(driver, layer, weights, x, [3, 2], h, c), here(layer, weights, x, [3, 2], h, c)
    assert np.abs(found.outputs - expected.outputs).max() < 2e-6
