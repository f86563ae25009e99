"""Tracing and logging as their extensions show them: to be read, not to be changed. Messages in, messages out."""

from __future__ import annotations

import logging

from cellserve.service import logs
from cellserve.service.errors import NotOffered
from cellserve.service.pb import open_inference_pb2 as pb


def trace(request: pb.TraceSettingRequest) -> pb.TraceSettingResponse:
    """Raises NotOffered: a change."""
    if request.settings:
        raise NotOffered("this server writes no traces, so their settings cannot be changed", field="settings")
    return pb.TraceSettingResponse(settings={"trace_level": pb.TraceSettingResponse.SettingValue(value=["OFF"])})


def logging_now(request: pb.LogSettingsRequest) -> pb.LogSettingsResponse:
    """Raises NotOffered: a change."""
    if request.settings:
        raise NotOffered(
            "log settings cannot be changed while the server runs; start it with --log-level and --log-format", field="settings"
        )
    level, form = logs.current()
    value = pb.LogSettingsResponse.SettingValue
    return pb.LogSettingsResponse(
        settings={
            "log_file": value(string_param=""),
            "log_info": value(bool_param=level <= logging.INFO),
            "log_warning": value(bool_param=level <= logging.WARNING),
            "log_error": value(bool_param=level <= logging.ERROR),
            "log_verbose_level": value(uint32_param=int(level <= logging.DEBUG)),
            "log_format": value(string_param=form),
        }
    )
