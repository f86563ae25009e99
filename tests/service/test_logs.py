import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from cellserve.service import logs

log = logging.getLogger("cellserve.service.some_module")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(logs.ROOT)
    before = (list(root.handlers), root.level, ours.level)
    yield
    root.handlers[:], root.level, _ = before
    ours.setLevel(before[2])


def test_text_is_one_line_with_the_request_id() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    token = logs.request_id.set("r-1")
    log.info("hello %s", "there")
    logs.request_id.reset(token)
    log.info("no request")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("INFO    cellserve.service.some_module: hello there [r-1]")
    assert second.endswith("no request")


def test_json_is_one_object_a_line_even_with_a_traceback() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        raise ValueError("bad\nnews")
    except ValueError:
        log.exception("it failed", extra={"request_id": "r-2"})
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["level"] == "error"
    assert event["message"] == "it failed"
    assert event["request_id"] == "r-2"
    assert "ValueError: bad" in event["traceback"]
    assert event["time"].endswith("Z")


def test_level_and_other_libraries() -> None:
    stream = io.StringIO()
    logs.configure("warning", "text", stream)
    log.info("quiet")
    logging.getLogger("other").info("quiet")
    logging.getLogger("other").warning("loud")
    assert len(stream.getvalue().splitlines()) == 1


def test_configuring_again_replaces() -> None:
    streams = io.StringIO(), io.StringIO()
    for stream in streams:
        logs.configure("info", "text", stream)
    log.info("once")
    assert [stream.getvalue().count("once") for stream in streams] == [0, 1]


def test_nothing_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "text", sys.stderr)
    log.debug("detail")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "detail" in captured.err


def test_a_storm_of_one_complaint_of_grpc_is_one_line_a_second() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    grpc_log = logging.getLogger("grpc._cython.cygrpc")
    for number in range(100):
        grpc_log.error("ExecuteBatchError raised in core by servicer method [%s]", number)
    grpc_log.error("something else")
    for _ in range(3):
        log.warning("ours are never dropped")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert [line.count("ExecuteBatchError") for line in lines] == [1, 0, 0, 0, 0]


def test_json_tells_of_the_request_as_far_as_it_is_known() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    known: dict[str, object] = {"implementation": "", "sequence": "caller-7"}
    token = logs.about.set(lambda: known)
    log.info("first")
    known |= {"model": "digits", "version": 3, "implementation": "packed"}
    log.info("second")
    logs.about.reset(token)
    log.info("third")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert first["sequence"] == "caller-7"
    assert not {"model", "implementation"} & first.keys()
    assert (second["model"], second["version"], second["implementation"]) == ("digits", 3, "packed")
    assert not {"model", "version", "sequence"} & third.keys()


def test_a_complaint_that_is_named_is_told_once_a_second() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    for number in range(5):
        log.info("denied %d", number, extra={"once": "denied"})
    assert len(stream.getvalue().splitlines()) == 1
