"""What a model's owner says of it in `<repository>/<model>/model.yaml`; everything is optional. Knows no versions.

sequence_batching: true       # clients that read the model's configuration are told to send sequences
session_idle_seconds: 3600    # a live sequence that is fed nothing for so long expires; 0: never
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from cellserve.service.errors import RepositoryError

SETTINGS_FILE: Final = "model.yaml"
_MAX_BYTES: Final = 1 << 20


class ModelSettings(BaseModel):
    """session_idle_seconds: None is the server's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sequence_batching: bool = False
    session_idle_seconds: NonNegativeFloat | None = Field(default=None, allow_inf_nan=False)


def read(folder: Path) -> ModelSettings:
    """The settings in a model's folder, the defaults without a file. Raises RepositoryError: not YAML, or not these settings."""
    import yaml  # not among the client's packages

    path = folder / SETTINGS_FILE
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise RepositoryError(f"{path} is larger than {_MAX_BYTES} bytes; expected a few lines of settings")
        values = yaml.safe_load(text)
        return ModelSettings.model_validate({} if values is None else values)
    except FileNotFoundError:
        return ModelSettings()
    except OSError as error:
        raise RepositoryError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RepositoryError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole file"
        known = ", ".join(ModelSettings.model_fields)
        raise RepositoryError(f"{path}: {place}: {first['msg']}; the settings are: {known}") from error
