"""Whether onnx's own reference, by which a version is judged, says the same of a part as onnxruntime. Knows no nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.carried import CarriedStepsLayer
from cellserve.models.importers.onnx.carrying.part import as_text
from cellserve.models.importers.onnx.carrying.trial import Trial
from cellserve.models.importers.onnx.values import NotTranslated
from cellserve.models.numerics.carried import Run
from cellserve.models.reference.layers import twin_of

Array = npt.NDArray[Any]
NEAR: Final = 1e-3  # of the largest number, as where a whole file is held against its layers
STEPS: Final = (7, 29)


def refuse_unless_judged(content: bytes, arrays: Mapping[str, Array], trial: Trial, run: Run) -> None:
    """Raises NotTranslated: it does not compute the part, or computes something else."""
    layer = CarriedStepsLayer(name="part", inputs=("x",), graph=as_text(content), units=1)
    twin = twin_of(layer)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    for steps in trial.lengths(*STEPS):
        given = trial.drawn(1, steps)
        answer = trial.asked(run, given)
        if answer is None:
            continue
        rows = [array[0].astype(np.float64) if array.dtype.kind == "f" else array[0] for array in given]
        try:
            judged = twin.value(layer, wide, rows, [None] * len(rows))
        except MemoryError:
            raise
        except Exception as error:  # whatever operators raise
            raise NotTranslated(f"onnx's own reference, by which it would be judged, does not compute it: {error}") from error
        largest = float(np.abs(judged).max(initial=0.0, where=np.isfinite(judged)))
        if judged.shape != answer[0].shape or not np.allclose(
            judged, answer[0], rtol=0, atol=NEAR * (1 + largest), equal_nan=True
        ):
            raise NotTranslated("onnx's own reference, by which it would be judged, computes something else than onnxruntime")
