"""The pages of the project as a site: `python -m tests.site FOLDER` lays them out there for mkdocs. Copies; repeats nothing."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).parents[1]
NAVIGATION: Final[Mapping[str, tuple[str, ...]]] = {
    "Quick start": ("README.md",),
    "Your own model": ("docs/own-model.md", "docs/importing.md", "docs/numerics.md", "docs/registry.md"),
    "Serving": (
        "docs/streaming.md",
        "docs/sessions.md",
        "docs/implementations.md",
        "docs/performance.md",
        "docs/overload.md",
        "docs/cluster.md",
        "docs/load-testing.md",
    ),
    "Operating": (
        "docs/operating.md",
        "docs/runbook.md",
        "docs/settings.md",
        "docs/metrics.md",
        "docs/tracing.md",
        "docs/security.md",
    ),
    "Reference": ("docs/wire.md", "docs/errors.md"),
    "The project": ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
}
PICTURES: Final = ROOT / "docs" / "pictures"  # drawn by `make pictures`
_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def lay_out(folder: Path) -> None:
    """Into a folder that is not there: `docs` with the pages, and mkdocs.yml."""
    (folder / "docs").mkdir(parents=True)
    pages = [ROOT / page for pages in NAVIGATION.values() for page in pages]
    for page in pages:
        (folder / "docs" / _name(page)).write_text(relinked(page.read_text(), page, pages))
    shutil.copytree(PICTURES, folder / "docs" / PICTURES.name)
    settings = {
        "site_name": "cellserve",
        "strict": True,
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False, "palette": _PALETTE},
        "plugins": ["search"],
        "markdown_extensions": [
            "tables",
            "admonition",
            "pymdownx.highlight",
            "pymdownx.superfences",
            {"toc": {"permalink": True}},
        ],
        "validation": {"links": {"anchors": "warn"}},
        "nav": [{title: [_name(ROOT / page) for page in pages]} for title, pages in NAVIGATION.items()],
    }
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings))


def relinked(text: str, page: Path, pages: list[Path]) -> str:
    """Links between pages as they lie on the site; of links to anything else in the project the words are left."""

    def link(found: re.Match[str]) -> str:
        words, file, anchor = found[1], found[2], found[3] or ""
        target = (page.parent / file).resolve()
        if target.parent == PICTURES:
            return f"[{words}]({PICTURES.name}/{target.name})"
        if "://" in file or not target.exists():
            return found[0]
        return f"[{words}]({_name(target)}{anchor})" if target in pages else words

    return _LINK.sub(link, text)


def _name(page: Path) -> str:
    return "index.md" if page.name == "README.md" else f"policy-{page.name}" if page == ROOT / "SECURITY.md" else page.name


_PALETTE: Final = [
    {"media": "(prefers-color-scheme: light)", "scheme": "default"},
    {"media": "(prefers-color-scheme: dark)", "scheme": "slate"},
]

if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
