"""Published packages' own Keras networks on inputs of ours, each with its own trained weights. Knows nothing of cellserve.

Arguments: the package, the folder that it lies in, and one to write `answers.npz` into. Of a package the module with its layers
alone is loaded; what that imports of other packages stands empty.
"""

import importlib.util
import json
import os
import sys
import types
from pathlib import Path

os.environ |= {
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_USE_LEGACY_KERAS": str(int(sys.argv[1] != "indicate-keras-3")),
}

import numpy as np
import tensorflow as tf

LENGTHS = (23, 40, 9)


class Empty(types.ModuleType):
    """A module that has every name, each a class of no use."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return object


class Absent:
    """Finds these packages, and every module in them, empty."""

    def __init__(self, *names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name.partition(".")[0] in self.names else None

    def create_module(self, spec):
        return Empty(spec.name)

    def exec_module(self, module):
        """There is nothing in it."""


def module(path):
    found = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    return made


def as_old_keras(*absent):
    """`import keras` means Keras 2, as it did when the package was written."""
    import tf_keras

    sys.modules |= {"keras": tf_keras} | {
        f"keras.{name}": getattr(tf_keras, name) for name in ("backend", "layers", "models", "optimizers")
    }
    sys.meta_path.insert(0, Absent(*absent))
    return tf_keras


def crema(folder):
    """Chords: spectra of two octave shifts, [time, 216, 2], convolved, then two GRUs each way."""
    keras = as_old_keras()
    own = module(folder / "crema/layers.py")
    network = keras.models.load_model(
        folder / "crema/models/chord/model.h5", compile=False, custom_objects={"SqueezeLayer": own.SqueezeLayer}
    )
    random = np.random.default_rng(0)
    rows = [[random.normal(size=(steps, 216, 2)).astype(np.float32) * 3] for steps in LENGTHS]
    return rows, lambda spectra: network(spectra, training=False)


def rnnmorph(folder):
    """English words: the letters of each and what its grammemes may be."""
    keras = as_old_keras("pymorphy2", "russian_tagsets", "rnnmorph")
    own, models = module(folder / "rnnmorph/model.py"), folder / "rnnmorph/models/en"
    network = keras.models.model_from_json(
        (models / "eval_model.json").read_text(), custom_objects={"ReversedLSTM": own.ReversedLSTM}
    )
    network.load_weights(models / "eval_model.h5")
    random = np.random.default_rng(0)
    rows = [
        [random.uniform(size=(steps, 13)).astype(np.float32), random.integers(0, 153, (steps, 32)).astype(np.int64)]
        for steps in LENGTHS
    ]
    return rows, lambda grammemes, letters: network([grammemes, letters], training=False)


def indicate(folder):
    """The encoder of Hindi words, its states beside its outputs: Keras 3's file in newer packages, TensorFlow's in the first."""
    data = next(folder.glob("indicate/data/**/saved_weights"))
    own = module(folder / "indicate/encoder.py")
    newer = data / "encoder.weights.h5"
    vocabulary, width, units = (200 if newer.exists() else 166), 256, 1024  # of indicate/hindi2english.py and its tokens
    network = own.Encoder(vocabulary, width, units, 1)
    network(tf.zeros((1, 3), tf.int32), network.initialize_hidden_state())
    network.load_weights(newer if newer.exists() else data / "encoder")
    random = np.random.default_rng(0)
    rows = [[random.integers(0, vocabulary, steps).astype(np.int64)] for steps in LENGTHS]
    return rows, lambda ids: network(ids, network.initialize_hidden_state())


def main(package, folder, out):
    rows, network = {"crema": crema, "rnnmorph": rnnmorph}.get(package, indicate)(Path(folder))
    answers = {}
    for number, row in enumerate(rows):
        found = network(*(tf.constant(one[None]) for one in row))
        answers |= {f"x{number}_{place}": one for place, one in enumerate(row)}
        answers |= {
            f"y{number}_{place}": np.asarray(one)[0]
            for place, one in enumerate(found if isinstance(found, list | tuple) else [found])
        }
    np.savez(Path(out) / "answers.npz", **answers)
    print(json.dumps({"rows": len(rows), "inputs": len(rows[0]), "outputs": len(answers) // len(rows) - len(rows[0])}))


if __name__ == "__main__":
    main(*sys.argv[1:])
