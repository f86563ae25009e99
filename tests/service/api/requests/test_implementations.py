"""Which implementation a request gets: by label, by precision, by both, and by neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from cellserve.models.implementations import IN_BFLOAT16
from cellserve.service.api.requests.implementations import choose
from cellserve.service.errors import InvalidInput, UnknownImplementation, UnsupportedImplementation

WHY = "implementation 'packed-bfloat16' cannot run layer 'l': this processor does not multiply in bfloat16 (avx512_bf16)"


@dataclass(frozen=True)
class Version:
    implementations: Mapping[str, str | None]
    default_implementation: str = "packed"


ALL = Version({"0": None, "2": None, "onnxruntime": None, "packed": None, IN_BFLOAT16: None})
IN_HALF = Version(ALL.implementations, IN_BFLOAT16)
UNABLE = Version({**ALL.implementations, IN_BFLOAT16: WHY})


@pytest.mark.parametrize(
    ("asked", "precision", "version", "label"),
    [
        ("", "", ALL, None),
        ("auto", "", ALL, None),
        ("2", "", ALL, "2"),
        ("", "float32", ALL, None),
        ("2", "float32", ALL, "2"),
        ("", "bfloat16", ALL, IN_BFLOAT16),
        ("auto", "bfloat16", ALL, IN_BFLOAT16),
        (IN_BFLOAT16, "", ALL, IN_BFLOAT16),
        (IN_BFLOAT16, "bfloat16", ALL, IN_BFLOAT16),
        ("", "", IN_HALF, None),
        ("", "bfloat16", IN_HALF, IN_BFLOAT16),
        ("", "float32", IN_HALF, "packed"),
        ("auto", "float32", Version({**ALL.implementations, "packed": "no compiler"}, IN_BFLOAT16), "onnxruntime"),
    ],
)
def test_what_is_asked_is_what_runs(asked: str, precision: str, version: Version, label: str | None) -> None:
    assert choose(asked, precision, version) == label


def test_what_there_is_not_is_refused_with_what_there_is() -> None:
    with pytest.raises(InvalidInput, match="there is no precision 'float16'; this server has float32 and bfloat16") as refused:
        choose("", "float16", ALL, "parameters.")
    assert refused.value.field == "parameters.precision"
    with pytest.raises(UnknownImplementation, match="there is no implementation 'fast'; this server has auto, 0, 2"):
        choose("fast", "bfloat16", ALL)


@pytest.mark.parametrize(("asked", "precision"), [("packed", "bfloat16"), (IN_BFLOAT16, "float32")])
def test_a_label_of_another_precision_is_refused(asked: str, precision: str) -> None:
    with pytest.raises(InvalidInput, match=f"computes in .*, and the request asks for {precision}; leave one of the two out"):
        choose(asked, precision, ALL)


@pytest.mark.parametrize(("asked", "field"), [("", "precision"), (IN_BFLOAT16, "implementation")])
def test_a_machine_that_cannot_is_told_in_a_sentence(asked: str, field: str) -> None:
    with pytest.raises(UnsupportedImplementation, match="this processor does not multiply in bfloat16") as refused:
        choose(asked, "bfloat16", UNABLE)
    assert refused.value.field == field
