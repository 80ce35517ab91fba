"""Several Applinks on the same data at once.

Run as a program, this is one of them: it does what the lines of its standard input say, and answers in lines of JSON. It
may freeze itself at a point of a refresh that nobody can see from outside.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

import psycopg
from flask import Flask

from applinks import create_app
from applinks.crypto import new_id
from applinks.models import TABLES, Connection, database
from applinks.oauth.answers import Granted
from applinks.oauth.call import Call
from applinks.oauth.guard import CALL_SECONDS, Guard
from applinks.oauth.registration import ClientRegistration
from applinks.providers import CATALOGUE
from applinks.services import grants
from applinks.services.events import APPLINKS
from applinks.services.schedule import PACE, Pace
from applinks.services.tokens import NoTokenError
from applinks.settings import Settings, read_settings
from applinks.wiring import Services
from tests.rotating import RotatingProvider

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 60  # for whatever is waited for
LEASE, CALL = 3.0, 2.0  # a call is over before the lease: whoever was frozen in it must not go on
Figures = list[tuple[str, str]]
Must = Callable[[bool, str], None]  # told what must hold, and whether it does


def until(holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.03)


class MovedClock:
    """The real time, moved by as much as a test wants."""

    def __init__(self) -> None:
        self.moved = 0.0

    def __call__(self) -> float:
        return time.time() + self.moved

    def advance(self, seconds: float) -> None:
        self.moved += seconds


@contextmanager
def running(settings: Settings, clock: Callable[[], float], pace: Pace, call: float = CALL) -> Iterator[Flask]:
    """An application of this process; at its end no secret stands in a row as it is."""
    app = create_app(settings, clock=clock, pace=pace, guard=Guard(loopback=True, seconds=call))
    try:
        yield app
        app.extensions["applinks"].refresher.stop()
        for row in [repr(row) for table in TABLES for row in table.select().tuples()]:
            assert "CANARY" not in row, "a secret stands in a row"
    finally:
        database.close()


# What is there to refresh


def make_link(services: Services, provider: RotatingProvider, name: str = "Payroll", **more: str) -> str:
    """A link to a provider; its ID."""
    differences = {
        "authorization_endpoint": f"{provider.base_url}/authorize",
        "token_endpoint": f"{provider.base_url}/token",
        "client_authentication": "client_secret_basic",
    } | more
    custom, link_id = CATALOGUE["custom"], new_id()
    registration = ClientRegistration(
        name, custom, custom.profile(differences), differences, "payroll-client", "CANARY-client-secret", "read"
    )
    services.links.create(link_id, registration, APPLINKS)
    return link_id


def keep_grant(
    services: Services, provider: RotatingProvider, link_id: str, name: str = "default", *, left: int = 0
) -> Connection:
    """A connection with a grant of its own, whose access token lives for `left` seconds more."""
    outgoing = services.links.outgoing_or_none_by_id(link_id)
    assert outgoing
    access_token, refresh_token = provider.grant(name)
    granted, now = Granted(access_token, refresh_token, 3600, None), int(services.clock())
    with database.atomic():
        connection, _ = grants.keep(
            services.renewal._vault, outgoing, name, granted, scopes="read", sent_at=now - 3600 + left
        )
    return connection


def refresh_token(services: Services) -> str:
    """The one that is stored for the only connection."""
    return services.renewal._vault.refresh_token(Connection.get())


def mark(token: str) -> str:
    """What tells a token from others without showing it."""
    return sha256(token.encode()).hexdigest()


# Another process


class Instance:
    """Another Applinks in a process of its own. Starting takes long, so one serves several tests, each with its data."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.refreshing.together"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._heard: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @contextmanager
    def on(self, environ: dict[str, str], lease: float = LEASE, call: float = CALL) -> Iterator[Self]:
        """Have it run on the data that an environment leads to."""
        self.say(do="open", environ=environ, lease=lease, call=call)
        assert self.hear() == {"open": True}
        yield self
        self.thaw()
        self.say(do="close")
        while self.hear() != {"closed": True}:
            pass

    def _read(self) -> None:
        for line in self._process.stdout or []:
            self.lines.append(line)
            if line.startswith("{"):
                self._heard.put(json.loads(line))

    def say(self, **command: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        try:
            return self._heard.get(timeout=SECONDS)
        except Empty:
            raise AssertionError(f"It says nothing: {self.lines}") from None

    def renew(self, connection: Connection, freeze_at: str = "") -> None:
        """Begin to refresh a connection, and freeze when that has come to a point."""
        self.say(do="renew", connection=connection.id, freeze_at=freeze_at)

    def outcome(self) -> str:
        return str(self.hear()["outcome"])

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        self.wait_until_frozen()

    def wait_until_frozen(self) -> None:
        """As SIGSTOP leaves it, whoever sent it."""
        look = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
        until(lambda: os.waitid(os.P_PID, self._process.pid, look) is not None, "frozen")
        assert self._process.poll() is None, self.lines

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            status = self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._process.wait()
            self._reader.join(SECONDS)
            assert not self._reader.is_alive(), "somebody else holds its output open"  # closing it would wait, too
            self._process.stdout.close()
        said = "".join(self.lines)
        assert status == 0, said
        assert "Traceback" not in said, said
        assert "CANARY" not in said, "a secret is on the console"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def ask_all(instances: list[Instance], connection_id: str, threads: int = 16) -> tuple[list[str], list[float]]:
    """Have every thread of every process ask for one token at the same moment: the answers, and the waits in order."""
    for instance in instances:
        instance.say(do="ask", connection=connection_id, threads=threads)
    for instance in instances:
        assert instance.hear() == {"waiting": threads}
    for instance in instances:
        instance.say()
    answers = [answer for instance in instances for answer in instance.hear()["answers"]]
    return [answer for answer, _ in answers], sorted(wait for _, wait in answers)


@contextmanager
def own_application(database_url: str = "") -> Iterator[tuple[Services, dict[str, str]]]:
    """Outside of the tests: an application in a folder of its own, and the environment for others on its data."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"APPLINKS_DATA_DIR": f"{folder}/data"} | (
            {"APPLINKS_DATABASE_URL": database_url} if database_url else {}
        )
        with running(read_settings(environ), time.time, PACE, CALL_SECONDS) as app:
            yield app.extensions["applinks"], environ


def waits_for_one_token(must: Must, database_url: str = "", times: int = 5) -> Figures:
    """How long 64 threads of four processes wait for a token that has expired; a database given must be empty."""
    waits: list[float] = []
    asked = 0
    with (
        own_application(database_url) as (services, environ),
        RotatingProvider(latency=0.2) as provider,
        ExitStack() as stack,
    ):
        instances = [stack.enter_context(stack.enter_context(Instance()).on(environ, 60, 15)) for _ in range(4)]
        link_id = make_link(services, provider)
        for number in range(times):
            connection = keep_grant(services, provider, link_id, f"number {number}")
            waits += ask_all(instances, connection.id)[1]
        asked = len(provider.requests)
    waits.sort()
    must(asked == times, f"one request for each token, not {asked} for {times}")
    return [
        ("Token requests for 64 threads", f"{asked / times:g}"),
        ("Wait of a thread at a provider that takes 0.2 s, median", f"{waits[len(waits) // 2]:.2f} s"),
        ("The same, 99th percentile", f"{waits[len(waits) * 99 // 100]:.2f} s"),
        ("The same, longest", f"{waits[-1]:.2f} s"),
    ]


def thousand(must: Must, database_url: str = "", connections: int = 1000) -> Figures:
    """As many connections that expire in the same minute, at a provider that takes 0.2 s; a database given must be
    empty."""
    with own_application(database_url) as (services, _), RotatingProvider(latency=0.2) as provider:
        link_id = make_link(services, provider)
        made = [
            keep_grant(services, provider, link_id, f"number {number}", left=660 + number % 60)
            for number in range(connections)
        ]
        ends = {connection.id: connection.expires_at or 0 for connection in made}
        before, began = _resident(), time.monotonic()
        most = before
        services.refresher.start()
        while Connection.select().where(Connection.generation == 2).count() < connections:
            most = max(most, _resident())
            assert time.monotonic() - began < 600, "not all are refreshed"
            time.sleep(0.2)
        took = time.monotonic() - began
        services.refresher.stop()
        spare = [ends[row.id] - (row.refreshed_at or 0) for row in Connection.select()]
        peak, asked = provider.requests_per_second(), len(provider.requests)
        must(asked == connections, f"one request for each connection, not {asked} in all")
        must(peak <= 10, f"at most 10 requests a second, not {peak}")
        must(min(spare) > 0, "every token is refreshed before it has expired")
        return [
            ("Connections that expire in the same minute", str(connections)),
            ("Refreshed after their token had expired", str(sum(left <= 0 for left in spare))),
            ("Token requests", str(asked)),
            ("Most token requests within a second", str(peak)),
            ("Time until all were refreshed", f"{took:.0f} s"),
            ("Least time left of a token when its successor was asked for", f"{min(spare)} s"),
            ("Memory more than before, at most", f"{(most - before) / 1024 / 1024:.1f} MiB"),
        ]


def _resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def frozen_for_real(must: Must, database_url: str = "", seconds: int = 70) -> Figures:
    """A process frozen for so long with the real lease of a minute, once before it asks and once before it stores."""
    figures: Figures = []
    for point, grace in (("leased", 0.0), ("answered", 3600.0)):
        with own_application(database_url) as (services, environ), RotatingProvider(grace=grace) as provider:
            connection = keep_grant(services, provider, make_link(services, provider))
            with Instance() as process, process.on(environ, PACE.lease, CALL_SECONDS) as holder:
                began = time.monotonic()
                holder.renew(connection, freeze_at=point)
                holder.wait_until_frozen()
                services.refresher.start()
                until(lambda: Connection.get().generation == 2, "taken over", 2 * PACE.lease)
                took_over = time.monotonic() - began
                time.sleep(max(0.0, began + seconds - time.monotonic()))
                stored = Connection.get().access_token_enc
                holder.thaw()
                outcome = holder.outcome()
            same = Connection.get().access_token_enc == stored
            usable = provider.is_usable("default", refresh_token(services))
            where = "after the lease, before it asks" if point == "leased" else "after the answer, before it stores"
            must(same and usable, f"frozen {where}: what is stored is good, and untouched by it")
            must(len(provider.requests) == (1 if point == "leased" else 2), f"frozen {where}: nobody asks once more")
            figures += [
                (f"Frozen for {seconds} s {where}: another took over after", f"{took_over:.1f} s"),
                (f"{where.capitalize()}: token requests in all", str(len(provider.requests))),
                (f"{where.capitalize()}: what the thawed one made of it", outcome.lower()),
                (
                    f"{where.capitalize()}: what is stored is good, and untouched by it",
                    "yes" if same and usable else "no",
                ),
            ]
        if database_url:
            with psycopg.connect(database_url, autocommit=True) as emptying:
                emptying.execute("DROP SCHEMA public CASCADE")
                emptying.execute("CREATE SCHEMA public")
    return figures


def _main() -> None:
    services: Services
    for line in sys.stdin:
        command = json.loads(line)
        match command["do"]:
            case "open":
                pace, guard = Pace(lease=command["lease"]), Guard(loopback=True, seconds=command["call"])
                app = create_app(read_settings(command["environ"]), pace=pace, guard=guard)
                services = app.extensions["applinks"]
                _say(open=True)
            case "ask":
                _ask(services, command["connection"], command["threads"])
            case "renew":
                if command["freeze_at"]:
                    _freeze_at(services, command["freeze_at"])
                outcome = services.renewal.renew(Connection.get_by_id(command["connection"]))
                _say(outcome=outcome.name)
            case "close":
                services.refresher.stop()
                database.close()
                _say(closed=True)


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)


def _ask(services: Services, connection_id: str, threads: int) -> None:
    """Ask for a token in many threads at once, when the next line comes; none is shown, only its mark."""
    together, answers = threading.Barrier(threads + 1), []

    def ask() -> None:
        Connection.get_by_id(connection_id)  # connecting isn't what is measured
        together.wait()
        began = time.monotonic()
        try:
            answer = mark(services.tokens.valid(connection_id).access_token)
        except NoTokenError as error:
            answer = error.state.value
        answers.append((answer, time.monotonic() - began))
        database.close()

    asking = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in asking:
        thread.start()
    _say(waiting=threads)
    sys.stdin.readline()
    together.wait()
    for thread in asking:
        thread.join()
    _say(answers=answers)


def _freeze_at(services: Services, point: str) -> None:
    """Have this process stand still, as SIGSTOP makes it, when the next refresh comes to a point.

    `leased`: the lease is committed. `connected`: the provider has taken a connection, and got nothing. `answered`: its
    answer was read. `storing`: so, and the transaction that writes it has begun.
    """
    holder, name, before = {
        "leased": (services.renewal._leases, "take", False),
        "connected": (Call, "connect", False),
        "answered": (services.renewal._link_client, "renew", False),
        "storing": (services.renewal._vault, "store", True),
    }[point]
    real = getattr(holder, name)

    def freezing(*args: Any, **kwargs: Any) -> Any:
        found = None if before else real(*args, **kwargs)
        setattr(holder, name, real)
        os.kill(os.getpid(), signal.SIGSTOP)
        return real(*args, **kwargs) if before else found

    setattr(holder, name, freezing)


if __name__ == "__main__":
    _main()
