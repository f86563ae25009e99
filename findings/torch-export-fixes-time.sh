#!/usr/bin/env bash
# torch.export and the time axis of nn.LSTM, nn.GRU and nn.RNN: it cannot be dynamic, though the operator that is exported takes any.
#
# The program that export makes has one node aten.gru.input, which knows no number of steps. Marking the axis as dynamic is refused
# all the same ("you marked t as dynamic but your code specialized it to be a constant"), so the file says the length of the example;
# and what save writes of it holds that example itself: the user's input lies in data/sample_inputs.
# Seen: torch 2.13.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"
cat > "$folder/ask.py" <<'PY'
import io
import zipfile

import torch
from torch.export import Dim, export, save

model, x = torch.nn.GRU(3, 4, batch_first=True).eval(), torch.randn(2, 6, 3)
try:
    export(model, (x,), dynamic_shapes=({1: Dim("t")},))
    print("time: dynamic")
except Exception as error:
    print("time:", "fixed" if "specialized it to be a constant (6)" in str(error) else error)
program = export(model, (x,), dynamic_shapes=({0: Dim("b")},))
print("node:", *(node.target for node in program.graph.nodes if "gru" in str(node.target)))
whole = io.BytesIO()
save(program, whole)
with zipfile.ZipFile(whole) as archive:
    (name,) = (name for name in archive.namelist() if "/sample_inputs/" in name)
    kept = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
print("example:", "kept in the file" if torch.equal(kept[0][0], x) else "not kept")
PY
"$folder/venv/bin/python" -W ignore "$folder/ask.py" 2> /dev/null > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
time: fixed
node: aten.gru.input
example: kept in the file
SAID
