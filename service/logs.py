"""Logging set-up: one line of text, or one JSON object, per event on standard error. Nothing is ever logged to standard output.

Lines written while a request is served carry its id: from `extra={"request_id": …}`, or from the context; as JSON also what is
known by then of what it asks for. Knows no settings class: it is told level and format.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

LogFormat = Literal["text", "json"]

request_id: ContextVar[str] = ContextVar("request_id", default="")
about: ContextVar[Callable[[], Mapping[str, object]]] = ContextVar("about", default=dict)  # asked when a line is written

ROOT: Final = "cellserve"
AUDIT: Final = "cellserve.audit"  # who administered what: written at any level
_FIELDS: Final = ("model", "version", "implementation", "sequence", "trace_id", "method", "by", "subject", "outcome")
_COMPLAINT_SECONDS: Final = 1.0
_MOST_COMPLAINTS: Final = 256


def configure(level: str, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Sends what cellserve logs at `level` (debug, info, warning, error) and above to `stream`; replaces an earlier set-up.

    Other libraries are heard from warnings upwards.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.addFilter(_with_context)
    handler.addFilter(_Once())
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, JsonFormatter | TextFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level.upper())
    logging.getLogger(AUDIT).setLevel(logging.INFO)


def current() -> tuple[int, LogFormat]:
    """The level and format in force: those of `configure`, or Python's own before it."""
    as_json = any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
    return logging.getLogger(ROOT).getEffectiveLevel(), "json" if as_json else "text"


def _with_context(record: logging.LogRecord) -> bool:
    if not hasattr(record, "request_id"):
        record.request_id = request_id.get()
    for name, value in about.get()().items():
        if not hasattr(record, name):
            setattr(record, name, value)
    return True


class _Once:
    """Lets the same complaint pass once a second, of gRPC or of whoever names one by `extra={"once": …}`: a storm of calls that
    are gone already costs two tracebacks each.

    What it says of one of them is all that there is to know; the calls themselves are counted in the metrics.
    """

    def __init__(self) -> None:
        self._told_seconds: dict[str, float] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        complaint = str(record.msg) if record.name.startswith("grpc") else getattr(record, "once", None)
        if complaint is None:
            return True
        if record.created < self._told_seconds.get(complaint, 0.0) + _COMPLAINT_SECONDS:
            return False
        if len(self._told_seconds) >= _MOST_COMPLAINTS:
            self._told_seconds.clear()
        self._told_seconds[complaint] = record.created
        return True


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO    cellserve.service.app: message [request id]`, tracebacks below."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        identity = getattr(record, "request_id", "")
        suffix = f" [{identity}]" if identity else ""
        return f"{_time(record)} {record.levelname:<7} {record.name}: {record.message}{suffix}"


class JsonFormatter(logging.Formatter):
    """One object: time, level, logger, message, and where there are any request_id, model, version, implementation and sequence
    of the request, what an audit says, and traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identity := getattr(record, "request_id", ""):
            event["request_id"] = identity
        event |= {name: value for name in _FIELDS if (value := getattr(record, name, None))}
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)
