"""Become another program that dies with its parent: `python -I -S child_stub.py PARENT_PID PROGRAM ARGUMENT…`.

A separate small process, because code between fork and exec may dead-lock in a program with threads. On Linux the
kernel kills the program when the thread that started it ends, so that thread must live as long as the parent (see
child_process.py). Elsewhere the program may be left behind; the next start over the same data directory ends it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program named on the command line, and die with the parent named before it."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            sys.exit("the parent is gone")
    os.execv(program, sys.argv[2:])  # noqa: S606 - the arguments are the parent's own


if __name__ == "__main__":
    main()
