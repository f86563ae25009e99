"""How a command fails: one sentence on standard error, and an exit code. Never a traceback, unless --debug asks for one.

Exit code 2: what was asked for is wrong (input, reference, file, setting). 1: it was right and failed all the same.
"""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from cellserve.models.errors import ModelError
from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.errors import (
    InvalidInput,
    NotCausal,
    NotOffered,
    RepositoryError,
    ServiceError,
    UnknownImplementation,
    UnknownModel,
    UnknownVersion,
    UnsupportedImplementation,
)
from cellserve.service.followed_files import UnusableFile
from cellserve.service.loadgen.errors import ProcessDied
from cellserve.service.overview.scraping import NoAnswer

BAD_INPUT: Final = 2
FAILED: Final = 1

_SERVER_EXTRA: Final = (
    "torch",
    "grpc_health",
    "grpc_reflection",
    "safetensors",
    "h5py",
    "yaml",
    "watchfiles",
)
_OPTIONS: Final = {
    "TOKEN_MISSING": "here: --token-file FILE, where the file holds the token and nothing else",
    "TOKEN_INVALID": "here it came out of the file of --token-file (CELLSERVE_TOKEN_FILE)",
    "NOT_TRUSTED": "here --root-certificates FILE names whom to trust, and --server-name NAME whom the certificate is of",
}  # by the reason of an error whose sentence speaks of any client: which options of a command it means
_BAD_INPUT: Final = (
    ModelError,
    InvalidInput,
    NotCausal,
    NotOffered,
    RepositoryError,
    UnknownImplementation,
    UnknownModel,
    UnknownVersion,
    UnsupportedImplementation,
    UnusableFile,
    ValidationError,
    OSError,
)


def sentence(error: Exception) -> str:
    """What to tell the user."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _SERVER_EXTRA:
        return f"this command needs {error.name}, which comes with the server: pip install 'cellserve[server]'"
    if isinstance(error, ValidationError):
        return "; ".join(_setting(detail["loc"], detail["msg"]) for detail in error.errors())
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if isinstance(error, ServiceError) and error.reason in _OPTIONS:
        return f"{error} ({_OPTIONS[error.reason]})"
    if isinstance(error, ServiceError | ModelError | ClusterFailed | ProcessDied | UnusableFile | NoAnswer):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; run it again as `cellserve --debug …` for the traceback"


def exit_code(error: Exception) -> int:
    return BAD_INPUT if isinstance(error, _BAD_INPUT) else FAILED


def _setting(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")  # what pydantic puts before the sentences of our own checks
    name = ".".join(map(str, location))
    return f"--{name.replace('_', '-')} (CELLSERVE_{name.upper()}): {message}" if name else message
