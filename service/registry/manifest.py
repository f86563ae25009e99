"""What identifies a version, and what is written about it: names, references and the manifest.

Knows no folders and no weights; manifest.json is this class and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    PositiveInt,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from cellserve.models.description.step_model import StepModel
from cellserve.models.implementations import FLOAT32, IMPLEMENTATIONS
from cellserve.models.spec import ModelSpec
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput

SCHEMA_VERSION: Final = 1
STABLE: Final = "stable"  # the alias that an empty version on the wire means, where a model has it
MAX_NAME_CHARACTERS: Final = 128

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ALIAS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def check_model_name(name: str) -> str:
    """The name itself. Raises InvalidInput unless it is letters, digits, `.`, `_` and `-`, and does not start with `.` or `-`."""
    if not _MODEL_NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:MAX_NAME_CHARACTERS]!r} is not a model name: use 1 to {MAX_NAME_CHARACTERS} letters, digits, "
            "'.', '_' or '-', starting with a letter, a digit or '_'",
            field="model",
        )
    return name


def check_alias_name(alias: str) -> str:
    """The alias itself. Raises InvalidInput unless it is a model name that does not start with a digit (numbers are versions)."""
    if not _ALIAS_NAME.fullmatch(alias):
        raise InvalidInput(
            f"{alias[:MAX_NAME_CHARACTERS]!r} is not an alias: use 1 to {MAX_NAME_CHARACTERS} letters, digits, '.', '_' or '-', "
            "starting with a letter or '_'",
            field="alias",
        )
    return alias


def parse_version(text: str) -> int | None:
    """The version number in `text`, or None if it is not a positive integer in plain digits."""
    return int(text) if text and _VERSION.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """`name`, `name/3` or `name@canary`: a model, one version of it, or one alias of it. Parsed once, at the door."""

    model: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Raises InvalidInput, saying which part is wrong."""
        if "@" in text:
            model, _, alias = text.partition("@")
            return cls(check_model_name(model), alias=check_alias_name(alias))
        model, slash, number = text.partition("/")
        if not slash:
            return cls(check_model_name(model))
        version = parse_version(number)
        if version is None:
            raise InvalidInput(
                f"{number[:MAX_NAME_CHARACTERS]!r} is not a version: use a positive integer, as in 'digits/3'", field="version"
            )
        return cls(check_model_name(model), version=version)

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.model}/{self.version}"
        return f"{self.model}@{self.alias}" if self.alias is not None else self.model

    @property
    def wire_version(self) -> str:
        """The version as requests carry it: a number, an alias, or empty."""
        return str(self.version) if self.version is not None else self.alias or ""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceRecord(_Frozen):
    """The file that a version was imported from."""

    framework: str
    version: str
    file: str
    digest: str


class ParityRecord(_Frozen):
    """What the publish gate measured: the bound it held, the largest difference of each implementation, and who cannot run it.

    framework: the oracle's largest difference from answers of the framework that wrote the file, by who gave them; empty where
    nobody did. With such answers the golden pair is theirs.
    """

    bound: float
    differences: Mapping[str, float]
    refused: Mapping[str, str] = Field(default_factory=dict)
    framework: Mapping[str, float] = Field(default_factory=dict)


def _kind(spec: Any) -> str:
    """Layers, or a graph that is called as it is."""
    return "step" if isinstance(spec, StepModel) or (isinstance(spec, dict) and "answers" in spec) else "layers"


Spec = Annotated[
    Annotated[ModelSpec, Tag("layers")] | Annotated[StepModel, Tag("step")],
    Discriminator(_kind),
]


class Manifest(_Frozen):
    """Everything about one version except its numbers. Immutable once published."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model: Annotated[str, AfterValidator(check_model_name)]
    version: PositiveInt
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    spec: Spec
    weights_digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    source: SourceRecord
    notes: tuple[str, ...] = ()
    parity: ParityRecord
    golden: dict[str, JsonValue]  # a GoldenPair as JSON; registry/loading.py gives it back to the mathematics
    tags: Mapping[str, str] = Field(default_factory=dict)

    @property
    def key(self) -> VersionKey:
        return VersionKey(self.model, self.version)

    def bound_of(self, implementation: str) -> float | None:
        """How far from the oracle publishing allowed it to be; None: nobody has measured that of its precision."""
        known = IMPLEMENTATIONS.get(implementation)
        if known is None or known.precision == FLOAT32:
            return self.parity.bound
        bound = self.golden.get("bfloat16_bound")
        return bound if isinstance(bound, float) else None

    def to_json(self) -> bytes:
        """As manifest.json: without what is at its default, so that older servers read what uses no option new to them."""
        return self.model_dump_json(indent=1, exclude_defaults=True).encode()

    @model_serializer(mode="wrap")
    def _told(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = told(self)
        return {"schema_version": self.schema_version} | written
