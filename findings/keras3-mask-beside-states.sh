#!/usr/bin/env bash
# Keras 3: a recurrent layer that is called with initial states does not get the mask of its input.
#
# Keras hands an input's mask on by itself only where a layer is called with that one tensor. The decoder of every sequence-to-sequence
# model is called with initial_state=[...], so that its Embedding(mask_zero=True) has no effect on it: padding is computed, and the
# state at the end is that after the padding. Passing mask= by hand gives what the mask promises. tf-keras masks in both cases.
# Seen: keras 3.15.1, the same layer and ids: without states padding is skipped, with states of zeros it is computed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import keras
import numpy as np

ids, h, c = keras.Input((None,), dtype="int32"), keras.Input((3,)), keras.Input((3,))
embedding, lstm = keras.layers.Embedding(5, 4, mask_zero=True), keras.layers.LSTM(3)
alone = keras.Model(ids, lstm(embedding(ids)))
beside = keras.Model([ids, h, c], lstm(embedding(ids), initial_state=[h, c]))
zeros = np.zeros((1, 3), "float32")
short, padded = np.array([[1, 2, 3]], "int32"), np.array([[1, 2, 3, 0, 0]], "int32")


def said(model, *states):
    answers = [model.predict([each, *states] if states else each, verbose=0) for each in (short, padded)]
    return "skipped" if np.allclose(*answers, atol=1e-6) else "computed"


print("without states:", said(alone), "with states:", said(beside, zeros, zeros))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "keras==3.15.1" "numpy==2.2.6" "jax==0.4.38" "jaxlib==0.4.38"
KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/ask.py" 2> /dev/null | tail -1 > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
without states: skipped with states: computed
SAID
