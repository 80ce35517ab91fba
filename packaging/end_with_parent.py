"""A single executable unpacks itself and runs Applinks as its child. Killed with no time for a word, it takes the child along.

The child is told as by Ctrl-C in its terminal, so that a refresh that is under way is stored.
"""

import ctypes
import os
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1

ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
try:
    followed = Path(f"/proc/{os.getppid()}/exe").samefile("/proc/self/exe")
except FileNotFoundError:  # it isn't told here who runs
    followed = True
except PermissionError:  # somebody else's
    followed = False
if not followed:  # its parent was killed before it could be followed
    raise SystemExit(1)
