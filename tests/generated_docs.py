"""Pages of docs/ that are written from the code: `python -m tests.generated_docs` writes them anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cellserve.service.metrics.families import GROUPS, Family
from tests import wire_reference

DOCS: Final = Path(__file__).parents[1] / "docs"

_METRICS: Final = """# Metrics

`http://SERVER:8002/metrics` (`--metrics-port`) shows everything below to Prometheus, as text or as OpenMetrics, packed with gzip
for whoever takes that. Beside it `/healthz` says whether a restart would help (200: no; 503: yes, and why), and `/readyz` whether
requests are answered.

- A series of a version is there from its load to its end. A histogram is shown once something is in it, so that eight versions
  with traffic make a page of at most 100 KB; counters of requests are there at zero.
- Labels come from the repository, the file of tokens and the code, never from what clients send: unknown names add no series.
- Histograms have fixed buckets. (Native ones need Prometheus's binary format, which the Python client does not write.)
- `model`, `version`: of the version that answered, empty where none was found. `implementation`: what ran, empty where nothing
  did.

What to watch, and what to do then: [runbook.md](runbook.md).
"""


def metrics_page() -> str:
    parts = [_METRICS]
    for title, families in GROUPS.items():
        rows = [_row(family) for family in families]
        parts.append("\n".join([f"## {title}\n", "| series | kind | labels | meaning |", "|---|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.shown_name}` | {family.kind} | {labels} | {family.text} |"


PAGES: Final[Mapping[str, Callable[[], str]]] = {"metrics.md": metrics_page, "wire.md": wire_reference.page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
