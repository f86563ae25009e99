"""Pages of docs/ that are written from the code: `python -m tests.generated_docs` writes them anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

from cellserve.service.config import Settings
from cellserve.service.metrics.families import GROUPS, Family
from tests import wire_reference

DOCS: Final = Path(__file__).parents[1] / "docs"

_METRICS: Final = """# Metrics

`http://SERVER:8002/metrics` (`--metrics-port`) shows everything below to Prometheus, as text or as OpenMetrics, packed with gzip
for whoever takes that. Beside it `/healthz` says whether a restart would help (200: no; 503: yes, and why), and `/readyz` whether
requests are answered. `/` is a page for people, made of the same series
([operating.md](operating.md#what-a-server-tells-of-itself)).

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


_SETTINGS = """# Settings

Every setting of `cellserve serve` has one name in three places: an option (`--metrics-port`), a variable of the environment
(`CELLSERVE_METRICS_PORT`) and a line of a file (`metrics_port: 8002`). **An option counts more than the environment, that more
than the file, and that more than the default.** An empty variable, or a line without a value, says nothing.

The file is YAML and is named by `--settings-file` or `CELLSERVE_SETTINGS_FILE`. A name that is not in this table and a name
twice are refused at the start, in a sentence that names the line; a value that does not fit, in one that names the setting.
Commands and the health check read the environment, and so the file that it names.

```yaml
repository: /srv/models
metrics_port: 8002
drain_seconds: 60
log_format: json
```
"""


def settings_page() -> str:
    rows = [_setting(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join([_SETTINGS, "| setting | default | takes | meaning |", "|---|---|---|---|", *rows, ""])


def _setting(name: str, field: FieldInfo) -> str:
    default = "" if field.default in (None, "") else f"`{_DEFAULTS.get(name, field.default)}`"
    return f"| `{name}` | {default} | {_takes(field)} | {field.description} |"


def _takes(field: FieldInfo) -> str:
    kind: Any = field.annotation
    choices = get_args(kind)
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    if Path in (kind, *choices):
        return "a path"
    if kind is str:
        return "text"
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    words = [f"{sign} {_plain(getattr(bounds[name], name.lower()))}" for name, sign in _SIGNS.items() if name in bounds]
    return " ".join(["a whole number" if int in (kind, *choices) else "a number", ", ".join(words)]).rstrip()


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else str(number)


_SIGNS: Final = {"Gt": "above", "Ge": "from", "Lt": "below", "Le": "to"}
_DEFAULTS: Final = {"calibration_folder": "$XDG_CACHE_HOME/cellserve/calibration"}  # what the environment makes of it

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "metrics.md": metrics_page,
    "settings.md": settings_page,
    "wire.md": wire_reference.page,
}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
