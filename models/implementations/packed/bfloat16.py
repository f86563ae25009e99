"""Implementation "packed-bfloat16": as "packed", but what recurrent layers multiply is rounded to bfloat16.

Their weights, inputs and states h are rounded as they go into a product, whose sums are float32. What a layer keeps, shows and
hands on stays float32: so do the states between calls, which are the same columns in any precision. A row's numbers are the same
to the last bit whoever is in the batch, as with "packed". Layers around the recurrent ones compute in float32.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.packed import library
from cellserve.models.implementations.packed.layer import PackedLayer
from cellserve.models.implementations.packed.recurrence import kernel_of
from cellserve.models.implementations.refusals import by_packed_bfloat16


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    """Raises ValueError for a layer that refusals.by_packed_bfloat16 refuses."""
    if (what := by_packed_bfloat16(layer)) is not None:
        raise ValueError(what)
    arrays = {name: tensor.numpy(force=True) for name, tensor in weights.items()}
    loaded = library.loaded()
    return kernel_of(layer, PackedLayer(loaded, layer, arrays, library.bfloat16_path(loaded)))
