#!/usr/bin/env bash
# Keras 3 merge layers and the masks of their inputs: until 3.3 a merge of masked sequences has no mask; from 3.4 on it has one.
#
# A model of two Embedding(mask_zero=True) of the same ids, merged by Add and read by an LSTM, therefore answers differently under
# two minor releases for the very same weights: under 3.3.3 the padding at the end is computed like any other step, under 3.4.1 it
# is skipped. No warning is given, and a .keras file saved under one release is answered otherwise under the other.
# Seen: keras 3.3.3 differs between padded and unpadded input, keras 3.4.1 does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import keras
import numpy as np

ids = keras.Input((None,), dtype="int32")
one = keras.layers.Embedding(5, 4, mask_zero=True)(ids)
other = keras.layers.Embedding(5, 4, mask_zero=True)(ids)
model = keras.Model(ids, keras.layers.LSTM(3)(keras.layers.Add()([one, other])))
random = np.random.default_rng(0)
model.set_weights([random.normal(size=w.shape).astype("float32") for w in model.get_weights()])
bare = model.predict(np.array([[1, 2, 3]], "int32"), verbose=0)
padded = model.predict(np.array([[1, 2, 3, 0, 0]], "int32"), verbose=0)
print(keras.__version__, "padding", "skipped" if np.allclose(bare, padded, atol=1e-6) else "computed")
PY
for version in 3.3.3 3.4.1; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "keras==$version" "numpy==1.26.4" "jax==0.4.30" "jaxlib==0.4.30" "packaging==24.2"
  KERAS_BACKEND=jax "$folder/$version/bin/python" "$folder/ask.py" 2> /dev/null | tail -1
done > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
3.3.3 padding computed
3.4.1 padding skipped
SAID
