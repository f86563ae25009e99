"""What a scenario file says: kinds of traffic, how each comes, for how long. Data only; knows no client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from cellserve.service.errors import InvalidInput


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Poisson(_Part):
    """Independent callers: exponential gaps."""

    kind: Literal["poisson"] = "poisson"
    rate_per_second: PositiveFloat


class Steady(_Part):
    """Equal gaps."""

    kind: Literal["steady"]
    rate_per_second: PositiveFloat


class Bursts(_Part):
    """Poisson, whose rate leaps to `burst_per_second` for `burst_seconds` at the begin of every `every_seconds`."""

    kind: Literal["bursts"]
    rate_per_second: NonNegativeFloat = 0.0
    burst_per_second: PositiveFloat
    every_seconds: PositiveFloat
    burst_seconds: PositiveFloat


class Ramp(_Part):
    """Poisson, whose rate goes evenly from one to the other over the whole run."""

    kind: Literal["ramp"]
    from_per_second: NonNegativeFloat
    to_per_second: PositiveFloat


class Recorded(_Part):
    """As a CSV of the columns `seconds` and `steps` has it: when each came, and how long it was."""

    kind: Literal["recorded"]
    file: Path


class Callers(_Part):
    """Closed loop: each sends its next when its last is answered."""

    kind: Literal["callers"]
    callers: PositiveInt


Arrivals = Annotated[Poisson | Steady | Bursts | Ramp | Recorded | Callers, Field(discriminator="kind")]


class Feeds(_Part):
    """Makes each arrival a live sequence.

    interval_seconds: between the times at which feeds are due; 0: when the last is answered.
    """

    count: PositiveInt
    steps: PositiveInt = 1
    interval_seconds: NonNegativeFloat = 0.0


class Traffic(_Part):
    """One kind of traffic. lengths: as `cellserve load --lengths`, or trace:FILE; where there are `feeds`, those decide.

    features, vocabulary, input: what to ask, as the options of `cellserve load`; none: what the model takes.
    """

    name: str
    model: str
    arrivals: Arrivals
    lengths: str = "mix"
    feeds: Feeds | None = None
    features: PositiveInt | None = None
    vocabulary: PositiveInt | None = None
    input: Path | None = None
    samples: PositiveInt | None = None
    implementation: str = ""


class Scenario(_Part):
    """A whole file.

    check: whether each answer is compared. retry: whether refusals are sent again, as a client does by default.
    """

    name: str
    duration_seconds: PositiveFloat = 10.0
    processes: PositiveInt = 1
    seed: NonNegativeInt = 0
    tolerance: NonNegativeFloat = 1e-5
    timeout_seconds: PositiveFloat = 60.0
    check: bool = True
    retry: bool = False
    traffic: Annotated[tuple[Traffic, ...], Field(min_length=1)]

    def under(self, implementation: str) -> Scenario:
        """The same with every request under one implementation."""
        return self.model_copy(
            update={"traffic": tuple(part.model_copy(update={"implementation": implementation}) for part in self.traffic)}
        )


def read(path: Path) -> Scenario:
    """Of YAML (or JSON, which is YAML); files named in it are relative to its folder. Raises InvalidInput, OSError."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise InvalidInput("a scenario is read with PyYAML; pip install 'cellserve[server]' brings it") from error
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no YAML: {error}") from error
    scenario = of_data(data, str(path))
    for part in scenario.traffic:
        _check(part, path)
    return scenario.model_copy(update={"traffic": tuple(_beside(part, path.parent) for part in scenario.traffic)})


def of_data(data: Any, where: str) -> Scenario:
    """Raises InvalidInput: it names each field that is wrong."""
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}" for fault in error.errors())
        raise InvalidInput(f"{where} is no scenario: {faults}") from error
    names = [part.name for part in scenario.traffic]
    if len(set(names)) < len(names):
        raise InvalidInput(f"{where} is no scenario: two kinds of traffic have one name; names are {', '.join(names)}")
    return scenario


def _check(part: Traffic, path: Path) -> None:
    arrivals = part.arrivals
    if isinstance(arrivals, Bursts) and arrivals.burst_seconds > arrivals.every_seconds:
        raise InvalidInput(
            f"{path}: traffic {part.name}: bursts of {arrivals.burst_seconds:g} s cannot come every {arrivals.every_seconds:g} s"
        )
    if isinstance(arrivals, Recorded) and (part.feeds or part.input):
        raise InvalidInput(f"{path}: traffic {part.name}: a recording says how long each request was; leave out feeds and input")


def _beside(part: Traffic, folder: Path) -> Traffic:
    changed: dict[str, Any] = {}
    if part.input is not None:
        changed["input"] = folder / part.input
    if isinstance(part.arrivals, Recorded):
        changed["arrivals"] = part.arrivals.model_copy(update={"file": folder / part.arrivals.file})
    kind, _, file = part.lengths.partition(":")
    if kind == "trace":
        changed["lengths"] = f"trace:{folder / file}"
    return part.model_copy(update=changed)
