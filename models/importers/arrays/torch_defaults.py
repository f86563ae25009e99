"""What torch means where a described layer says nothing, or means by a name, otherwise than the description's own defaults.

Source: torch.nn.modules 2.x. Knows no arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cellserve.models.errors import ImportRefused

EPSILON: Final = 1e-5
SLOPE: Final = 0.01
NORMALIZATIONS: Final = ("batch_normalization", "layer_normalization")


def unsaid(kind: str, given: Mapping[str, Any], source: str, layer: str) -> dict[str, Any]:
    """The options that torch has another default of than the description.

    Raises ImportRefused: hard_sigmoid, by which this description means another function than torch does.
    """
    if kind in NORMALIZATIONS:
        return {} if "epsilon" in given else {"epsilon": EPSILON}
    found: dict[str, Any] = {}
    for option, value in given.items():
        name = value.get("name") if isinstance(value, Mapping) else value
        if not option.endswith("activation"):
            continue
        if name == "hard_sigmoid":
            raise ImportRefused(
                source,
                "here hard_sigmoid is clip(0.2 x + 0.5, 0, 1), Keras's of old; torch's is called hard_sigmoid_relu6 (and a layer "
                "with `layout: keras` may have the other)",
                layer=layer,
                option=option,
            )
        if name == "leaky_relu" and not (isinstance(value, Mapping) and value.get("alpha") is not None):
            found[option] = {"name": name, "alpha": SLOPE}
    return found
