"""Values from the edge, drawn by every kind of case."""

from __future__ import annotations

import math
from typing import Final

from hypothesis import strategies as st

_EDGES: Final = (-(2**63), -(2**31), -1, 0, 1, 2**31 - 1, 2**31, 2**53 + 1, 2**62, 2**63 - 1)

ANY_INTEGERS: Final = st.sampled_from(_EDGES) | st.integers(-(2**63), 2**63 - 1)
STRANGE_SIZES: Final = st.sampled_from((*_EDGES, 7, 100, 5000, 2**32))
NOT_FINITE: Final = (math.nan, math.inf, -math.inf)
NAMES: Final = st.sampled_from(
    ("", "Digits", "digits/1", "../digits", "digits\0", "nobody", ".", "x" * 5000, "é", "\u202e")
) | st.text(max_size=9)
VERSIONS: Final = st.sampled_from(("0", "99", "-1", "1.0", "01x", "٣", "9" * 40, "nobody", "stable/1", "..", "\0", " ", "1e0"))
IMPLEMENTATIONS: Final = st.sampled_from(("fastest", "3", "FUSED", "\0", "auto auto", "0" * 999))
