"""The file of encryption keys: read at the start, followed while Applinks runs, and written by commands.

The first key writes, every key reads. A running process takes over what changes in the file, unless these are
no keys of its database: then it goes on with those it has.
"""

import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from applinks.crypto import BadKeysError, Key, parse_keys, write_keys
from applinks.errors import AppError, StartRefusedError

log = logging.getLogger(__name__)

EXIT_KEYS = 3


class KeysFile:
    def __init__(self, file: Path, fit: Callable[[list[Key]], bool] = lambda keys: True) -> None:
        """`fit` says of keys that are new in the file whether they are this database's."""
        self.path = file
        self._fit = fit
        self._seen = self._state()
        self.keys: list[Key] = []

    def read(self) -> list[Key]:
        """Raises StartRefusedError: exit status 3."""
        try:
            found = self.path.stat()
            # A credential of systemd's, or a container's secret, is another's and may be read by its group: by us.
            others = 0o077 if found.st_uid == os.geteuid() else 0o037
            if found.st_mode & others:
                raise StartRefusedError(
                    f"Others may read the keys in {self.path}. Run: chmod 600 {self.path}", EXIT_KEYS
                )
            self.keys = parse_keys(self.path.read_text("ascii"))
        except BadKeysError as error:
            raise StartRefusedError(f"{self.path} is no keys file: {error}.", EXIT_KEYS) from None
        except (OSError, UnicodeDecodeError) as error:
            raise StartRefusedError(f"The keys in {self.path} can't be read: {error}.", EXIT_KEYS) from None
        return self.keys

    def news(self) -> list[Key] | None:
        """The keys, if the file has changed since it was last looked at and they fit."""
        state = self._state()
        if state == self._seen:
            return None
        before = self.keys
        try:
            if self._fit(self.read()):
                self._seen = state
                return self.keys
            why = f"The keys in {self.path} aren't those of this database."
        except StartRefusedError as error:
            why = str(error)
        self._seen, self.keys = state, before
        log.error("%s Applinks goes on with the keys that it has.", why)
        return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this one changes the file, no other command does. Raises AppError where its folder can't be read."""
        try:
            folder = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise AppError(f"The folder {self.path.parent} can't be read: {error.strerror}.") from None
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def replace(self, keys: list[Key]) -> None:
        """Write other keys, all or none of them. Raises AppError where the file can't be written."""
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            before = self.path.stat()
            with suppress(FileNotFoundError):
                new.unlink()  # of a command that was killed
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                os.fchmod(out.fileno(), stat.S_IMODE(before.st_mode))
                with suppress(PermissionError):  # who may write the folder needn't be the keys' owner
                    os.fchown(out.fileno(), before.st_uid, before.st_gid)
                out.write(write_keys(keys))
                out.flush()
                os.fsync(out.fileno())
            new.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # else a power cut may bring the earlier file back
            finally:
                os.close(folder)
        except OSError as error:
            raise AppError(
                f"{self.path} can't be written: {error.strerror}. A key that keys generate --print prints can be put in "
                "by hand: docs/operations.md says in which place."
            ) from None
        self.keys = keys

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
