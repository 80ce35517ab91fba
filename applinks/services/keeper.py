"""Keeps what a provider has granted until it is stored, however long the database takes: it may be granted only once."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from applinks.models import database

log = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE_SECONDS = 5.0  # whoever asked for the refresh waits this long; then a thread of its own goes on


class NotYetError(Exception):
    """It can't be told yet whether something is to be stored; `str()` says why."""


class Keeper:
    """`again` is the time from one try to the next, in seconds."""

    def __init__(self, again: float) -> None:
        self._again = again
        self._changed = threading.Condition()
        self._unstored = 0

    @property
    def unstored(self) -> int:
        """How many grants are in this process's memory alone, or were a moment ago."""
        return self._unstored

    def finish(self, seconds: float) -> bool:
        """Wait until every grant is stored and what follows is done, for so many seconds; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unstored, seconds)

    def keep(self, what: str, store: Callable[[], T], later: Callable[[T], None]) -> T | None:
        """Store what belongs to the connection `what`. Whatever `store` raises, it is tried again.

        Returns what `store` does. Where that takes too long, returns None, and a thread of its own goes on until it can
        tell `later`.
        """
        until, failed = time.monotonic() + AT_ONCE_SECONDS, False
        while True:
            try:
                stored = store()
            except Exception as error:
                self._failed(what, error, before=failed)
                failed = True
            else:
                self._succeeded(failed=failed)
                return stored
            if time.monotonic() > until:
                with suppress(RuntimeError, MemoryError):  # where no thread is to be had, this one goes on
                    threading.Thread(target=self._go_on, args=(what, store, later), name="keeper", daemon=True).start()
                    return None
            time.sleep(self._again)

    def _go_on(self, what: str, store: Callable[[], T], later: Callable[[T], None]) -> None:
        while True:
            time.sleep(self._again)
            try:
                stored = store()
            except Exception as error:
                self._failed(what, error, before=True)
            else:
                break
            with suppress(Exception):
                database.close()
        log.critical("What connection %s was granted isn't in memory only any more: %s.", what, stored)
        try:
            later(stored)
        finally:
            with suppress(Exception):
                database.close()
            self._succeeded(failed=True)  # last: who waits for this may end the process

    def _failed(self, what: str, error: Exception, *, before: bool) -> None:
        if before:
            log.debug("What connection %s was granted can't be stored yet: %s.", what, type(error).__name__)
            return
        log.critical("What connection %s was granted is in memory only: %s.", what, error)
        with self._changed:
            self._unstored += 1

    def _succeeded(self, *, failed: bool) -> None:
        if failed:
            with self._changed:
                self._unstored -= 1
                self._changed.notify_all()
