"""Bands put around those of each step, and magnitudes, on one row. Knows no graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.spectral import BandPaddingLayer, MagnitudeLayer
from cellserve.models.reference.twin import Array, Masks, Twin, travels
from cellserve.models.reference.windows import padded

Arrays = Mapping[str, Array]


def _band_padding(layer: BandPaddingLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    """Of a sequence [T, bands, channels], or of a vector [bands, channels]."""
    (x,) = inputs
    made = [padded(step, layer.before, layer.after, layer.fill) for step in (x if x.ndim == 3 else x[np.newaxis])]
    return np.stack(made) if x.ndim == 3 else made[0]


def _magnitude(layer: MagnitudeLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    real, imaginary = np.split(inputs[0], 2, axis=-1)
    power: Array = real * real + imaginary * imaginary + np.asarray(layer.epsilon, dtype=real.dtype)
    return np.sqrt(power) if layer.power == 1 else power


TWINS: Final[Mapping[type[Layer], Twin]] = {
    BandPaddingLayer: Twin(_band_padding, travels),
    MagnitudeLayer: Twin(_magnitude, travels),
}
