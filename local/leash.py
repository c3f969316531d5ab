"""Run a program that ends when its parent does, even if the parent is killed.

    python -I -S leash.py PARENT_PID SIGNAL PROGRAM ARGUMENT...

The kernel is asked to send SIGNAL when the parent is gone (prctl, Linux only), then this process becomes PROGRAM. On
other systems nothing is asked for: there the next start on the same state directory stops what an earlier stack left
behind (see local.stack). It stands alone and is run without site-packages, because it must cost next to nothing.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, signal_number, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):  # it was gone before we asked
            sys.exit("the parent has ended")
    os.execvp(command[0], command)  # noqa: S606  a list from our own stack, no shell


if __name__ == "__main__":
    main()
