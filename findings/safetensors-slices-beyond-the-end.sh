#!/usr/bin/env bash
# safetensors 0.8: a slice that ends beyond a tensor is refused, though it is indexed like an array of NumPy, which cuts it off.
#
# safe_open(…).get_slice(name)[start:end] raises SafetensorError, "index … out of bounds", where end is larger than the first
# dimension: who reads a tensor in parts of equal size must cut the last one himself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/weights" <<'PY' > "$folder/said"
import sys

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

whole = np.arange(10, dtype=np.float32).reshape(5, 2)
save_file({"w": whole}, sys.argv[1])
with safe_open(sys.argv[1], framework="numpy") as file:
    part = file.get_slice("w")
    for start, end in ((0, 4), (4, 5), (4, 8)):
        try:
            said = len(part[start:end])
        except SafetensorError as error:
            said = "index out of bounds" if "out of bounds" in str(error) else error
        print(f"{start}:{end}: numpy {len(whole[start:end])} rows, safetensors {said}")
PY
cat "$folder/said"
diff "$folder/said" - <<'EXPECTED'
0:4: numpy 4 rows, safetensors 4
4:5: numpy 1 rows, safetensors 1
4:8: numpy 1 rows, safetensors index out of bounds
EXPECTED
