"""Importing in a process of its own: a file that crashes or hangs the C library under it costs a sentence, not the caller.

That is HDF5's, which damaged files can make do both, and ONNX Runtime's; the other kinds of files are read here. The process
leaves its answer in a folder: the network with its weights and the framework's answers, or the refusal. In such a folder an
import also travels from one machine to another (`leave`, `read_answer`). Knows no formats.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from cellserve.models.description.step_model import StepModel
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from cellserve.models.importers.formats import detect
from cellserve.models.importers.imported import Imported, ImportedModel, ImportedStepModel, Source
from cellserve.models.importers.supervision import NO_ROOM, WHAT_TO_DO, Confinement, supervise
from cellserve.models.measuring.framework_answers import FrameworkAnswers
from cellserve.models.spec import ModelSpec
from cellserve.models.steps.graph_file import GraphFile
from cellserve.models.weights import Weights

ANSWER, ARRAYS, GRAPH, ASKED, REFUSAL = "model.json", "weights.safetensors", "graph.onnx", "answers.npz", "refusal.json"
COMMAND: Final = (sys.executable, "-P", "-m", "cellserve.models.importers.isolated")


def load_isolated(
    path: Path,
    *,
    architecture: Path | None = None,
    description: Path | None = None,
    dequantize: bool = False,
    confinement: Confinement | None = None,
) -> Imported:
    """As `importers.load`, and ImportRefused for files that crash, hang, or want more memory than files of their size can.

    Raises OSError too: the system's folder for temporary files is full.
    """
    found = detect(path)
    if not found.isolated:
        return load(path, architecture=architecture, description=description, dequantize=dequantize)
    bounds = confinement or Confinement.for_files_of(path.stat().st_size + found.bytes_beside(path))
    with TemporaryDirectory(prefix="cellserve-import-") as folder:
        job = {
            "path": str(path),
            "architecture": None if architecture is None else str(architecture),
            "description": None if description is None else str(description),
            "dequantize": dequantize,
            "folder": folder,
            **asdict(bounds),
        }
        supervise((*COMMAND, json.dumps(job)), bounds, path)
        return _read_answer(Path(folder))


def answer(read: Callable[[], Imported], source: Path, folder: Path) -> None:
    """Leaves in the folder what `read` gives or refuses."""
    try:
        leave(read(), folder)
    except ImportRefused as error:
        refusal = {"source": error.source, "what": error.what, "layer": error.layer, "option": error.option}
        (folder / REFUSAL).write_text(json.dumps(refusal))
    except MemoryError:
        what = f"reading it takes far more memory than the file is large; {WHAT_TO_DO}"
        (folder / REFUSAL).write_text(json.dumps({"source": str(source), "what": what, "layer": None, "option": None}))


def leave(model: Imported, folder: Path, further: Sequence[FrameworkAnswers] = ()) -> None:
    """As files of a folder, for `read_answer`. further: answers beside the import's own. Raises OSError."""
    all_answers = (*model.answers, *further)
    model.weights.save(folder / (GRAPH if isinstance(model.weights, GraphFile) else ARRAYS))
    np.savez(folder / ASKED, **_arrays(all_answers))
    answers = [
        {
            "by": one.by,
            "lengths": one.lengths,
            "time_major": one.time_major,
            "inputs": len(one.inputs),
            "outputs": len(one.outputs),
        }
        for one in all_answers
    ]
    content = {
        "spec": model.spec.model_dump(mode="json"),
        "source": asdict(model.source),
        "notes": model.notes,
        "answers": answers,
    }
    (folder / ANSWER).write_text(json.dumps(content))


def _read_answer(folder: Path) -> Imported:
    if (folder / REFUSAL).is_file():
        refusal = json.loads((folder / REFUSAL).read_text())
        raise ImportRefused(refusal["source"], refusal["what"], layer=refusal["layer"], option=refusal["option"])
    return read_answer(folder)


def read_answer(folder: Path) -> Imported:
    """What `leave` wrote. Raises OSError, ModelError, and KeyError, TypeError, ValueError for what it did not write."""
    content = json.loads((folder / ANSWER).read_text())
    if (folder / GRAPH).is_file():
        graph = GraphFile.load(folder / GRAPH)
        return ImportedStepModel(
            StepModel.model_validate(content["spec"]),
            graph,
            Source(**content["source"]),
            tuple(content["notes"]),
            _answers(folder, content["answers"]),
        )
    return ImportedModel(
        spec=ModelSpec.model_validate(content["spec"]),
        weights=Weights.load(folder / ARRAYS),
        source=Source(**content["source"]),
        notes=tuple(content["notes"]),
        answers=_answers(folder, content["answers"]),
    )


def _arrays(answers: Sequence[FrameworkAnswers]) -> dict[str, Any]:
    named = {f"x{i}_{j}": array for i, one in enumerate(answers) for j, array in enumerate(one.inputs)}
    return named | {f"y{i}_{j}": array for i, one in enumerate(answers) for j, array in enumerate(one.outputs)}


def _answers(folder: Path, told: Sequence[Mapping[str, Any]]) -> tuple[FrameworkAnswers, ...]:
    with np.load(folder / ASKED, allow_pickle=False) as arrays:
        return tuple(
            FrameworkAnswers(
                one["by"],
                tuple(arrays[f"x{i}_{j}"] for j in range(one["inputs"])),
                tuple(arrays[f"y{i}_{j}"] for j in range(one["outputs"])),
                None if one["lengths"] is None else tuple(one["lengths"]),
                one["time_major"],
            )
            for i, one in enumerate(told)
        )


def main(job_text: str) -> None:
    """The process: one job as JSON."""
    job = json.loads(job_text)
    path = Path(job["path"])
    beside = {name: None if job[name] is None else Path(job[name]) for name in ("architecture", "description")}
    Confinement(job["cpu_seconds"], job["memory_bytes"]).enter()
    try:
        answer(lambda: load(path, **beside, dequantize=job["dequantize"]), path, Path(job["folder"]))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(NO_ROOM)


if __name__ == "__main__":
    main(sys.argv[1])
