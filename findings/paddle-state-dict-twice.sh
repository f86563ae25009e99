#!/usr/bin/env bash
# Paddle's state dicts of recurrent layers hold every array twice, under two names, and a projection under one of them alone.
#
# nn.LSTM registers its cells' parameters on itself as well: `weight_ih_l0` and `0.cell.weight_ih` are one tensor, which
# paddle.save writes out twice, so that the file is twice as large as they are. The projection of proj_size is only
# `0.cell.weight_ho`. And bfloat16 arrays are written as uint16, which a reader of arrays cannot tell from whole numbers.
# Seen: paddlepaddle 3.3.1, Linux on x86-64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "paddlepaddle==3.3.1" "numpy==2.4.6" "setuptools==80.9.0"
cat > "$folder/ask.py" <<'PY'
import os
import pickle
import sys

import paddle

path = os.path.join(sys.argv[1], "model.pdparams")
model = paddle.nn.LSTM(64, 128, 2, proj_size=32)
paddle.save(model.state_dict(), path)
parameters = list(model.parameters())
print("parameters", len(parameters), "names", len(model.state_dict()))
written, needed = os.path.getsize(path), sum(int(one.size) * 4 for one in parameters)
print("every array", "twice" if written > 1.9 * needed else "once")
print("projection", *(name for name in model.state_dict() if "weight_ho" in name))
paddle.save({"a": paddle.to_tensor([1.5]).astype("bfloat16")}, path)
with open(path, "rb") as file:
    print("bfloat16 as", pickle.load(file)["a"].dtype)
PY
"$folder/venv/bin/python" -W ignore "$folder/ask.py" "$folder" 2> /dev/null > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
parameters 10 names 18
every array twice
projection 0.cell.weight_ho 1.cell.weight_ho
bfloat16 as uint16
SAID
