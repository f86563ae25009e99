"""Writes golden cases anew, or new ones: `.venv/bin/python -m tests.golden.make k3_cropping pt_min_gru`.

Each script of this folder writes the cases of one framework, in an environment of its own where ours does not have it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.venvs import interpreter

HERE = Path(__file__).parent
SCRIPTS = {
    "flax": ("jax_cells.py", "flax"),
    "haiku": ("jax_cells.py", "flax"),
    "k3": ("keras3.py", "keras"),
    "mlx": ("jax_cells.py", "flax"),
    "pt": ("torch_modules.py", None),
    "tfl": ("tflite_models.py", "tf-keras"),
    "onnx": ("torch_onnx.py", None),
    "tfk": ("keras2.py", "tf-keras"),
}  # by the beginning of a case: its script, its environment


def main(cases: list[str]) -> None:
    if not cases:
        raise SystemExit(f"name the cases to write; they begin with {', '.join(SCRIPTS)}, which says by what")
    for case in cases:
        framework = case.partition("_")[0]
        if framework not in SCRIPTS:
            raise SystemExit(f"{case}: there is no script for {framework}; there are those for {', '.join(SCRIPTS)}")
        script, environment = SCRIPTS[framework]
        python = sys.executable if environment is None else interpreter(environment)
        subprocess.run([str(python), str(HERE / script), case], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
