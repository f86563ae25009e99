"""Random small models with frozen, nested and shared parts, written by Keras itself with what it answers.

The framework (keras or tf_keras) and a folder as arguments, then the seeds: one model each.
"""

import importlib
import os
import random
import sys
import warnings
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
from scenarios import main

ROWS, STEPS = 4, 6
WIDTHS = (2, 3, 4)
VOCABULARY = 7
SAME = {"rtol": 1e-4, "atol": 1e-5}


class Maker:
    """One random model. `parts`: whatever of it can be frozen by itself.

    `archived`: saved in an archive, where all that is shared has one place, so that layers, wrappers and cells stand in several.
    """

    def __init__(self, keras, seed):
        self.keras, self.layers = keras, keras.layers
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.parts, self.used, self.inputs, self.values = [], [], [], []
        self.dense = {}  # by the width that they read
        self.is_keras_3 = keras.__name__ == "keras"
        self.archived = self.chance(0.4)
        self.standing = defaultdict(list)  # what can stand elsewhere too, by what fits there

    def chance(self, share):
        return self.random.random() < share

    def again(self, *fits, make):
        """One that stands elsewhere already, or a new one."""
        if self.archived and self.standing[fits] and self.chance(0.5):
            self.used.append("again: " + fits[0])
            return self.random.choice(self.standing[fits])
        made = make()
        self.standing[fits].append(made)
        return made

    def model(self):
        tensor = self.source()
        if self.chance(0.2):
            tensor = self.joined(tensor, self.source())
        for _ in range(self.random.randint(2, 5) if self.archived else self.random.randint(1, 3)):
            tensor = self.branched(tensor) if self.chance(0.2) else self.block(tensor)
        if self.chance(0.5) or not any(part.weights for part in self.parts):
            tensor = self.kept(self.recurrent(tensor.shape[-1], sequences=False))(tensor)
        if self.chance(0.5):
            tensor = self.kept(self.layers.Dense(self.width()))(tensor)
        model = self.keras.Model(self.inputs[0] if len(self.inputs) == 1 else self.inputs, tensor)
        for weight, value in zip(model.weights, model.get_weights(), strict=True):
            weight.assign(self.drawn(weight.name, value.shape))
        return model

    def drawn(self, name, shape):
        values = self.numbers.normal(0, 0.5, shape).astype(np.float32)
        return np.abs(values) + np.float32(0.3) if "variance" in name else values

    def freeze(self, model):
        for part in self.parts:
            if self.chance(0.3):
                part.trainable = False
        if self.is_keras_3 and self.chance(0.15):
            self.random.choice(model.weights).trainable = False

    def width(self):
        return WIDTHS[1] if self.archived and self.chance(0.8) else self.random.choice(WIDTHS)

    def kept(self, layer):
        self.parts.append(layer)
        self.used.append(type(layer).__name__)
        return layer

    def source(self):
        """Features, perhaps masked, or ids. Padded on the right, on the left, and in the middle; one row not at all."""
        steps = STEPS if self.chance(0.3) else None
        padding = np.zeros((ROWS, STEPS), bool)
        padding[0, 4:] = padding[1, :2] = padding[2, 2] = True
        if self.chance(0.4):
            ids = self.numbers.integers(1, VOCABULARY, (ROWS, STEPS))
            self.inputs.append(self.keras.Input((steps,)))
            self.values.append(np.where(padding, 0, ids).astype(np.float32))
            embedding = self.layers.Embedding(VOCABULARY, self.width(), mask_zero=self.chance(0.5))
            return self.kept(embedding)(self.inputs[-1])
        width = self.width()
        features = self.numbers.normal(0, 1, (ROWS, STEPS, width)).astype(np.float32)
        self.inputs.append(self.keras.Input((steps, width)))
        self.values.append(np.where(padding[..., None], np.float32(0), features))
        return self.kept(self.layers.Masking())(self.inputs[-1]) if self.chance(0.4) else self.inputs[-1]

    def joined(self, one, other):
        modes = ["Concatenate"] + ["Add", "Average", "Maximum"] * (one.shape[-1] == other.shape[-1])
        return self.kept(getattr(self.layers, self.random.choice(modes))())([one, other])

    def branched(self, tensor):
        """Two ways side by side; the same layer on both where it fits."""
        one, other = self.block(tensor), self.block(tensor)
        if one.shape[-1] == other.shape[-1] and self.chance(0.5):
            shared = self.kept(self.recurrent(one.shape[-1]))
            one, other = shared(one), shared(other)
        return self.joined(one, other)

    def block(self, tensor):
        width = tensor.shape[-1]
        kind = self.random.random()
        if kind < 0.6:
            return self.kept(self.recurrent(width))(tensor)
        if kind < 0.8:
            return self.again("wrapper", width, make=lambda: self.kept(self.layers.TimeDistributed(self.stepwise(width))))(tensor)
        if kind < 0.9:
            return self.kept(self.layers.Dropout(0.5))(tensor)
        return self.kept(self.stepwise(width))(tensor)

    def stepwise(self, width):
        """Perhaps a Dense that stands elsewhere already."""
        if width in self.dense and self.chance(0.4):
            return self.dense[width]
        kind = self.random.random()
        if kind < 0.3:
            return self.kept(self.layers.BatchNormalization(center=self.chance(0.8), scale=self.chance(0.8)))
        if kind < 0.4:
            return self.kept(self.layers.LayerNormalization())
        activation = self.random.choice([None, "tanh"])
        self.dense[width] = self.layers.Dense(self.width(), activation=activation, use_bias=self.chance(0.8))
        return self.kept(self.dense[width])

    def recurrent(self, width, *, sequences=True):
        if self.chance(0.45):
            return self.both_ways(width, sequences)
        back = self.chance(0.2) and (self.archived or not sequences)
        return self.one_way(width, self.width(), sequences=sequences, go_backwards=back)

    def both_ways(self, width, sequences):
        units = self.width()
        forward = self.one_way(width, units, sequences=sequences)
        mode = self.random.choice(["sum", "mul", "ave"] if self.archived else ["concat", "sum", "mul", "ave"])
        backward = self.one_way(width, units, sequences=sequences, go_backwards=True) if self.chance(0.3) else None
        both = self.layers.Bidirectional(forward, merge_mode=mode, backward_layer=backward)
        for direction in (both.forward_layer, both.backward_layer):
            self.kept(direction)
            if type(direction).__name__ == "RNN":
                self.parts += self.cells_of(direction.cell)
        return both

    def one_way(self, width, units, *, sequences, go_backwards=False):
        options = {"return_sequences": sequences, "go_backwards": go_backwards}
        return self.again("layer", width, units, sequences, go_backwards, make=lambda: self.one_way_made(width, units, options))

    def one_way_made(self, width, units, options):
        if self.chance(0.4):
            cells = self.again("cells", width, units, make=lambda: self.cells_made(width, units))
            self.parts += [one for cell in (cells if isinstance(cells, list) else [cells]) for one in self.cells_of(cell)]
            return self.layers.RNN(cells, **options)
        name = self.random.choice(["LSTM", "GRU", "SimpleRNN"])
        return getattr(self.layers, name)(units, use_bias=self.chance(0.8), **options)

    def cells_made(self, width, units):
        if self.archived and self.chance(0.3):
            return self.cell(width, units)
        cells = self.stack(width, units)
        return self.layers.StackedRNNCells(cells) if self.archived and self.chance(0.3) else cells

    def stack(self, width, units):
        """Of one to three cells; perhaps with a stack in it, or with one cell twice.

        Keras 3 makes stacks of one cell, and stacks in stacks, but cannot run them behind a mask.
        """
        if width == units and self.chance(0.3):
            twice = self.cell(width, width)
            return [twice, self.cell(width, width), twice]
        widths = [width, *(self.width() for _ in range(self.random.randint(self.is_keras_3, 2))), units]
        cells = [self.cell(*pair) for pair in pairwise(widths)]
        if len(cells) > 1 and not self.is_keras_3 and self.chance(0.2):
            return [self.layers.StackedRNNCells(cells[:-1]), cells[-1]]
        return cells

    def cell(self, width, units):
        return self.again("cell", width, units, make=lambda: self.cell_made(units))

    def cell_made(self, units):
        name = self.random.choice(["LSTMCell", "GRUCell", "SimpleRNNCell"])
        named = {"name": f"{self.random.choice('abcxyz')}_{self.random.getrandbits(30)}"} if self.chance(0.3) else {}
        return getattr(self.layers, name)(units, use_bias=self.chance(0.8), **named)

    def cells_of(self, cell):
        return [one for inner in getattr(cell, "cells", ()) for one in self.cells_of(inner)] + [cell]


