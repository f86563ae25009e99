"""How a network is described: in how many passes it is computed, and why."""

from __future__ import annotations

from cellserve.models.description.layers.cells import GruLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import ReverseLayer
from cellserve.models.spec import LayerSpec
from cellserve.service.cli.describing import as_data
from tests.models.networks import chain

ONWARD = GruLayer(name="onward", inputs=("x",), units=2, return_sequences=True)
BACKWARD = GruLayer(name="backward", inputs=("x",), units=2, return_sequences=True, go_backwards=True)


def computed_in(*layers: LayerSpec) -> str:
    told = as_data(chain(*layers))["passes"]
    assert isinstance(told, str)
    return told


def test_passes_are_counted_and_explained() -> None:
    both = (ReverseLayer(name="turned", inputs=("backward",)), MergeLayer(name="m", inputs=("onward", "turned"), mode="sum"))
    reason = "over whole sequences, advanced chunk by chunk, because layer 'backward' runs backwards"
    assert computed_in(ONWARD) == "one forward pass, advanced chunk by chunk"
    assert computed_in(BACKWARD) == f"1 pass {reason}"
    assert computed_in(ONWARD, BACKWARD, *both) == f"2 passes {reason}"
