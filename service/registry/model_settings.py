"""What a model's owner says of it in `<repository>/<model>/model.yaml`; everything is optional. Knows no versions.

load: on-demand               # with the first request to the model; at-start: when the server starts
keep_newest: 1                # so many of the newest versions stay loaded, beside those that aliases name
keep_previous: 15m            # the version that an alias has left stays loaded so long; 0: not at all
pinned: [3]                   # these versions always stay loaded
retention: {keep: 5}          # after an import, and by `cellserve prune`, older versions are removed that nobody asks for
shadow: {version: 4, share: 10%}  # this part of the requests runs on version 4 besides, in idle time; differences are metrics
record: {rows: 1000, bytes: 16777216}  # a random sample of real inputs is kept in memory, for `cellserve compare --recorded`
implementation: packed        # how its recurrent layers are computed, unless a request says
precision: bfloat16           # of what recurrent layers multiply, unless a request says; float32, the default, is exact
device: cpu                   # where; of versions that are loaded from now on
limits:                       # tighter than the server's own
  max_rows_per_request: 64
  max_steps_per_sequence: 10000
session_idle_seconds: 3600    # a live sequence that is fed nothing for so long expires; 0: never
session_max_age_seconds: 0    # a live sequence expires at this age; 0: never
sequence_batching: true       # clients that read the model's configuration are told to send sequences
labels: {owner: speech}       # words of the owner's, shown with the model
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from cellserve.models.implementations import BFLOAT16, IN_BFLOAT16, Precision
from cellserve.service.config import DEVICE_PATTERN, ImplementationChoice, LoadChoice, Settings
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.policy.durations import Duration
from cellserve.service.registry.policy.split import parse_share
from cellserve.service.registry.policy.yaml_text import WrongText, validated

SETTINGS_FILE: Final = "model.yaml"
_MAX_BYTES: Final = 1 << 20

Label = Annotated[str, Field(max_length=256)]


def _parsed_share(given: Any) -> float:
    return parse_share(given if isinstance(given, str) else f"{given}")


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RequestLimits(_Said):
    """None is the server's own, which is also the most that counts."""

    max_rows_per_request: PositiveInt | None = None
    max_steps_per_sequence: PositiveInt | None = None


class Retention(_Said):
    """keep: so many of the newest versions stay, beside those that aliases name or may go back to, and pinned ones."""

    keep: PositiveInt


class ShadowSettings(_Said):
    """version: on which requests that another one answers run besides, in time that nobody else wants. share: of them."""

    version: PositiveInt
    share: Annotated[float, BeforeValidator(_parsed_share)] = 0.1

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, given: Any) -> Any:
        """`shadow: 4`."""
        return {"version": given} if isinstance(given, int) and not isinstance(given, bool) else given


class RecordSettings(_Said):
    """rows, bytes: of real inputs that are kept at most, in memory."""

    rows: PositiveInt = 1000
    bytes: PositiveInt = 16 << 20

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, given: Any) -> Any:
        """`record: 1000`."""
        return {"rows": given} if isinstance(given, int) and not isinstance(given, bool) else given


class ModelSettings(_Said):
    """Wherever None is the default, it is the server's own."""

    load: LoadChoice | None = None
    keep_newest: NonNegativeInt = 1
    keep_previous: Duration | None = None  # seconds
    pinned: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = ()
    retention: Retention | None = None
    shadow: ShadowSettings | None = None
    record: RecordSettings | None = None
    implementation: ImplementationChoice | None = None
    precision: Precision | None = None
    device: str | None = Field(default=None, pattern=DEVICE_PATTERN)
    limits: RequestLimits | None = None
    session_idle_seconds: NonNegativeFloat | None = Field(default=None, allow_inf_nan=False)
    session_max_age_seconds: NonNegativeFloat | None = Field(default=None, allow_inf_nan=False)
    sequence_batching: bool = False
    labels: Mapping[Label, Label] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_precision(self) -> Self:
        if self.precision == BFLOAT16 and self.implementation not in (None, "auto"):
            raise ValueError(
                f"implementation {self.implementation} computes in float32, precision asks for bfloat16; leave out one of them"
            )
        return self

    @property
    def named_versions(self) -> set[int]:
        """Those that stay loaded because it names them."""
        return {*self.pinned, *([self.shadow.version] if self.shadow else [])}

    def applied(self, settings: Settings) -> Settings:
        """The server's settings as they are for this model's versions."""
        implementation = IN_BFLOAT16 if self.precision == BFLOAT16 else self.implementation
        own = {"load": self.load, "implementation": implementation, "device": self.device}
        return settings.model_copy(update={name: value for name, value in own.items() if value is not None})


def read(folder: Path) -> ModelSettings:
    """The settings in a model's folder, the defaults without a file. Raises RepositoryError: not YAML, or not these settings."""
    path = folder / SETTINGS_FILE
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ModelSettings()
    except OSError as error:
        raise RepositoryError(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > _MAX_BYTES:
        raise RepositoryError(f"{path} is larger than {_MAX_BYTES} bytes; expected a few lines of settings")
    try:
        return validated(text, ModelSettings)
    except WrongText as error:
        raise RepositoryError(f"{path} is wrong: {error}") from error
