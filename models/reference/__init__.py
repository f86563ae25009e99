"""The oracle: the forward pass of any ModelSpec in float64 NumPy, one plain loop per row and step.

Written to be read and believed, not to be fast: it shares no code with what it judges, knows no batches, no chunks and no
file formats. Rounding can be estimated by running it in float32.
"""

from cellserve.models.reference.graph import run

__all__ = ["run"]
