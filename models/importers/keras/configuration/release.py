"""Which Keras releases may have written a model that does not say so, told from the options that it names.

Sources: get_config of the recurrent layers and of Layer at tags 0.1.0 to 1.2.2; to_json of Keras 3, which leaves its release out.
Knows no arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

ALL_0: Final = ("0.1.0", "0.1.1", "0.1.2", "0.1.3", "0.2.0", "0.3.0", "0.3.1", "0.3.2", "0.3.3")
FIRST_AND_LAST_1: Final = ("1.0.0", "1.0.8", "1.2.2")
ALL_3: Final = ("3.0.0", "3.4.0", "3.6.0")  # before and after each change of arithmetic
KERAS_1_OPTIONS: Final = frozenset({"inner_init", "inner_activation", "consume_less", "nb_filter", "W_regularizer", "init"})


def is_keras_0(model: Mapping[str, Any]) -> bool:
    """{"name": "Sequential", "layers": [{"name": class, …}]}: how Keras 0.x writes a model."""
    return "class_name" not in model and isinstance(model.get("layers"), list)


def likely_releases(model: Mapping[str, Any]) -> tuple[str, ...]:
    """Oldest first; empty where it is none of Keras 0, 1 and 3."""
    if _is_keras_3(model):
        return _keras_3_releases(model["config"])
    if not is_keras_0(model):
        return FIRST_AND_LAST_1 if any(KERAS_1_OPTIONS & set(config) for config in _configs(model)) else ()
    options: set[str] = set()
    classes = set()
    for layer in model["layers"]:
        if isinstance(layer, Mapping):
            options |= set(layer)
            classes.add(layer.get("name"))
    if "custom_name" in options:
        return ("0.3.3",) if "dropout_W" in options else ("0.3.2", "0.3.3")
    if "go_backwards" in options:
        return ("0.3.1",) if "cache_enabled" in options else ("0.3.0",)
    if "truncate_gradient" in options:
        return ("0.2.0",) if "input_length" in options else ALL_0[:4]
    return ("0.1.2", "0.1.3", "0.2.0") if classes & {"JZS1", "JZS2", "JZS3"} else ALL_0


def _is_keras_3(model: Mapping[str, Any]) -> bool:
    """tf-keras says its release in to_json, and calls the shape of an input otherwise."""
    return "module" in model and not any({"batch_input_shape", "time_major"} & set(config) for config in _configs(model))


def _keras_3_releases(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What merges make of masks stands among the layers, since they make something of them at all."""
    operations = {
        layer.get("class_name") for layer in config.get("layers", []) if str(layer.get("module", "")).startswith("keras.src.ops")
    }
    return ALL_3[1:] if operations & {"LogicalOr", "OnesLike"} else ALL_3


def _configs(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every "config" of layers, also of those inside of others."""
    if isinstance(value, list):
        for item in value:
            yield from _configs(item)
    elif isinstance(value, Mapping):
        config = value.get("config")
        if isinstance(config, Mapping):
            yield config
            yield from _configs([inner for inner in config.values() if isinstance(inner, Mapping | list)])
        elif isinstance(config, list):
            yield from _configs(config)
