"""What a version must pass to be published. Calls the mathematics only when it is asked to; knows no disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellserve.models.measuring.framework_answers import FrameworkAnswers
    from cellserve.models.measuring.parity import ParityReport
    from cellserve.models.spec import ModelSpec
    from cellserve.models.weights import Weights

PublishGate = Callable[["ModelSpec", "Weights"], "ParityReport"]


def parity_gate(spec: ModelSpec, weights: Weights) -> ParityReport:
    """Every supported implementation against the float64 oracle. Raises ParityFailure."""
    from cellserve.models.measuring import parity

    return parity.check(spec, weights)


def with_answers(
    report: ParityReport, spec: ModelSpec, weights: Weights, answers: Sequence[FrameworkAnswers]
) -> tuple[ParityReport, Mapping[str, float]]:
    """The gate's report with the framework's own answers in it, and how far the oracle is from them, by who gave them.

    Raises ParityFailure, AnswersDoNotFit.
    """
    from cellserve.models.measuring.framework_parity import against_framework

    agreement = against_framework(report, spec, weights, answers)
    return agreement.report, agreement.differences
