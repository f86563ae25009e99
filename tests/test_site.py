"""The pages laid out as a site: all of them, with links that hold there."""

import re
from pathlib import Path

from tests.site import NAVIGATION, PICTURES, ROOT, lay_out, relinked


def test_every_page_of_the_documentation_is_on_the_site() -> None:
    shown = {page for pages in NAVIGATION.values() for page in pages}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= shown


def test_links_lead_to_pages_of_the_site_and_to_nothing_that_is_not_there(tmp_path: Path) -> None:
    pages = [ROOT / "README.md", ROOT / "docs" / "errors.md"]
    text = "[a](../README.md#more) [b](errors.md) [c](../proto/) [d](https://example.org) ![e](pictures/top.png)"
    assert (
        relinked(text, pages[1], pages) == "[a](index.md#more) [b](errors.md) c [d](https://example.org) ![e](pictures/top.png)"
    )


def test_it_is_laid_out_whole(tmp_path: Path) -> None:
    lay_out(tmp_path / "site")
    assert len(list((tmp_path / "site" / "docs").glob("*.md"))) == sum(map(len, NAVIGATION.values()))
    assert {path.name for path in (tmp_path / "site" / "docs" / PICTURES.name).iterdir()} == {
        path.name for path in PICTURES.iterdir()
    }


def test_every_picture_is_shown_on_a_page() -> None:
    shown = {name for page in (ROOT / "docs").glob("*.md") for name in re.findall(r"\(pictures/(\S+)\)", page.read_text())}
    assert shown == {path.name for path in PICTURES.iterdir()}
