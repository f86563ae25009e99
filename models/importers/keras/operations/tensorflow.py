"""Operations of TensorFlow in tf.keras: the name that Keras 3 has for each, and its options. Knows no numerics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cellserve.models.importers.keras.configuration.calls import Call


def keras_3_name(raw: Mapping[str, Any]) -> str | None:
    config = raw.get("config")
    return TENSORFLOW.get(str(config.get("function"))) if isinstance(config, Mapping) else None


def keywords_of(call: Call) -> dict[str, Any]:
    return {RENAMED.get(key, key): value for key, value in call.keywords.items() if value is not None}


def options_of(name: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {**DEFAULTS.get(name, {}), **{key: value for key, value in keywords.items() if key not in ("y", "key", "name")}}


TENSORFLOW_LAYERS: Final = ("TFOpLambda", "SlicingOpLambda")
TENSORFLOW: Final[Mapping[str, str]] = {
    "__operators__.getitem": "GetItem",
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "Divide",
    "math.divide": "Divide",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.negative": "Negative",
    "math.square": "Square",
    "math.exp": "Exp",
    "math.tanh": "Tanh",
    "math.sigmoid": "Sigmoid",
    "math.softplus": "Softplus",
    "math.reduce_mean": "Mean",
    "math.reduce_max": "Max",
    "math.reduce_sum": "Sum",
    "concat": "Concatenate",
    "reshape": "Reshape",
    "transpose": "Transpose",
    **{
        f"nn.{name}": keras_3
        for name, keras_3 in (
            *(("tanh", "Tanh"), ("sigmoid", "Sigmoid"), ("relu", "Relu"), ("relu6", "Relu6"), ("elu", "Elu"), ("selu", "Selu")),
            *(
                ("gelu", "Gelu"),
                ("silu", "Silu"),
                ("leaky_relu", "LeakyRelu"),
                ("softplus", "Softplus"),
                ("softsign", "Softsign"),
            ),
            *(("softmax", "Softmax"), ("log_softmax", "LogSoftmax"), ("softmax_v2", "Softmax")),
        )
    },
}
RENAMED: Final = {"slice_spec": "key", "shape": "newshape", "perm": "axes"}
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {"Gelu": {"approximate": False}}
