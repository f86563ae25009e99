"""What a load test asks a model: told, or asked of the server, and then drawn or read. Knows no command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from cellserve.service.client import InputTensor
from cellserve.service.errors import InvalidInput
from cellserve.service.loadgen import lengths as length_distributions
from cellserve.service.loadgen.samples import Sample, from_file, random_features, random_ids

_RANDOM_SAMPLES: Final = 64


@dataclass(frozen=True, slots=True)
class Inputs:
    """What to ask: one of features, vocabulary and file, or none: what the model takes. count None: 64 random, or all of a file.

    time_steps: that a sequence must have, whatever `lengths` says; None: any number.
    """

    lengths: str
    features: int | None = None
    vocabulary: int | None = None
    file: Path | None = None
    count: int | None = None
    time_steps: int | None = None

    @property
    def told(self) -> bool:
        """Raises InvalidInput: they contradict each other."""
        missing = [self.features, self.vocabulary, self.file].count(None)
        if missing < 2:
            raise InvalidInput(
                "what to ask? Give one of --features N (random inputs), --vocabulary N (random ids), --input FILE.npz, or none "
                "of them: what the model takes is asked of the server"
            )
        return missing == 2

    def of_model(self, model: str, inputs: Sequence[InputTensor]) -> Inputs:
        """Random ones, as the model takes them. Raises InvalidInput: none can be drawn."""
        if len(inputs) > 1 or inputs[0].kind == "vector":
            taken = ", ".join(f"{one.name} ({one.kind})" for one in inputs)
            raise InvalidInput(f"a load test sends one sequence a row, and {model} takes {taken}")
        (one,) = inputs
        if one.kind == "ids" and one.vocabulary is None:
            raise InvalidInput(f"{model} takes ids, and its file did not say of how many; give --vocabulary N")
        return replace(
            self,
            features=one.width if one.kind == "features" else None,
            vocabulary=one.vocabulary if one.kind == "ids" else None,
            time_steps=one.time_steps,
        )

    def samples(self, seed: int) -> list[Sample]:
        """Of what was told. Raises InvalidInput."""
        rng = np.random.default_rng(seed)
        try:
            if self.file is not None:
                return from_file(self.file, self.count)
            lengths = length_distributions.parse(self.lengths if self.time_steps is None else f"fixed:{self.time_steps}")
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        if self.features is not None:
            return random_features(rng, lengths, self.count or _RANDOM_SAMPLES, self.features)
        return random_ids(rng, lengths, self.count or _RANDOM_SAMPLES, self.vocabulary or 1)
