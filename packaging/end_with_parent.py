"""A single executable unpacks itself and runs Applinks as its child. Killed with no time for a word, it takes the child along.

The child is told as by Ctrl-C in its terminal, so that a refresh that is under way is stored.
"""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1

parent = os.getppid()
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
if os.getppid() != parent:  # it was killed before it could be followed
    raise SystemExit(1)
