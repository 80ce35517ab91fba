"""At most so many requests a second to one host, within this process."""

import threading
import time


class Turns:
    """Lets callers of one host pass one after another, so many seconds apart, however late a thread wakes up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._gates: dict[str, threading.Lock] = {}
        self._passed: dict[str, float] = {}

    def wait(self, host: str) -> None:
        """Wait for a turn."""
        with self._lock:
            gate = self._gates.setdefault(host, threading.Lock())
        with gate:
            time.sleep(max(self._passed.get(host, 0.0) + self._seconds - time.monotonic(), 0.0))
            self._passed[host] = time.monotonic()
