"""Becomes another program that is told to end (SIGTERM) when the process that started it is gone, however that ended. Linux.

Run as a file: `python -I -S bound.py PARENT PROGRAM ARGUMENT …`. It imports nothing of ours, so that it costs next to nothing.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Returns only where the parent is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:
        os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
