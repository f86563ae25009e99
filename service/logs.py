"""Logging set-up: one line of text, or one JSON object, per event on standard error. Nothing is ever logged to standard output.

Lines written while a request is served carry its id: from `extra={"request_id": …}`, or from the context. Knows no settings
class: it is told level and format.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

LogFormat = Literal["text", "json"]

request_id: ContextVar[str] = ContextVar("request_id", default="")

ROOT: Final = "cellserve"
_COMPLAINT_SECONDS: Final = 1.0
_MOST_COMPLAINTS: Final = 256


def configure(level: str, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Sends what cellserve logs at `level` (debug, info, warning, error) and above to `stream`; replaces an earlier set-up.

    Other libraries are heard from warnings upwards.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.addFilter(_with_request_id)
    handler.addFilter(_Once())
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, JsonFormatter | TextFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level.upper())


def current() -> tuple[int, LogFormat]:
    """The level and format in force: those of `configure`, or Python's own before it."""
    as_json = any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
    return logging.getLogger(ROOT).getEffectiveLevel(), "json" if as_json else "text"


def _with_request_id(record: logging.LogRecord) -> bool:
    if not hasattr(record, "request_id"):
        record.request_id = request_id.get()
    return True


class _Once:
    """Lets the same complaint of gRPC pass once a second: a storm of calls that are gone already costs two tracebacks each.

    What it says of one of them is all that there is to know; the calls themselves are counted in the metrics.
    """

    def __init__(self) -> None:
        self._told_seconds: dict[str, float] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("grpc"):
            return True
        complaint = str(record.msg)
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
    """One object: time, level, logger, message, and where there are any request_id and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        event = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if identity := getattr(record, "request_id", ""):
            event["request_id"] = identity
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)
