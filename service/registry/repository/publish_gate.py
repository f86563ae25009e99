"""What a version must pass to be published. Calls the mathematics only when it is asked to; knows no disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellserve.models.description.described import Described
    from cellserve.models.measuring.framework_answers import FrameworkAnswers
    from cellserve.models.measuring.parity import ParityReport
    from cellserve.models.served import Numbers

PublishGate = Callable[["Described", "Numbers"], "ParityReport"]


def parity_gate(spec: Described, weights: Numbers) -> ParityReport:
    """Every supported implementation against the float64 oracle, of a step model against onnxruntime. Raises ParityFailure."""
    from cellserve.models.measuring import gate

    return gate.check(spec, weights)


def with_answers(
    report: ParityReport, spec: Described, weights: Numbers, answers: Sequence[FrameworkAnswers]
) -> tuple[ParityReport, Mapping[str, float]]:
    """The gate's report with the framework's own answers in it, and how far the oracle is from them, by who gave them.

    Of a step model onnxruntime is the framework, whose answers are in the report already. Raises ParityFailure, AnswersDoNotFit.
    """
    from cellserve.models.description.step_model import StepModel
    from cellserve.models.measuring.framework_answers import AnswersDoNotFit
    from cellserve.models.measuring.framework_parity import against_framework
    from cellserve.models.measuring.gate import BY_HAND
    from cellserve.models.steps.graph_file import GraphFile

    if isinstance(spec, StepModel) or isinstance(weights, GraphFile):
        if answers:
            raise AnswersDoNotFit("a step model is checked against onnxruntime itself, feed by feed; it takes no other answers")
        return report, {BY_HAND: max(report.differences.values())}
    if not answers:
        return report, {}
    agreement = against_framework(report, spec, weights, answers)
    return agreement.report, agreement.differences
