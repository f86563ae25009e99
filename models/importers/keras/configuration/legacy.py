"""Keras 0's and 1's names for classes and options, as Keras 2 has them. What trains only is dropped.

Source: keras/legacy/interfaces.py and layers.py at tag 2.0.5, and the constructors of 0.1.0 to 1.2.2. Knows no arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cellserve.models.importers.keras.configuration.era import Era
from cellserve.models.importers.keras.configuration.options import Config

CLASSES: Final = {"TimeDistributedDense": "Dense", "Convolution1D": "Conv1D", "AtrousConvolution1D": "Conv1D"}
SINCE_KERAS_1: Final = ("Conv1D",)
MERGE_CLASSES: Final = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
TRAINING_ONLY: Final = frozenset(
    {
        "init", "inner_init", "forget_bias_init", "beta_init", "gamma_init", "truncate_gradient", "momentum", "target", "beta",
        "cache_enabled", "custom_name", "W_regularizer", "U_regularizer", "b_regularizer", "gamma_regularizer",
        "beta_regularizer", "activity_regularizer", "W_constraint", "b_constraint", "input_dim", "input_length", "sigma",
        "output_shape", "output_shape_type", "mode_type", "dot_axes", "output_mask", "output_mask_type", "arguments",
    }
)  # fmt: skip
OPTIONS: Final = {
    "output_dim": "units",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "bias": "use_bias",
    "p": "rate",
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample_length": "strides",
    "border_mode": "padding",
    "atrous_rate": "dilation_rate",
    "pool_length": "pool_size",
    "stride": "strides",
}
KEPT: Final = {"Embedding": ("input_dim", "output_dim")}  # names that Keras 2 has too


def modernised(class_name: str, config: Config, era: Era) -> tuple[str, Config]:
    """The class and the options under the names of Keras 2; untouched where the model is no older."""
    if not era.is_legacy:
        return class_name, config
    shape = _input_shape(class_name, config)
    new = (
        class_name
        if era.release < (1, 0, 0) and CLASSES.get(class_name) in SINCE_KERAS_1
        else CLASSES.get(class_name, class_name)
    )
    kept = KEPT.get(class_name, ())
    options = {
        name if name in kept else OPTIONS.get(name, name): value
        for name, value in config.items()
        if name in kept or name not in TRAINING_ONLY
    }
    if shape is not None:
        options["batch_input_shape"] = shape
    if options.get("activation") == "time_distributed_softmax":
        options["activation"] = "softmax"
    if class_name == "Merge" and options.get("mode") in MERGE_CLASSES:
        mode, axis = options.pop("mode"), options.pop("concat_axis", -1)
        return MERGE_CLASSES[mode], options | ({"axis": axis} if mode == "concat" else {})
    return new, options


def _input_shape(class_name: str, config: Config) -> list[Any] | None:
    """The model's first layer says what it reads, batch first; the others say nothing."""
    if config.get("batch_input_shape") is not None:
        return list(config["batch_input_shape"])
    length = config.get("input_length")
    if class_name == "Embedding":  # its input_shape was the vocabulary's size in 0.2 and 0.3
        return [None, length]
    if config.get("input_shape") is not None:
        return [None, *config["input_shape"]]
    if config.get("input_dim") is None:
        return None
    steps = () if class_name in ("Dense", "MaxoutDense", "Highway") else (length,)
    return [None, *steps, config["input_dim"]]


def as_keras_1(model: Mapping[str, Any]) -> dict[str, Any]:
    """A Keras 0 model, {"name": "Sequential", "layers": [{"name": class, …}]}, in the form of Keras 1 and later.

    Layers are called layer_0, layer_1 …, as its weight files call them. Raises KeyError, TypeError: not of that form.
    """
    layers = []
    for number, layer in enumerate(model["layers"]):
        options = {name: value for name, value in layer.items() if name != "name"}
        if isinstance(layer.get("layer"), Mapping):  # TimeDistributed(layer), new in 0.3.3
            inner = layer["layer"]
            options["layer"] = {"class_name": inner["name"], "config": {n: v for n, v in inner.items() if n != "name"}}
        layers.append({"class_name": layer["name"], "config": {**options, "name": f"layer_{number}"}})
    return {"class_name": model["name"], "config": layers}
