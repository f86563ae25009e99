"""How a golden case is written: its facts and its arrays beside the model file. Needs numpy alone; knows no framework."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent


def write(case, model_files, inputs, outputs, *, framework, version, backend="", notes="", states=None):
    """inputs, outputs: x, x1 … and y, y1 …, batch first; model_files: by kind; states: more arrays by name."""
    arrays = {
        f"{name}{number or ''}": array for name, all_ in (("x", inputs), ("y", outputs)) for number, array in enumerate(all_)
    }
    np.savez(FOLDER / f"{case}.npz", **arrays, **(states or {}))
    facts = {
        "backend": backend,
        "case": case,
        "framework": framework,
        "model_files": model_files,
        "notes": notes,
        "tolerance": {"atol": 2e-06, "rtol": 1e-05},
        "version": version,
    }
    (FOLDER / f"{case}.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    print(f"{case}: {', '.join(f'{name} {list(array.shape)}' for name, array in arrays.items())}")


def numbers(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype(np.float32)
