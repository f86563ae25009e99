"""State dicts of Paddle: served as Paddle answers them; of pickles nothing is read but arrays, and nothing of them runs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cellserve.models import reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load

FILES = Path(__file__).parents[1] / "files"
DESCRIPTIONS: Mapping[str, Mapping[str, Any]] = {
    "words": {"head": "sequence"},
    "projected": {"nonlinearity": "relu"},
    "around": {
        "inputs": [{"name": "x", "width": 3}],
        "layout": "torch",
        "layers": [
            {"kind": "conv1d", "units": 4, "kernel_size": 3, "arrays": ["conv.weight", "conv.bias"]},
            {
                "kind": "batch_normalization",
                "arrays": ["norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"],
            },
            {
                "kind": "gru",
                "units": 5,
                "reset_after": True,
                "return_sequences": True,
                "arrays": [f"rnn.cell.{own}" for own in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")],
            },
            {"kind": "layer_normalization", "arrays": ["after.weight", "after.bias"]},
            {"kind": "dense", "units": 2, "arrays": ["head.weight", "head.bias"]},
        ],
    },
}


def imported(path: Path, folder: Path, **said: Any) -> ImportedModel:
    (folder / "description.yaml").write_text(yaml.safe_dump(said))
    model = load(path, description=folder / "description.yaml")
    assert isinstance(model, ImportedModel)
    return model


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_state_dict_is_answered_as_paddle_answers_it(tmp_path: Path, case: str) -> None:
    model = imported(FILES / f"paddle_{case}.pdparams", tmp_path, **DESCRIPTIONS[case])
    with np.load(FILES / f"paddle_{case}.npz") as arrays:
        x, expected = arrays["x0"], arrays["y0"]
    (found,), _ = reference.run(model.spec, model.weights.arrays, (x,), [6, 6])
    np.testing.assert_allclose(found[:, : expected.shape[1]], expected, rtol=1e-5, atol=2e-6)
    assert model.source.framework == "paddle"


def test_what_was_done_to_the_arrays_is_told(tmp_path: Path) -> None:
    notes = imported(FILES / "paddle_projected.pdparams", tmp_path, nonlinearity="relu").notes
    twice = "The file lists every array of rnn, second twice, as the layer's own and as its cell's: they were read once."
    assert notes[:2] == (twice, "As Paddle has them turned, the matrices of head were turned.")


def test_what_is_not_wired_by_itself_gets_a_proposal() -> None:
    with pytest.raises(ImportRefused) as caught:
        load(FILES / "paddle_around.pdparams")
    assert "arrays: [norm.weight, norm.bias, norm.running_mean, norm.running_var]" in str(getattr(caught.value, "proposal", ""))


def gru(**more: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (6, 3), "weight_hh_l0": (6, 2), "bias_ih_l0": (6,), "bias_hh_l0": (6,)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} | more


def saved(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_every_protocol_and_age(tmp_path: Path, protocol: int) -> None:
    """Releases before 2.1 wrote a pair of each array and its name."""
    expected = gru()
    pairs = {name: (f"gru_cell_0.w_{number}", array) for number, (name, array) in enumerate(gru().items())}
    path = saved(tmp_path / "model.pdparams", {"StructuredToParameterName@@": {}, **pairs}, protocol)
    kernel = imported(path, tmp_path).weights.arrays["gru_l0.kernel"]
    np.testing.assert_array_equal(np.sort(kernel, axis=None), np.sort(expected["weight_ih_l0"], axis=None))


def test_arrays_in_other_orders_and_types(tmp_path: Path) -> None:
    """Columns first, big-endian, and bfloat16, which Paddle keeps as whole numbers of 16 bits."""
    plain = {name: (array.view(np.uint32) >> 16 << 16).view(np.float32) for name, array in gru().items()}
    odd = dict(plain)
    odd["weight_ih_l0"] = np.asfortranarray(plain["weight_ih_l0"])
    odd["weight_hh_l0"] = plain["weight_hh_l0"].astype(">f4")
    odd["bias_ih_l0"] = (plain["bias_ih_l0"].view(np.uint32) >> 16).astype(np.uint16)
    found = imported(saved(tmp_path / "odd.pdparams", odd), tmp_path).weights.arrays
    for name, array in imported(saved(tmp_path / "plain.pdparams", plain), tmp_path).weights.arrays.items():
        np.testing.assert_array_equal(found[name], array)


def refusal(path: Path) -> str:
    with pytest.raises(ImportRefused) as caught:
        load(path)
    return str(caught.value)


class Runs:
    """What a pickle can do to whoever reads it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_whatever_else_a_pickle_names_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pdparams", gru(more=Runs(tmp_path / "trace")))
    assert "this is a pickle of more than arrays: it names " in refusal(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], 5])
def test_a_pickle_without_arrays_is_called_a_plain_one(tmp_path: Path, content: object) -> None:
    assert "this is a plain pickle, which can run code when it is read" in refusal(saved(tmp_path / "model.pkl", content))


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pdparams", gru(names=np.array(["a", None], object)))
    assert "it holds an array of objects" in refusal(path)


def test_a_damaged_file_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    whole, random = (FILES / "paddle_projected.pdparams").read_bytes(), np.random.default_rng(0)
    for number in range(150):
        content = bytearray(whole[: random.integers(2, len(whole))] if number % 10 == 0 else whole)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            content[place] ^= 1 << int(random.integers(8))
        (tmp_path / "model.pdparams").write_bytes(content)
        with suppress(ImportRefused):
            load(tmp_path / "model.pdparams")
