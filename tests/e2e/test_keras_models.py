"""Random small models that Keras 3 and tf-keras wrote themselves, with parts frozen, nested and shared: imported, same answers.

KERAS_MODELS and KERAS_SEED in the environment do another number of each, or others. A failure tells its seed and its layers.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models import importers, reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel
from cellserve.models.measuring import parity
from tests.e2e.foreign import ForeignClient
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

FRAMEWORKS = {"keras": "keras", "tf_keras": "tf-keras"}  # by the module that is imported: its environment
MODELS = int(os.environ.get("KERAS_MODELS", 250))
FIRST_SEED = int(os.environ.get("KERAS_SEED", 0))
MODELS_PER_PROCESS = 25
PROCESSES = 2
PATIENCE_SECONDS = 900.0  # for the models of one process
GATED = 10  # one model in so many also passes the gate, in every implementation
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
ORDER_NOTE = "goes by the order"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_models_answer_as_when_they_were_saved(framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = ForeignClient(interpreter(FRAMEWORKS[framework]), "keras_models.py", (framework, str(tmp_path)), PATIENCE_SECONDS)
    seeds = [str(seed) for seed in range(FIRST_SEED, FIRST_SEED + MODELS)]
    shares = [seeds[start : start + MODELS_PER_PROCESS] for start in range(0, MODELS, MODELS_PER_PROCESS)]
    met: Counter[str] = Counter()
    with ThreadPoolExecutor(PROCESSES) as pool:
        for told in (one for share in pool.map(lambda share: writer.run("write", *share), shares) for one in share):
            met.update(told["layers"])
            met[f"reloaded: {told['reloads']}" if told["reloads"] in ("yes", "no") else "not reloaded"] += 1
            met["put in order"] += check(told)
    with capsys.disabled():
        print(f"\n{MODELS} models of {framework}: {', '.join(f'{name} {count}' for name, count in met.most_common())}")
    assert met["put in order"] > 0 or MODELS < 50


def check(told: dict[str, Any]) -> bool:
    """Whether its arrays lay in another order than the framework expects, which a note must say where it reloads them wrongly."""
    what = f"seed {told['seed']}: {told['file']}, {told['layers']}"
    model = imported(Path(told["file"]), None if told["architecture"] is None else Path(told["architecture"]), told["version"])
    with np.load(told["answers"]) as stored:
        expected = stored["expected"]
        inputs = [stored[f"x{index}"] for index in range(len(stored.files) - 1)]
    np.testing.assert_allclose(answer(model, inputs), expected, **TOLERANCE, err_msg=what)
    noted = any(ORDER_NOTE in note for note in model.notes)
    assert noted or told["reloads"] != "no", f"{what} is reloaded otherwise, and no note says so"
    assert not noted or told["reloads"] != "yes", f"{what} is reloaded rightly, and a note denies it"
    if told["seed"] % GATED == 0:
        parity.check(model.spec, model.weights)
    return noted


def imported(file: Path, architecture: Path | None, version: str) -> ImportedModel:
    """With the release named where the file does not say it and the import must know it."""
    try:
        return importers.load(file, architecture=architecture)
    except ImportRefused as refusal:
        if "name the release" not in str(refusal):
            raise
    description = file.with_suffix(".yaml")
    description.write_text(f'keras_version: "{version}"\n')
    return importers.load(file, architecture=architecture, description=description)


def answer(model: ImportedModel, inputs: list[np.ndarray]) -> np.ndarray:
    as_declared = [
        given.astype(np.int64) if one.kind == "ids" else given for one, given in zip(model.spec.inputs, inputs, strict=True)
    ]
    rows, steps = inputs[0].shape[:2]
    (answered,), _ = reference.run(model.spec, model.weights.arrays, as_declared, [steps] * rows)
    return answered
