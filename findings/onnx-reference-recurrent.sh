#!/usr/bin/env bash
# onnx's ReferenceEvaluator and onnxruntime on one LSTM node: attributes and inputs that the first leaves out without an error.
#
# The operator's definition has sequence_lens, clip, input_forget and activations. The reference evaluator computes as if none of
# them were there, so it is no oracle for recurrent nodes; peepholes, bidirectional and layout 1 it does compute. And where an
# activation has parameters that the node leaves out, onnxruntime takes 0 for them: an RNN of Affine answers zeros.
# Seen: onnx 1.23.2, onnxruntime 1.31.1.
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
from onnx.reference import ReferenceEvaluator

random = np.random.default_rng(0)
x = random.normal(size=(5, 2, 3)).astype("float32")
sizes = {"LSTM": 16, "RNN": 4}
options = onnxruntime.SessionOptions()
options.log_severity_level = 4


def asked(operator, **extras):
    lengths = extras.pop("lengths", None)
    numbers = [random.normal(size=(1, sizes[operator], n)).astype("float32") for n in (3, 4)]
    constants = [numpy_helper.from_array(array, name) for array, name in zip(numbers, "WR")]
    inputs = ["x", "W", "R"]
    if lengths is not None:
        constants.append(numpy_helper.from_array(np.array(lengths, "int32"), "lengths"))
        inputs += ["", "lengths"]
    node = helper.make_node(operator, inputs, ["y"], hidden_size=4, **extras)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", 1, [5, 2, 3])], [helper.make_tensor_value_info("y", 1, None)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"x": x})[0], model


for name, extras in {
    "nothing": {},
    "sequence_lens": {"lengths": [5, 2]},
    "clip": {"clip": 0.2},
    "input_forget": {"input_forget": 1},
    "activations": {"activations": ["Sigmoid", "Relu", "Relu"]},
}.items():
    theirs, model = asked("LSTM", **extras)
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
    print("LSTM with", name, "alike" if np.allclose(theirs, reference, atol=1e-5) else "differs")
print("RNN of Affine without alpha: onnxruntime", "all zeros" if not asked("RNN", activations=["Affine"])[0].any() else "numbers")
PY
"$folder/venv/bin/python" "$folder/ask.py" > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
LSTM with nothing alike
LSTM with sequence_lens differs
LSTM with clip differs
LSTM with input_forget differs
LSTM with activations differs
RNN of Affine without alpha: onnxruntime all zeros
SAID
