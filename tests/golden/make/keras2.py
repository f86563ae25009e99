"""Writes golden cases with the real tf-keras. Arguments: cases of `MODELS`; none: all of them.

Its own environment: `python3 -m venv V && V/bin/pip install -r tests/e2e/requirements-tf-keras.txt`, then
`V/bin/python tests/golden/make/keras2.py tfk_operations`.
"""

import os
import sys

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tensorflow.core.protobuf import saved_model_pb2
from tf_keras import layers
from writing import FOLDER, numbers, write

ROWS, STEPS, WIDTH = 4, 7, 3


def operations():
    """Operations of TensorFlow among the layers, and slices."""
    x = keras.Input((None, WIDTH))
    h = layers.GRU(4, return_sequences=True)(x)
    y = tf.nn.gelu(tf.maximum((1.0 - h) / 2.0 + 0.5 * h, 0.0))
    y = tf.nn.softmax(tf.concat([tf.nn.leaky_relu(y, 0.3) - tf.square(h), -h], axis=-1))
    return (
        keras.Model(x, [tf.reduce_mean(y, axis=1), h[:, -1], h[:, 2:], tf.nn.silu(y)[:, 0, :]]),
        numbers(ROWS, STEPS, WIDTH),
        "h5",
    )


def nested():
    """A SavedModel of models in a model, whose numbers tf.keras counts from 1, with masks from within."""
    inner = keras.Sequential([keras.Input((None,)), layers.Embedding(9, 4, mask_zero=True), layers.GRU(4, return_sequences=True)])
    x = keras.Input((None,))
    ids = np.random.default_rng(0).integers(0, 9, (ROWS, STEPS))
    ids[:, 5:] = 0
    return keras.Model(x, layers.Bidirectional(layers.LSTM(3))(inner(x))), ids, "folder"


def words():
    """Several ids at each step, a model that looks them up, a Lambda that the description replaces; a published tagger is so."""
    entry = keras.Input((5,))
    inner = keras.Model(entry, layers.Dense(4, activation="tanh")(layers.Flatten()(layers.Embedding(9, 3)(entry))))
    x = keras.Input((None, 5))
    steps = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(layers.TimeDistributed(inner)(x))
    ids = np.random.default_rng(0).integers(0, 9, (ROWS, STEPS, 5))
    return keras.Model(x, layers.Dense(2)(layers.Lambda(lambda h: h[:, -1], name="last")(steps))), ids, "h5"


def weighing():
    """Attention written out: between steps, of a vector to steps, and of a softmax over time with a sum; Dots of vectors."""
    x = keras.Input((None, WIDTH))
    h, last, _ = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    between = layers.Dropout(0.5)(layers.Activation("softmax")(layers.Dot((2, 2))([h, layers.Dense(4)(h)])))
    asked = layers.Softmax()(layers.Dot((2, 1))([h, last]))
    shares = layers.Softmax(axis=1)(layers.Dense(1)(h))
    heads = layers.Softmax(axis=-2)(layers.Dense(2)(h))
    total = tf.reduce_sum(shares * h, axis=1)
    outputs = [
        layers.GRU(3)(layers.Dot((2, 1))([between, h])),
        layers.Dot(1)([h, asked]),
        layers.Dot(1)([heads, h]),
        layers.Dot(1)([h, shares]),
        total,
        layers.Dot(1, normalize=True)([total, last]),
        layers.Dot(-1)([total, last]),
    ]
    return keras.Model(x, outputs), numbers(ROWS, STEPS, WIDTH), "h5"


MODELS = {"tfk_words": words, "tfk_weighing": weighing, "tfk_nested": nested, "tfk_operations": operations}


def shorten(path):
    """The program, megabytes of it, is never read: what stays is the release that wrote it."""
    whole = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    short = saved_model_pb2.SavedModel(saved_model_schema_version=whole.saved_model_schema_version)
    short.meta_graphs.add().meta_info_def.tensorflow_version = whole.meta_graphs[0].meta_info_def.tensorflow_version
    path.write_bytes(short.SerializeToString())
    (path.parent / "fingerprint.pb").unlink()
    (path.parent / "assets").rmdir()


def make(case):
    keras.utils.set_random_seed(sum(map(ord, case)))
    model, x, form = MODELS[case]()
    random = np.random.default_rng(sum(map(ord, case)))
    for weight in model.weights:
        weight.assign(random.normal(scale=0.5, size=weight.shape).astype(np.float32))
    name = f"{case}.h5" if form == "h5" else case
    model.save(FOLDER / name, **({} if form == "h5" else {"save_format": "tf"}))
    if form == "folder":
        shorten(FOLDER / name / "saved_model.pb")
    outputs = model.predict(x, verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    write(case, {"keras": name}, [x], outputs, framework="tf.keras", version=keras.__version__)


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
