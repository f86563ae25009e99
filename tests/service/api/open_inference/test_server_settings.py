"""Trace and log settings: read, never changed."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import grpc
import pytest

from cellserve.service import logs
from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.api.conftest import Harness


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(logs.ROOT)
    handlers, level, our_level = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize(
    ("level", "form", "info", "error", "verbose"),
    [("debug", "json", True, True, 1), ("info", "text", True, True, 0), ("error", "text", False, True, 0)],
)
async def test_log_settings_are_those_in_force(
    harness: Harness, level: str, form: logs.LogFormat, info: bool, error: bool, verbose: int
) -> None:
    logs.configure(level, form, io.StringIO())
    told = (await harness.open_inference.LogSettings(pb.LogSettingsRequest())).settings
    assert (told["log_info"].bool_param, told["log_error"].bool_param) == (info, error)
    assert told["log_verbose_level"].uint32_param == verbose
    assert told["log_format"].string_param == form


async def test_tracing_is_off(harness: Harness) -> None:
    told = (await harness.open_inference.TraceSetting(pb.TraceSettingRequest(model_name="sums"))).settings
    assert {name: list(value.value) for name, value in told.items()} == {"trace_level": ["OFF"]}


async def test_changes_are_refused_in_words(harness: Harness) -> None:
    logs_changed = pb.LogSettingsRequest()
    logs_changed.settings["log_info"].bool_param = False
    traces_changed = pb.TraceSettingRequest()
    traces_changed.settings["trace_level"].value.append("TIMESTAMPS")
    for call, words in (
        (harness.open_inference.LogSettings(logs_changed), "--log-level"),
        (harness.open_inference.TraceSetting(traces_changed), "no traces"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=words) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
