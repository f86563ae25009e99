from __future__ import annotations

import subprocess
import sys

import pytest

from cellserve.models import library_loading

PROGRAM = """
import sys
from pathlib import Path
from cellserve.models.library_loading import load_torch_library
load_torch_library()
assert "torch" not in sys.modules
print("libtorch_cpu" in Path("/proc/self/maps").read_text())
import torch
assert (torch.ones(2, 2) @ torch.ones(2, 2)).sum() == 8
load_torch_library()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or library_loading._library() is None, reason="torch is built otherwise")
def test_the_library_is_there_before_torch_is_imported() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_where_torch_is_missing_the_import_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_loading, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    library_loading.load_torch_library()
