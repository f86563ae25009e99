"""What the load tests serve: a random LSTM stack, and the demo's real digits model."""

from pathlib import Path

import numpy as np

from cellserve.models import importers
from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.importers.imported import ImportedModel, Source
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.registry.repository.repository import Repository

STACK = "stack"
FEATURES = 32
DIGITS = "digits"
DIGITS_FILE = Path(__file__).parents[2] / "deploy" / "demo" / "digits.keras"


def publish(repository: Repository) -> None:
    """Publishes both, through the same gate as any model."""
    repository.publish(STACK, random_stack())
    repository.publish(DIGITS, importers.load(DIGITS_FILE))


def random_stack(seed: int = 0) -> ImportedModel:
    """32 features, LSTM 64, LSTM 64, ten outputs; weights of moderate size."""
    spec = ModelSpec(
        inputs=(InputSpec(name="x", width=FEATURES),),
        layers=(
            LstmLayer(name="lower", inputs=("x",), units=64, return_sequences=True),
            LstmLayer(name="upper", inputs=("lower",), units=64),
            DenseLayer(name="head", inputs=("upper",), units=10),
        ),
        outputs=("head",),
    )
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(scale=1 / np.sqrt(shape[0]), size=shape) for name, shape in expected_weights(spec).items()}
    return ImportedModel(spec, Weights.of(arrays), Source("random", "", "tests/load/models.py", ""))
