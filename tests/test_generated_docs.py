"""Pages of docs/ that are written from the code say what it says."""

import pytest

from tests.generated_docs import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run python -m tests.generated_docs"
