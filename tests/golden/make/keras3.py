"""Writes golden cases with the real Keras 3, on torch. Arguments: cases of `MODELS`; none: all of them.

Its own environment: `python3 -m venv V && V/bin/pip install -r tests/e2e/requirements-keras.txt`, then
`V/bin/python tests/golden/make/keras3.py k3_normalizations`.
"""

import os
import sys

os.environ |= {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}

import keras
import numpy as np
from keras import layers
from writing import FOLDER, numbers, write

ROWS, STEPS, WIDTH = 4, 7, 3


def normalizations():
    x = keras.Input((None, WIDTH))
    steps = layers.LayerNormalization(epsilon=0.01)(x)
    steps = layers.LayerNormalization(center=False, scale=False)(layers.GRU(5, return_sequences=True)(steps))
    return keras.Model(x, layers.UnitNormalization()(layers.LSTM(4)(steps))), numbers(ROWS, STEPS, WIDTH), ""


def cropping():
    x = keras.Input((None, WIDTH))
    steps = layers.Cropping1D((2, 1))(layers.GRU(4, return_sequences=True)(x))
    steps = layers.Cropping1D(1)(layers.ZeroPadding1D((0, 2))(steps))
    return keras.Model(x, [steps, layers.LSTM(3)(steps)]), numbers(ROWS, STEPS, WIDTH), ""


def nested():
    """Models inside a model: Sequential in Sequential, and a functional one that is called twice."""
    inner = keras.Sequential([keras.Input((None, WIDTH)), layers.Bidirectional(layers.LSTM(4, return_sequences=True))])
    outer = keras.Sequential([keras.Input((None, WIDTH)), inner, layers.GRU(3, return_sequences=True)])
    entry = keras.Input((None, 3))
    twice = keras.Model(entry, layers.LSTM(4)(entry))
    x = keras.Input((None, WIDTH))
    steps = outer(x)
    return keras.Model(x, layers.Subtract()([twice(steps), twice(x)])), numbers(ROWS, STEPS, WIDTH), ""


def nested_outputs():
    """A model inside with two answers, called twice; what its first call answers is also answered by the whole."""
    entry = keras.Input((None, WIDTH))
    steps = layers.LSTM(WIDTH, return_sequences=True)(entry)
    inner = keras.Model(entry, [steps, layers.GlobalAveragePooling1D()(steps)])
    x = keras.Input((None, WIDTH))
    first, mean = inner(x)
    second, _ = inner(first)
    return keras.Model(x, [mean, layers.GRU(2)(second), first]), numbers(ROWS, STEPS, WIDTH), ""


def axes():
    """Reshape, Permute, slices and bare operations."""
    x = keras.Input((STEPS, WIDTH))
    steps = layers.Rescaling(0.5, offset=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])(
        layers.Permute((2, 1))(layers.GRU(4, return_sequences=True)(x))[:, 1:]
    )
    steps = layers.Normalization(mean=[0.5] * STEPS, variance=[2.0] * STEPS)(layers.Dense(STEPS)(steps))
    deep = layers.Dense(2)(layers.Reshape((-1, STEPS, 1))(steps))
    steps = keras.ops.gelu(1.0 - layers.Reshape((-1, 2 * STEPS))(layers.Permute((1, 3, 2))(deep)))
    laid = layers.Reshape((2, 3))(layers.LSTM(6)(steps))
    outputs = {"b": layers.LSTM(3)(laid), "a": steps[:, 0] * 2.0}
    return keras.Model(x, outputs), numbers(ROWS, STEPS, WIDTH), ""


def within():
    """A recurrence within each step, around it what else a model within steps may have; attention of each kind over the steps."""
    entry = keras.Input((4, 3))
    inner = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(layers.Dense(2, activation="tanh")(entry))
    inner = layers.Concatenate()([layers.GRU(2)(inner), layers.Flatten()(layers.Permute((2, 1))(inner))])
    x = keras.Input((None, 4, 3))
    steps = layers.TimeDistributed(keras.Model(entry, inner))(x)
    pooled = layers.TimeDistributed(layers.SimpleRNN(3))(x)
    looked = [
        layers.Attention(use_scale=True)([steps, steps]),
        layers.Attention(use_scale=True, score_mode="concat")([pooled, pooled, pooled]),
        layers.AdditiveAttention()([pooled, steps[:, :, :], pooled]),
    ]
    return keras.Model(x, layers.LSTM(4)(layers.Concatenate()(looked))), numbers(ROWS, STEPS, 4, 3), ""


