#!/usr/bin/env bash
# onnxruntime on a product with weights that are stored in eight bits: the activations become eight bits, too, without a word.
#
# DequantizeLinear of a constant, then MatMul: the operators' definitions say a product in float32. onnxruntime makes one node of the
# two, which rounds each row of the input to eight bits. The answer lies several hundredths off; the session option
# session.disable_quant_qdq=1 gives the product that the file describes.
# Seen: onnxruntime 1.31.1, Linux on x86-64.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "onnx==1.23.2" "onnxruntime==1.31.1"
cat > "$folder/ask.py" <<'PY'
import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

random = np.random.default_rng(0)
weights, scale = random.integers(-127, 127, (64, 64)).astype("int8"), np.float32(0.01)
x = random.normal(size=(3, 64)).astype("float32")
constants = [
    numpy_helper.from_array(array, name)
    for name, array in (("W", weights), ("s", np.array(scale)), ("z", np.array(0, "int8")))
]
nodes = [helper.make_node("DequantizeLinear", ["W", "s", "z"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
graph = helper.make_graph(
    nodes, "g", [helper.make_tensor_value_info("x", 1, ["b", 64])], [helper.make_tensor_value_info("y", 1, None)], constants
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
for name, disabled in (("by default", "0"), ("with session.disable_quant_qdq", "1")):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", disabled)
    found = onnxruntime.InferenceSession(model, options).run(None, {"x": x})[0]
    print(name, "off by more than 0.01" if np.abs(found - x @ (weights * scale)).max() > 0.01 else "the product in float32")
PY
"$folder/venv/bin/python" "$folder/ask.py" > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
by default off by more than 0.01
with session.disable_quant_qdq the product in float32
SAID
