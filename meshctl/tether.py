"""Runs a program that ends with the process that started it.

    python -S -I tether.py PARENT_PID PROGRAM ARGUMENT...

Only the standard library, since it is run as a file and becomes the program.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # It may have ended before the kernel knew of our wish.
    if os.getppid() == parent:
        os.execv(program[0], program)


if __name__ == "__main__":
    main()
