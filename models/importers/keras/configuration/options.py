"""Which options of a Keras layer matter at inference, which only in training, and which are unknown and so refused.

Knows no arithmetic: the translation of the options that matter is in layers/.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cellserve.models.errors import ImportRefused

Config = Mapping[str, Any]

HARMLESS: Final = frozenset(
    {
        "name", "trainable", "dtype", "batch_input_shape", "batch_shape", "batch_size", "input_shape", "input_dtype",
        "input_length",
        "build_config", "registered_name", "shared_object_id", "seed", "sparse", "ragged", "optional", "noise_shape", "autocast",
        "implementation", "unit_forget_bias", "use_cudnn", "momentum", "renorm_momentum", "synchronized", "fused",
        "supports_masking", "ragged_rank", "consume_less", "weights", "input_spec", "states", "lora_rank", "lora_alpha",
    }
)  # fmt: skip
TRAINING: Final = {
    "dropout": "Dropout inside recurrent layers",
    "recurrent_dropout": "Dropout inside recurrent layers",
    "regularizer": "Regularizers",
    "constraint": "Constraints",
    "initializer": "Initializers",
    "activity_regularizer": "Regularizers",
    "l1": "Regularizers",
    "l2": "Regularizers",
}
FLOAT32_NAMES: Final = ("float32", "int32", "int64", "bool")


@dataclass
class TrainingNotes:
    """Collects what is to be said: one sentence for each kind of option that acts only in training, and for each trap met.

    Both name the layers.
    """

    source: str
    layers: dict[str, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    traps: dict[str, list[str]] = field(default_factory=dict)

    def record(self, kind: str, layer: str) -> None:
        names = self.layers.setdefault(kind, [])
        if layer not in names:
            names.append(layer)

    def met(self, trap: str, layer: str) -> None:
        names = self.traps.setdefault(trap, [])
        if layer not in names:
            names.append(layer)

    def say(self, sentence: str) -> None:
        if sentence not in self.others:
            self.others.append(sentence)

    def sentences(self) -> tuple[str, ...]:
        ignored = [f"{kind}: only for training, ignored here ({', '.join(names)})." for kind, names in self.layers.items()]
        met = [f"{', '.join(names)}: {trap}." for trap, names in self.traps.items()]
        return (*ignored, *self.others, *met)


def check_options(class_name: str, name: str, config: Config, used: Collection[str], notes: TrainingNotes) -> None:
    """Raises ImportRefused for an option that is set and that nobody here knows."""
    for option, value in config.items():
        if option in used or option in HARMLESS:
            continue
        kind = _training_kind(option)
        if kind is not None:
            if value not in (None, 0, 0.0):
                notes.record(kind, name)
            continue
        if value is not None:
            raise ImportRefused(
                notes.source,
                f"{class_name} has this option set to {_short(value)}, whose effect is not known here; save the model without it",
                layer=name,
                option=option,
            )
    _check_precision(name, config.get("dtype"), notes)


def _training_kind(option: str) -> str | None:
    for ending, kind in TRAINING.items():
        if option == ending or option.endswith(f"_{ending}"):
            return kind
    return None


def _check_precision(name: str, policy: object, notes: TrainingNotes) -> None:
    """A layer's dtype is a name or, newer, a policy object around one."""
    if isinstance(policy, Mapping):
        inner = policy.get("config")
        policy = inner.get("name", inner.get("source_name")) if isinstance(inner, Mapping) else None
    if isinstance(policy, str):
        policy = policy.rpartition("_from_")[2]  # of weights in few bits, "int8_from_float32"
    if policy is None or policy in FLOAT32_NAMES:
        return
    if isinstance(policy, str) and policy in ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"):
        notes.say(f"The file computes in {policy} (layer {name}).")
        return
    raise ImportRefused(notes.source, f"the precision {_short(policy)} is not supported", layer=name, option="dtype")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
