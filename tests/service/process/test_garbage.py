"""When Python looks for garbage: in a process of its own, since it holds for the whole of one."""

from __future__ import annotations

import subprocess
import sys

ASK = """
import gc
from cellserve.service.process.garbage import collect_seldom
before = gc.get_threshold()
collect_seldom()
assert gc.isenabled() and gc.get_freeze_count() > 1000, gc.get_freeze_count()
assert all(now > then for now, then in zip(gc.get_threshold(), before)), gc.get_threshold()
"""


def test_seldom_and_not_among_what_the_libraries_made() -> None:
    subprocess.run([sys.executable, "-c", ASK], check=True)
