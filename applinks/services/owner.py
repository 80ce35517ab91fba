"""Who holds leases: a process, and whether it still lives.

A lease alone would keep what a killed process was doing from being taken up for as long as the lease lasts, and a
provider that forgives the second use of a refresh token does so for seconds. So each process keeps a locked file in the
data folder: the system lets go of the lock at its death, however it dies.
"""

import fcntl
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path

from applinks.crypto import new_id

_NAME = re.compile(r"[0-9a-f]{32}")
_FORGET_SECONDS = 86_400


class Owner:
    """This process. Where its file can't be made, nobody can tell its death, and its leases end by themselves."""

    def __init__(self, folder: Path) -> None:
        self.name = new_id()
        self._folder = folder
        self._file: int | None = None
        self._making = threading.Lock()

    def live(self) -> None:
        """Let others see that this process lives."""
        with self._making, suppress(OSError):
            if self._file is None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._forget_the_dead()
                self._file = _locked(self._folder / self.name)

    def new_lease(self) -> str:
        """A name for one lease, which says whose it is."""
        self.live()
        return f"{self.name}{new_id()}"

    def has_died(self, lease: str) -> bool:
        """Whether the process that took a lease, or has this name, has ended without a word: known for this data folder
        only.
        """
        name = lease[:32]
        return bool(_NAME.fullmatch(name)) and name != self.name and _is_unlocked(self._folder / name)

    def leave(self) -> None:
        """Say that nothing is under way in this process any more."""
        with self._making:
            if self._file is not None:
                with suppress(OSError):
                    (self._folder / self.name).unlink()
                os.close(self._file)
                self._file = None

    def _forget_the_dead(self) -> None:
        for file in self._folder.iterdir():
            with suppress(OSError):  # somebody else may be at it, too
                if file.stat().st_mtime < time.time() - _FORGET_SECONDS and _is_unlocked(file):
                    file.unlink()


def _locked(file: Path) -> int:
    """Raises OSError where the file system has no locks."""
    found = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(found)
        raise
    return found


def _is_unlocked(file: Path) -> bool:
    """Whether a file is there that nobody holds."""
    try:
        found = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(found)
    return True
