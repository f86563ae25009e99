"""Prints, for every golden case, the largest difference of each implementation from what the framework answered.

Run it as `.venv/bin/python -m tests.golden.table`. "-" is a combination that the implementation refuses.
"""

from __future__ import annotations

import numpy as np

from cellserve.models.implementations import LABELS
from cellserve.models.network import Network
from tests.golden.cases import GoldenCase, all_cases
from tests.golden.run import Answer, by_network, by_oracle, pairs


def main() -> None:
    print(f"{'case':<42}" + "".join(f"{label:>13}" for label in ("oracle", *LABELS)))
    for case in all_cases():
        model = case.load()
        network = Network(model.spec, model.weights)
        cells = [_largest(case, by_oracle(case, model))]
        cells += [
            "-" if network.implementations[label] is not None else _largest(case, by_network(case, network, label))
            for label in LABELS
        ]
        print(f"{case.name:<42}" + "".join(f"{cell:>13}" for cell in cells))


def _largest(case: GoldenCase, answers: list[Answer]) -> str:
    return f"{max(float(np.max(np.abs(expected - found))) for _, expected, found in pairs(case, answers)):.1e}"


if __name__ == "__main__":
    main()
