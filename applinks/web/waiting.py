"""How many threads of the server may wait on an outgoing call.

A callback may ask our own token endpoint, so some threads must always be free to answer.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from applinks.errors import BusyError

SERVER_THREADS = 16
RETRY_SECONDS = 5

_places = threading.BoundedSemaphore(SERVER_THREADS // 2)


@contextmanager
def a_place_to_wait() -> Iterator[None]:
    """Raises BusyError (503) where half of the server's threads are waiting already."""
    if not _places.acquire(blocking=False):
        raise BusyError("Too many providers are being asked at once. Try again in a few seconds.", RETRY_SECONDS)
    try:
        yield
    finally:
        _places.release()


def finish_waiting(seconds: float) -> None:
    """Let nobody else begin to wait, and wait for those that do, for so many seconds."""
    until = time.monotonic() + seconds
    for _ in range(SERVER_THREADS // 2):
        _places.acquire(timeout=max(until - time.monotonic(), 0))
