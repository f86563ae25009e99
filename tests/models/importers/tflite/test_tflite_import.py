"""TFLite files as the converter and people write them: what becomes of lengths, rows and few bits, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cellserve.models import importers, reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel
from cellserve.models.importers.description import Description
from cellserve.models.importers.tflite import importing
from cellserve.models.importers.tflite.file import Graph, Operator, Scales, Tensor, TfliteFile

Array = npt.NDArray[Any]
GOLDEN = Path(__file__).parents[3] / "golden"
LSTM, WIDTH, UNITS, STEPS = "UNIDIRECTIONAL_SEQUENCE_LSTM", 3, 4, 6
RANDOM = np.random.default_rng(3)


class Program:
    """A graph of one input, written operator by operator."""

    def __init__(self, shape: tuple[int, ...] = (1, STEPS, WIDTH)) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.last = self.tensor(shape)

    def tensor(self, shape: tuple[int, ...], array: Array | None = None, kind: str = "FLOAT32", **more: Any) -> int:
        given = {"free": (False,) * len(shape), "variable": False, "scales": None, **more}
        self.tensors.append(Tensor(f"t{len(self.tensors)}", kind, shape, array=array, **given))
        return len(self.tensors) - 1

    def constant(self, *numbers: Any, kind: str = "INT32") -> int:
        array = np.array(numbers, np.int32)
        return self.tensor(array.shape, array, kind)

    def weights(self, *shape: int, bits: str | None = None) -> int:
        array = RANDOM.normal(scale=0.5, size=shape).astype(np.float32)
        if bits is None:
            return self.tensor(shape, array)
        scales = Scales(np.array([0.01], np.float32), np.array([0]), 0)
        return self.tensor(shape, np.round(array / 0.01).clip(-127, 127).astype(np.int8), bits, scales=scales)

    def add(self, kind: str, shape: tuple[int, ...], *inputs: int, **options: Any) -> Program:
        made = self.tensor(shape)
        self.operators.append(Operator(kind, (self.last, *inputs), (made,), options))
        self.last = made
        return self

    def lstm(self, changed: Mapping[int, int] | None = None, bits: str | None = None, **options: Any) -> Program:
        """changed: places of inputs with other tensors than those of a plain one."""
        kernels = [self.weights(UNITS, WIDTH, bits=bits) for _ in range(4)] + [
            self.weights(UNITS, UNITS, bits=bits) for _ in range(4)
        ]
        biases, states = [self.weights(UNITS) for _ in range(4)], [self.tensor((1, UNITS), variable=True) for _ in range(2)]
        inputs = [*kernels, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
        for place, number in (changed or {}).items():
            inputs[place - 1] = number
        return self.add(LSTM, (1, STEPS, UNITS), *inputs, FusedActivationFunction=4, **options)

    def dense(self, shape: tuple[int, ...], bits: str | None = None) -> Program:
        return self.add("FULLY_CONNECTED", shape, self.weights(2, UNITS, bits=bits), -1)

    def file(self) -> TfliteFile:
        return TfliteFile(Path("model.tflite"), (Graph(tuple(self.tensors), (0,), (self.last,), tuple(self.operators)),), "test")


def read(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **said: Any) -> ImportedModel:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"written by a test")
    monkeypatch.setattr(importing, "read_tflite", lambda _: program.file())
    return importing.load_tflite(path, Description.model_validate(said))


def refusal(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    with pytest.raises(ImportRefused) as caught:
        read(program, monkeypatch, tmp_path)
    return str(caught.value)


def test_a_length_that_only_the_example_had_is_not_kept() -> None:
    model = importers.load(GOLDEN / "tfl_keras.tflite")
    assert [entry.time_steps for entry in model.spec.inputs] == [None]
    assert any("start from zeros in every request" in note for note in model.notes)


def test_the_bound_that_the_converter_gives_cells_of_keras_is_served() -> None:
    model = importers.load(GOLDEN / "tfl_lstm2.tflite")
    assert [layer.cell_clip for layer in model.spec.recurrent_layers] == [10.0, 10.0]  # type: ignore[attr-defined]


def test_shapes_of_one_row_do_not_keep_others_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the converter writes a product at every step: all steps of the one row as rows, and back."""
    program = Program().lstm()
    program.add("RESHAPE", (STEPS, UNITS), program.constant(STEPS, UNITS)).dense((STEPS, 2))
    program.add("RESHAPE", (1, STEPS, 2), program.constant(1, STEPS, 2)).add("SOFTMAX", (1, STEPS, 2), Beta=1.0)
    model = read(program, monkeypatch, tmp_path)
    assert [layer.kind for layer in model.spec.layers] == ["lstm", "dense"]
    assert [entry.time_steps for entry in model.spec.inputs] == [STEPS]
    x = RANDOM.normal(size=(3, STEPS, WIDTH)).astype(np.float32)
    together, _ = reference.run(model.spec, model.weights.arrays, [x], [STEPS] * 3)
    alone, _ = reference.run(model.spec, model.weights.arrays, [x[2:]], [STEPS])
    assert together[0].shape == (3, STEPS, 2)
    np.testing.assert_allclose(together[0][2:], alone[0])


def test_weights_of_few_bits_are_dequantised_where_one_asks_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = Program().lstm(bits="INT8").dense((1, STEPS, 2), bits="INT8")
    said = refusal(program, monkeypatch, tmp_path)
    assert "computes with numbers of few bits (int8)" in said
    assert "--dequantize" in said
    model = read(program, monkeypatch, tmp_path, dequantize=True)
    assert "weights are dequantised" in model.notes[0]
    stored = program.tensors[program.operators[0].inputs[2]].array
    assert stored is not None
    kernel = model.weights.arrays[f"{model.spec.layers[0].name}.kernel"]
    np.testing.assert_array_equal(kernel[:, UNITS : 2 * UNITS], (stored.T * np.float64(np.float32(0.01))).astype(np.float32))


@pytest.mark.parametrize(
    ("place", "shape", "what"),
    [(16, (UNITS, UNITS), "projects its outputs"), (20, (UNITS,), "normalises its gates")],
)
def test_cells_that_are_none_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: int, shape: tuple[int, ...], what: str
) -> None:
    program = Program()
    program.lstm({place: program.weights(*shape)})
    said = refusal(program, monkeypatch, tmp_path)
    assert what in said
    assert ".keras" in said


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("SVDF", "it is a single step \\(SVDF\\)"),
        ("FULLY_CONNECTED", "it has no recurrent operator"),
        ("WHILE", "as a loop of single operators"),
    ],
)
def test_programs_without_a_recurrent_operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, what: str) -> None:
    program = Program()
    program.add(kind, (1, STEPS, WIDTH), program.weights(WIDTH, WIDTH), -1)
    with pytest.raises(ImportRefused, match=f"{what}.*that it was converted from"):
        read(program, monkeypatch, tmp_path)


def test_an_operator_that_nothing_here_reads_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = refusal(Program().lstm().add("CUMSUM", (1, STEPS, UNITS)), monkeypatch, tmp_path)
    assert "CUMSUM is no operator" in said


def test_weights_that_do_not_fit_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = Program()
    program.lstm({6: program.weights(UNITS, UNITS + 1)})
    assert "do not fit together" in refusal(program, monkeypatch, tmp_path)
