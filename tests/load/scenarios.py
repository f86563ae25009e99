"""The load tests of `python -m tests.load`: each is one `cellserve load` command, with why it is worth running."""

from dataclasses import dataclass
from pathlib import Path

from tests.load.models import DIGITS, FEATURES, STACK

HELD_OUT = Path(__file__).parents[2] / "deploy" / "demo" / "digits-heldout.npz"
IMPLEMENTATIONS = ("0", "1", "2", "fused")


@dataclass(frozen=True)
class Scenario:
    """arguments: of `cellserve load`, but for the address and the duration."""

    name: str
    why: str
    arguments: tuple[str, ...]


MIXED = Scenario(
    "mixed",
    "Short and long sequences arrive as they please; each answer must be what its input got alone.",
    (STACK, "--features", str(FEATURES), "--lengths", "mix", "--rate", "20"),
)
CROWDED = Scenario(
    "crowded",
    "Sixteen callers at once, so that batches are full and rows come and go.",
    (STACK, "--features", str(FEATURES), "--lengths", "lognormal:40:4:200", "--concurrency", "16"),
)
REAL = Scenario(
    "real",
    "Held-out digits, each answer compared with what Keras itself said.",
    (DIGITS, "--input", str(HELD_OUT), "--rate", "100"),
)
FORCED = tuple(
    Scenario(
        f"forced-{implementation}",
        f"Every request under implementation {implementation}.",
        (
            *(STACK, "--features", str(FEATURES), "--lengths", "lognormal:40:4:200"),
            *("--concurrency", "8", "--implementation", implementation),
        ),
    )
    for implementation in IMPLEMENTATIONS
)
ALL = {scenario.name: scenario for scenario in (MIXED, CROWDED, REAL, *FORCED)}
