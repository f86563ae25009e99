"""What holds for every test: hypothesis may take its time, since no test asserts a timing; what cannot be compiled is skipped."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.compiled import MISSING
from tests.examples import examples

_usual = settings.get_profile(settings.get_current_profile_name())
settings.register_profile("unhurried", _usual, deadline=None, max_examples=examples(_usual.max_examples))
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the packed kernel by the name of its implementation are skipped where nothing can compile it."""
    for item in items if MISSING else ():
        if isinstance(item, pytest.Function) and "packed" in _parameters(item):
            item.add_marker(pytest.mark.skip(reason="the packed kernel needs a C++ compiler, and there is none"))


def _parameters(item: pytest.Function) -> list[str]:
    return [value for value in item.callspec.params.values() if isinstance(value, str)] if hasattr(item, "callspec") else []