def planes():
    """Convolution and pooling over time and bands before the recurrence."""
    x = keras.Input((None, 8, 1))
    steps = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    steps = layers.MaxPooling2D((1, 2))(layers.BatchNormalization()(steps))
    steps = layers.Conv2D(4, (2, 3), strides=(1, 2), groups=2)(steps)
    steps = layers.AveragePooling2D((2, 1), strides=1)(steps)
    return keras.Model(x, layers.GRU(3)(layers.Reshape((-1, 4))(steps))), numbers(ROWS, STEPS, 8, 1), ""


def few_bits():
    """Weights in int8 and int4, of single outputs and of groups; and what LoRA has learnt, beside such weights too."""
    x = keras.Input((None,), dtype="int32")
    steps = layers.LSTM(6, return_sequences=True)(layers.Embedding(11, 5, name="table8")(x))
    steps = layers.Dense(5, activation="tanh", name="groups4")(steps)
    steps = layers.Concatenate()([steps, layers.Embedding(11, 5, name="groups4_table")(x)])
    steps = layers.Dense(7, use_bias=False, name="channels4")(steps)
    steps = layers.Dense(3, name="weights8")(layers.GRU(4)(layers.Dense(4, name="learnt")(steps)))
    random = np.random.default_rng(0)
    return keras.Model(x, steps), random.integers(0, 11, (ROWS, STEPS)).astype(np.int32), ""


def in_few_bits(model):
    grouped, channels = (keras.quantizers.Int4QuantizationConfig(block_size=size) for size in (4, -1))
    model.get_layer("table8").quantize("int8")
    model.get_layer("groups4").quantize("int4", config=grouped)
    model.get_layer("groups4_table").quantize("int4", config=keras.quantizers.Int4QuantizationConfig(block_size=2))
    model.get_layer("channels4").quantize("int4", config=channels)
    model.get_layer("weights8").quantize("int8", config=keras.quantizers.Int8QuantizationConfig(activation_quantizer=None))
    for name in ("table8", "groups4", "learnt"):
        model.get_layer(name).enable_lora(2)
        for weight in model.get_layer(name).trainable_weights:
            if "lora" in weight.path:
                weight.assign(numbers(*weight.shape, seed=len(name), scale=0.5))


def weighing():
    """Attention written out: between steps, of a vector to steps, and of a softmax over time with a sum; Dots of vectors."""
    x = keras.Input((None, WIDTH))
    h, last, _ = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    between = layers.Dropout(0.5)(layers.Activation("softmax")(layers.Dot((2, 2))([h, layers.Dense(4)(h)])))
    asked = layers.Softmax()(layers.Dot((2, 1))([h, last]))
    shares = layers.Softmax(axis=1)(layers.Dense(1)(h))
    heads = layers.Softmax(axis=-2)(layers.Dense(2)(h))
    total = keras.ops.sum(shares * h, axis=1)
    outputs = [
        layers.GRU(3)(layers.Dot((2, 1))([between, h])),
        layers.Dot(1)([h, asked]),
        layers.Dot(1)([heads, h]),
        layers.Dot(1)([h, shares]),
        total,
        layers.Dot(1, normalize=True)([total, last]),
        layers.Dot(-1)([total, last]),
    ]
    return keras.Model(x, outputs), numbers(ROWS, STEPS, WIDTH), ""


MODELS = {
    "k3_axes": axes,
    "k3_weighing": weighing,
    "k3_few_bits": few_bits,
    "k3_planes": planes,
    "k3_within": within,
    "k3_cropping": cropping,
    "k3_nested": nested,
    "k3_nested_outputs": nested_outputs,
    "k3_normalizations": normalizations,
}

AFTER = {"k3_few_bits": in_few_bits}  # what is done to models once their weights are drawn


def make(case):
    keras.utils.set_random_seed(sum(map(ord, case)))
    model, x, notes = MODELS[case]()
    random = np.random.default_rng(sum(map(ord, case)))
    for weight in model.weights:
        drawn = random.normal(scale=0.5, size=weight.shape).astype(np.float32)
        weight.assign(np.abs(drawn) + 0.5 if "variance" in weight.path else drawn)
    if case in AFTER:
        AFTER[case](model)
    model.save(FOLDER / f"{case}.keras")
    model = keras.saving.load_model(FOLDER / f"{case}.keras")  # saving may round anew
    outputs = model.predict(x, verbose=0)
    outputs = [outputs[name] for name in sorted(outputs)] if isinstance(outputs, dict) else outputs
    outputs = outputs if isinstance(outputs, list) else [outputs]
    facts = {"framework": "keras", "version": keras.__version__, "backend": keras.backend.backend(), "notes": notes}
    served = x if x.ndim < 4 else x.reshape(*x.shape[:2], -1)  # several axes of features as one
    write(case, {"keras": f"{case}.keras"}, [served], outputs, **facts)


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
