#!/usr/bin/env bash
# TensorFlow's converter to TFLite bounds the cells of an LSTM by 10, which nobody asked for and no warning tells.
#
# tf-keras' LSTM becomes the fused operator UNIDIRECTIONAL_SEQUENCE_LSTM with cell_clip 10; the model has no such bound. A cell that
# counts twenty steps up and fifteen down ends at 5 in Keras and at -5 in TFLite: the answers have opposite signs, and whoever compares
# the two on short or small inputs finds them equal.
# Seen: tensorflow 2.21.0 with tf-keras 2.21.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 tf-keras==2.21.0
cat > "$folder/ask.py" <<'PY'
import numpy as np
import tensorflow as tf
import tf_keras

steps = 35
model = tf_keras.Sequential([tf_keras.layers.LSTM(1, batch_input_shape=(1, steps, 1))])
# All gates are open; the cell adds tanh of the input, which here is nearly 1 or -1, at every step.
kernel = np.array([[0.0, 0.0, 4.0, 0.0]], "float32")  # input, forget, cell, output
model.set_weights([kernel, np.zeros((1, 4), "float32"), np.array([20.0, 20.0, 0.0, 20.0], "float32")])
counting = np.concatenate([np.ones(20), -np.ones(15)]).astype("float32").reshape(1, steps, 1)
short = np.concatenate([np.ones(5), np.zeros(30)]).astype("float32").reshape(1, steps, 1)

interpreter = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
interpreter.allocate_tensors()


def converted(inputs):
    interpreter.reset_all_variables()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], inputs)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0]


operators = {each["op_name"] for each in interpreter._get_ops_details()}
print("fused", "UNIDIRECTIONAL_SEQUENCE_LSTM" in operators)
for name, inputs in (("within the bound", short), ("beyond it", counting)):
    print(f"{name}: keras {model.predict(inputs, verbose=0)[0, 0]:+.2f}, tflite {converted(inputs):+.2f}")
PY
TF_USE_LEGACY_KERAS=1 TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" -W ignore "$folder/ask.py" 2> /dev/null | tee "$folder/said"
diff "$folder/said" - <<'SEEN'
fused True
within the bound: keras +1.00, tflite +1.00
beyond it: keras +1.00, tflite -1.00
SEEN
