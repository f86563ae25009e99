"""Trains the demo's model with real Keras and writes `digits.keras` and `digits-heldout.npz` beside this file.

cellserve itself needs no Keras, so this runs in an environment of its own (Python 3.11, about half a minute to train):

    python3 -m venv /tmp/keras && /tmp/keras/bin/pip install keras==3.15.1 torch==2.13.0 scikit-learn==1.9.1
    KERAS_BACKEND=torch /tmp/keras/bin/python deploy/demo/train.py

The data: the UCI handwritten digits that scikit-learn carries. The 8 rows of an image are 8 time steps of 8 features,
scaled to 0..1. The model also meets images of which only the first 3 to 7 rows have arrived, so that it answers
sequences of any length sensibly.

The held-out file: `inputs` [N, 8, 8], `labels` [N] and Keras's own `outputs` [N, 10] for whole images; and the same with
the prefix `cut_` for other images, of which only the first `cut_lengths` [M] rows count (zeros behind). Each cut
sequence went through Keras by itself, at its own length, so its output owes nothing to padding.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 20
STEPS = 8
SHORTEST_CUT = 3
WHOLE_IMAGES = 400
CUT_IMAGES = 200
EPOCHS = 100
BATCH_ROWS = 32
HERE = Path(__file__).parent


def build() -> keras.Model:
    """Two stacked recurrent layers of different kinds, any number of time steps."""
    return keras.Sequential(
        [
            keras.Input((None, STEPS), name="rows"),
            keras.layers.LSTM(48, return_sequences=True, name="lstm"),
            keras.layers.GRU(48, name="gru"),
            keras.layers.Dropout(0.3, name="dropout"),
            keras.layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def train(model: keras.Model, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """images [N, 8, 8]. Every third batch is cut to one random length, the same for all of its rows."""
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * (len(images) // BATCH_ROWS))
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        losses = []
        for number, start in enumerate(range(0, len(order), BATCH_ROWS)):
            rows = order[start : start + BATCH_ROWS]
            steps = STEPS if number % 3 else int(rng.integers(SHORTEST_CUT, STEPS))
            losses.append(float(model.train_on_batch(images[rows, :steps], labels[rows])[0]))
        print(f"epoch {epoch + 1:2d}/{EPOCHS}  loss {np.mean(losses):.4f}", flush=True)


def answer_each(model: keras.Model, images: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Keras's output for each sequence by itself, at its own length: [N, 10] float32."""
    return np.concatenate([np.asarray(model.predict_on_batch(image[None, :n])) for image, n in zip(images, lengths)])


def main() -> None:
    keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    digits = load_digits()
    images, labels = (digits.images / 16.0).astype(np.float32), digits.target.astype(np.int64)
    rest, images_whole, rest_labels, labels_whole = train_test_split(
        images, labels, test_size=WHOLE_IMAGES, random_state=SEED, stratify=labels
    )
    train_images, images_cut, train_labels, labels_cut = train_test_split(
        rest, rest_labels, test_size=CUT_IMAGES, random_state=SEED, stratify=rest_labels
    )

    model = build()
    train(model, train_images, train_labels, rng)

    lengths = rng.integers(SHORTEST_CUT, STEPS, size=CUT_IMAGES)
    cut = np.where(np.arange(STEPS)[None, :, None] < lengths[:, None, None], images_cut, np.float32(0))
    outputs = answer_each(model, images_whole, np.full(WHOLE_IMAGES, STEPS))
    cut_outputs = answer_each(model, cut, lengths)

    model.save(HERE / "digits.keras")
    np.savez_compressed(
        HERE / "digits-heldout.npz",
        inputs=images_whole,
        labels=labels_whole,
        outputs=outputs,
        cut_inputs=cut,
        cut_lengths=lengths.astype(np.int64),
        cut_labels=labels_cut,
        cut_outputs=cut_outputs,
    )
    print(f"whole images: {(outputs.argmax(1) == labels_whole).sum()}/{WHOLE_IMAGES} right")
    print(f"cut images:   {(cut_outputs.argmax(1) == labels_cut).sum()}/{CUT_IMAGES} right")


if __name__ == "__main__":
    main()
