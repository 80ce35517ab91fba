"""Slows guessing down. A password: five free tries, then a wait that doubles from a second to a minute.

Nobody is locked out: however many guess for an account, somebody who didn't is let try once.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address, ip_network

FREE_TRIES = 5
LONGEST_WAIT = 60
FORGET_SECONDS = 3600
MINUTE = 60
FAILURES_A_MINUTE = 100
MOST_KEYS = 10_000


class Throttle:
    """Counts failures by account, by address and by both in this process's memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, account: str, address: str) -> int:
        """Begin a try: 0 where it may be looked at, else the seconds to wait.

        It counts as wrong until it `succeeded`, so that tries at the same time can't pass one gap together; a try
        during the wait isn't counted. The account's own wait is for addresses that were wrong about it before:
        whoever guesses on and on must not keep its owner out.
        """
        with self._lock:
            wait = self._wait(_by_address(address))
            if self._count(_by_both(account, address)):
                wait = max(wait, self._wait(_by_account(account)))
            if wait:
                return wait
            for key in _keys(account, address):
                count = self._count(key) + 1
                self._failures[key] = (count, self._clock())
                self._failures.move_to_end(key)
            while len(self._failures) > MOST_KEYS:
                self._failures.popitem(last=False)
            return 0

    def succeeded(self, account: str, address: str) -> None:
        with self._lock:
            for key in _keys(account, address):
                self._failures.pop(key, None)

    def _count(self, key: str) -> int:
        count, at = self._failures.get(key, (0, 0.0))
        return count if self._clock() - at < FORGET_SECONDS else 0

    def _wait(self, key: str) -> int:
        count = self._count(key)
        if count < FREE_TRIES:
            return 0
        pause = min(2 ** (count - FREE_TRIES), LONGEST_WAIT)
        left = self._failures[key][1] + pause - self._clock()
        return max(0, int(left + 0.999))


class Allowance:
    """So many failures a minute from one address; who succeeds isn't looked at, and never slowed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def failed(self, address: str) -> int:
        """Count a failure: 0 where it was within what is allowed, else the seconds to wait."""
        key, now = _by_address(address), self._clock()
        with self._lock:
            count, began = self._failures.get(key, (0, now))
            if not 0 <= now - began < MINUTE:
                count, began = 0, now
            self._failures[key] = (count + 1, began)
            self._failures.move_to_end(key)
            while len(self._failures) > MOST_KEYS:
                self._failures.popitem(last=False)
        return 0 if count < FAILURES_A_MINUTE else max(1, int(began + MINUTE - now + 0.999))


def _keys(account: str, address: str) -> tuple[str, str, str]:
    return _by_account(account), _by_address(address), _by_both(account, address)


def _by_account(account: str) -> str:
    return f"account {account}"


def _by_address(address: str) -> str:
    return f"address {_subscriber(address)}"


def _by_both(account: str, address: str) -> str:
    return f"address {_subscriber(address)}, account {account}"


def _subscriber(address: str) -> str:
    """The IPv4 address or the IPv6 /64: one subscriber has all addresses of such a network (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return address
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