def answer(model, values):
    made = model(values[0] if len(values) == 1 else values, training=False)
    return np.asarray(made.detach() if hasattr(made, "detach") else made)


def distinctly_named(model):
    """An .h5 file holds no two arrays of one name in a layer; a Bidirectional layer makes such of one cell that stands twice."""
    names = [[getattr(weight, "path", weight.name) for weight in layer.weights] for layer in model.layers]
    return all(len(set(own)) == len(own) for own in names)


def saved(maker, model, path):
    """The files: whole in either form, or weights beside an architecture."""
    forms = ["keras", "weights"] if maker.archived else ["h5", "h5", "keras", "weights"] if distinctly_named(model) else ["keras"]
    form = maker.random.choice(forms)
    if form != "weights":
        model.save(f"{path}.{form}")
        return {"file": f"{path}.{form}", "architecture": None}
    legacy = not maker.is_keras_3 and not maker.archived and maker.chance(0.5)
    weights = f"{path}-weights.h5" if legacy else f"{path}.weights.h5"
    model.save_weights(weights)
    Path(f"{path}.json").write_text(model.to_json())
    return {"file": weights, "architecture": f"{path}.json"}


def reloads(maker, file, architecture, expected):
    """Whether the framework, loading its own file, gives the same answers: "yes", "no", or what it fails with.

    Not tried where places in the file tell the arrays apart, and nothing hangs on their order.
    """
    if not file.endswith(".h5") or file.endswith(".weights.h5"):
        return "not tried"
    try:
        if architecture is None:
            model = maker.keras.models.load_model(file, compile=False)
        else:
            model = maker.keras.models.model_from_json(Path(architecture).read_text())
            model.load_weights(file)
        return "yes" if np.allclose(answer(model, maker.values), expected, **SAME) else "no"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]


def write(framework, folder, *seeds):
    """One model for each seed. Messages of the framework go to standard error."""
    sys.stdout, stdout = sys.stderr, sys.stdout
    warnings.simplefilter("ignore")
    keras = importlib.import_module(framework)
    if framework == "tf_keras":
        importlib.import_module("tensorflow").config.run_functions_eagerly(True)  # each model answers once: nothing to trace for
    told = []
    for seed in map(int, seeds):
        keras.utils.set_random_seed(seed)
        maker = Maker(keras, seed)
        model = maker.model()
        maker.freeze(model)
        path = f"{folder}/{framework}-{seed}"
        expected = answer(model, maker.values)
        files = saved(maker, model, path)
        np.savez(f"{path}.npz", expected=expected, **{f"x{index}": value for index, value in enumerate(maker.values)})
        reloaded = reloads(maker, **files, expected=expected)
        told.append({"seed": seed, "answers": f"{path}.npz", "layers": maker.used, "reloads": reloaded, **files})
        told[-1]["version"] = keras.__version__
    sys.stdout = stdout
    return told


if __name__ == "__main__":
    main({"write": write})
