"""Kills a real Applinks in the middle of what it does, starts it again, and keeps account of every grant.

A trial is one data folder with a few connections to a rotating provider. In each cycle a process starts, takes up what
its predecessor left behind, and is killed; so each start is a recovery and the next victim at once.
"""

import fcntl
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

import requests
from flask.sessions import SecureCookieSessionInterface

from applinks import create_app
from applinks.crypto import KeyRing, new_id
from applinks.models import Administrator, Connection, Event, State, database
from applinks.oauth.answers import Granted
from applinks.oauth.registration import ClientRegistration
from applinks.providers import CATALOGUE
from applinks.services import grants
from applinks.services.events import APPLINKS
from applinks.services.migrations import SCHEMA
from applinks.services.vault import Vault
from applinks.settings import read_settings
from applinks.wiring import Services
from tests.conftest import ADA, times
from tests.processes import Process, free_port
from tests.rotating import Point, RotatingProvider
from tests.services.test_storage import go_back_to

# Where a worker is killed. Four are the provider's own points; `lease` is before the request is sent, `commit` while the
# answer is read and stored, `start` while the process starts and looks for the first time, `any` at any time after that.
POINTS = ("lease", "received", "rotated", "half", "answered", "commit", "start", "any")
PROVIDERS_POINTS: tuple[Point, ...] = ("received", "rotated", "half", "answered")
GRACE_SECONDS = 10.0
INTERRUPTED = "got no clear answer"
# Shorter than the lease: whoever waited for it would be found out.
DEADLINE_SECONDS = 50
_LOOK_SECONDS = 0.002
_LEASED = "SELECT label FROM connection WHERE lease_owner <> ''"
_ROWS = "SELECT id, label, state, words, generation, lease_owner, refresh_token_enc FROM connection"


@dataclass(frozen=True)
class Row:
    """A connection as stored; its refresh token is opened."""

    id: str
    label: str
    state: str
    words: str
    generation: int
    lease_owner: str
    refresh_token: str


@dataclass
class Figures:
    """What came of the kills. `wrong` says in words what must never be; all else is for the report.

    `left`: kills that left a refresh under way. Of these the provider had rotated the token in `rotated`, and whoever
    came next sent the old one once more. `late`: that was after the provider's grace, since the machine was busy.
    """

    cycles: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    rotated: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    late: int = 0
    checked: int = 0
    recoveries: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass
class _Left:
    """A refresh that a kill has interrupted: the token that was being sent, and where the kills came."""

    token: str
    points: list[str]


class Trial:
    """`thorough`: look at the whole database after every kill, else after some. Closes the database at its end."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        provider: RotatingProvider,
        *,
        seed: int = 1,
        size: int = 4,
        thorough: bool = False,
    ) -> None:
        self.figures = Figures()
        self.provider = provider
        self._folder, self._thorough = folder, thorough
        self._random = random.Random(seed)
        self._port = free_port()
        self._environ = {"APPLINKS_DATABASE_URL": database_url} if database_url else {}
        self._app = create_app(
            read_settings(
                {"APPLINKS_DATA_DIR": str(folder), "APPLINKS_PORT": str(self._port)} | self._environ,
            )
        )
        self._services = cast(Services, self._app.extensions["applinks"])
        self._settings = self._services.settings
        self._vault = Vault(KeyRing.parse(self._settings.keys_file.read_text("ascii")))
        self._link_id = new_id()
        self._make_link()
        self._numbers = count(1)
        self._names: dict[str, str] = {}  # the grant that each connection holds
        self._kept: Counter[str] = Counter()  # how often this process has stored one
        self._left: dict[str, _Left] = {}
        self._replays = 0
        self._untouched = False
        for number in range(size):
            self._connect(f"account-{number}")

    # Refreshes

    def cycle(self, point: str) -> None:
        """Start a worker, let it take up what was left behind, and kill it at a point."""
        if not self._untouched:
            self._make_due()
        self.figures.cycles += 1
        self.figures.kills[point] += 1
        with self._process("worker", killed=True) as process:
            began = time.monotonic()
            if point == "start":
                time.sleep(self._random.uniform(0.2, 1.0))
            else:
                # Not earlier: every fourth time the product itself must be the first to open what the kill has left.
                wait_until(lambda: process.lines)
                self._await_recovery(began)
                self._await(point)
            database.close()
        self._look_after(point)

    def finish(self) -> None:
        """One more start, which is stopped in order."""
        with self._process("worker") as process:
            began = time.monotonic()
            wait_until(lambda: process.lines)
            self._await_recovery(began)
        self.add_up()

    def add_up(self) -> None:
        """What must hold after a stop in order."""
        rows = self.rows()
        self._must(len(rows) == len(self._names), "there are as many connections as before")
        for label, row in rows.items():
            self._must(not row.lease_owner, f"{label} has no lease")
            self._must(row.state == State.CONNECTED, f"{label} is connected")
            self._must(self.provider.is_usable(self._names[label], row.refresh_token), f"{label} has a usable token")
            refreshed = sum(
                times(event)
                for event in Event.select().where(Event.link_id == self._link_id, Event.label == label)
                if event.what == "refreshed"
            )
            self._must(refreshed + self._kept[label] == row.generation, f"{label} has a line for each refresh")
        refused = sum(request.outcome != "granted" for request in self.provider.requests)
        self._must(refused == self._replays, "no retired token was sent but after a kill")
        self._check(database.execute_sql)

    def rows(self) -> dict[str, Row]:
        return self._opened(database.execute_sql(_ROWS).fetchall())

    def close(self) -> None:
        database.close()

    def _await(self, point: str) -> None:
        """Wait until a refresh is where it shall be cut off."""
        if point == "any":
            return time.sleep(self._random.uniform(0, 0.5))
        if point == "lease":
            self._until_under_way(lambda: database.execute_sql(_LEASED).fetchone())
            return None
        self.provider.pause_at("answered" if point == "commit" else cast(Point, point))
        self._until_under_way(self.provider.reached.is_set)
        if point == "commit":
            time.sleep(0.03 * self._random.random() ** 2)
        return None

    def _until_under_way(self, condition: Callable[[], object]) -> None:
        def is_so() -> bool:
            if condition():
                return True
            if not Connection.select().where(Connection.next_attempt_at <= int(time.time())).exists():
                self._make_due()  # all were refreshed before it was looked for
            return False

        wait_until(is_so)

    def _await_recovery(self, began: float) -> None:
        if not self._left:
            return
        wait_until(lambda: self._left.keys().isdisjoint(label for (label,) in database.execute_sql(_LEASED).fetchall()))
        self.figures.recoveries.append(time.monotonic() - began)
        self._account(self.rows())

    def _is_taken_up(self, row: Row) -> bool:
        return not row.lease_owner or row.refresh_token != self._left[row.label].token

    def _look_after(self, point: str) -> None:
        """See what a kill has left behind. Every fourth time a copy is looked at, and SQLite's own file isn't opened."""
        self._untouched = not self._settings.database_url and self.figures.cycles % 4 == 0
        check = self._thorough or self.figures.cycles % 4 == 0
        if self._untouched:
            rows = self._look_at_a_copy()
        else:
            self._await_end_of_sessions()
            rows = self.rows()
            if check:
                self._check(database.execute_sql)
        self._account(rows, connect_again=not self._untouched)
        for label, row in rows.items():
            if row.lease_owner:
                self.figures.left[point] += 1
                self._left.setdefault(label, _Left(row.refresh_token, [])).points.append(point)

    def _account(self, rows: dict[str, Row], *, connect_again: bool = True) -> None:
        """Judge what has become of the refreshes that were interrupted and have ended since."""
        for label, left in list(self._left.items()):
            row = rows[label]
            if not self._is_taken_up(row) or (row.state == State.RECONNECT_NEEDED and not connect_again):
                continue
            del self._left[label]
            sent = [request for request in self.provider.requests if request.refresh_token == left.token]
            outcomes = [request.outcome for request in sent]
            self.figures.rotated += len(outcomes) > 1
            self._replays += len(outcomes) - 1
            said = f"{label}, killed at {', '.join(left.points)}: {', '.join(outcomes)}"
            self._must(1 <= len(outcomes) <= 1 + len(left.points), f"one more try a kill ({said})")
            if row.state == State.RECONNECT_NEEDED:
                self.figures.lost[left.points[-1]] += 1
                rotated = outcomes[0] == "granted" and set(outcomes[1:]) in ({"reuse"}, {"reuse", "revoked"})
                late = rotated and sent[1].wall - sent[0].wall >= self.provider.grace > 0
                self.figures.late += late
                self._must(
                    rotated and (late or not self.provider.grace), f"lost only where it can't be helped ({said})"
                )
                self._must(INTERRUPTED in row.words, f"the page says why ({said}: {row.words})")
                self._connect(label)
            else:
                usable = self.provider.is_usable(self._names[label], row.refresh_token)
                self._must(row.state == State.CONNECTED and usable, f"kept ({said}: {row.state})")

    def _look_at_a_copy(self) -> dict[str, Row]:
        with tempfile.TemporaryDirectory() as folder:
            for file in self._folder.glob("applinks.sqlite3*"):
                if not file.name.endswith("-shm"):
                    shutil.copy(file, folder)
            with closing(sqlite3.connect(Path(folder) / "applinks.sqlite3")) as copy:
                self._check(copy.execute)
                return self._opened(copy.execute(_ROWS).fetchall())

    def _check(self, execute: Callable[[str], Any]) -> None:
        """SQLite's file is sound. PostgreSQL's aren't what a killed client could damage."""
        if not self._settings.database_url:
            self._must(execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the database is sound")
            self._must(execute("PRAGMA foreign_key_check").fetchall() == [], "no row has lost its owner")
            self.figures.checked += 1

    def _await_end_of_sessions(self) -> None:
        """PostgreSQL ends what a killed client has begun a moment later, and may commit it yet."""
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'applinks' AND pid <> pg_backend_pid()"
        )
        if self._settings.database_url:
            wait_until(lambda: database.execute_sql(others).fetchone()[0] == 0)

    # How wide the gap is

    def widths(self, refreshes: int) -> list[float]:
        """The seconds from the provider's last byte until the commit can be seen, of so many refreshes."""
        found: list[float] = []
        with self._process("worker"):
            while len(found) < refreshes:
                self.provider.pause_at("answered")
                self._until_under_way(self.provider.reached.is_set)
                at = time.monotonic()
                grant = self.provider.requests[-1].grant
                label = next(label for label, name in self._names.items() if name == grant)
                leased = f"SELECT 1 FROM connection WHERE label = '{label}' AND lease_owner <> ''"
                end = at + DEADLINE_SECONDS
                while database.execute_sql(leased).fetchone() and time.monotonic() < end:
                    time.sleep(0.0001)
                found.append(time.monotonic() - at)
                self.provider.go()
        return found

    # Callbacks

    def callbacks(self, points: list[Point]) -> None:
        """Reconnect an account while it is connected, and kill the server in the middle of the code's exchange."""
        label, session_id = "account-0", self._sign_in()
        cookie = {self._settings.cookie_name: self._sealed({"id": session_id})}
        spent: dict[str, str] | None = None
        for point in [*points, None]:
            killed = point is not None
            with self._process("", killed=killed) as process:
                process.wait_until_open()
                if spent:
                    asked = len(self.provider.requests)
                    self._must(self._visit(spent, cookie) != 303, "a callback counts once")
                    self._must(len(self.provider.requests) == asked, "a code is sent once")
                    answer = self._consent(label, session_id)
                    self._must(self._visit(answer, cookie) == 303, "it connects after a kill")
                    self._kept_by_callback(label)
                if point:
                    before = self.rows()[label]
                    spent = self._consent(label, session_id)
                    self.provider.pause_at(point)
                    visit = threading.Thread(target=self._visit, args=(spent, cookie))
                    visit.start()
                    wait_until(self.provider.reached.is_set)
                    time.sleep(0.01 * self._random.random())
                    database.close()
            if point:
                visit.join()
                self._await_end_of_sessions()
                row = self.rows()[label]
                if row.generation != before.generation:
                    self._kept_by_callback(label)
                else:
                    self._must(row == before, "the grant that was there is there still")
                self._must(
                    self.provider.is_usable(self._names[label], row.refresh_token), f"{label} has a usable token"
                )
                self._check(database.execute_sql)
                self.figures.cycles += 1
                self.figures.kills[f"callback, {point}"] += 1

    def _consent(self, label: str, session_id: str) -> dict[str, str]:
        outgoing = self._services.links.outgoing_or_none_by_id(self._link_id)
        session = self._services.sign_in.session(session_id, active=True)
        assert outgoing
        assert session
        return self.provider.consent(self._services.dance.begin(outgoing, label, session, ADA))

    def _visit(self, answer: dict[str, str], cookie: dict[str, str]) -> int:
        """Come back from the provider; returns the status, 0 where the server went away."""
        with requests.Session() as browser, suppress(requests.ConnectionError):
            browser.trust_env = False
            url = f"{self._settings.base_url}/oauth/callback/{self._link_id}"
            came = browser.get(url, params=answer, cookies=cookie, allow_redirects=False, timeout=DEADLINE_SECONDS)
            return came.status_code
        return 0

    def _kept_by_callback(self, label: str) -> None:
        self._names[label] = str(self.provider.requests[-1].grant)
        self._kept[label] += 1
        row = self.rows()[label]
        self._must(self.provider.is_usable(self._names[label], row.refresh_token), f"{label} has its new token")

    def _sign_in(self) -> str:
        administrator = Administrator.create(id=new_id(), username="ada", password_hash="", created_at=int(time.time()))
        return self._services.sign_in.begin_session(administrator)

    def _sealed(self, session: dict[str, str]) -> str:
        serializer = cast(SecureCookieSessionInterface, self._app.session_interface).get_signing_serializer(self._app)
        assert serializer
        return str(serializer.dumps(session))

    # Migrations

    def migration(self) -> str:
        """Kill a start in the middle of a migration, and start again; returns which schema the kill had left."""
        before = self.rows()
        go_back_to(SCHEMA - 1)
        with self._process("worker", killed=True):
            with database.atomic():  # holds the migration back, so that the kill comes while it is at work
                wait_until(self._is_starting)
                time.sleep(0.05)
            time.sleep(0.1 * self._random.random())
            database.close()
        self._await_end_of_sessions()
        left = database.execute_sql("SELECT schema FROM instance").fetchone()[0]
        self._check(database.execute_sql)
        database.close()
        with self._process("worker") as process:
            wait_until(lambda: process.lines)
        schema = database.execute_sql("SELECT schema FROM instance").fetchone()[0]
        self._must(schema == SCHEMA, f"schema {schema}")
        self._must(self.rows() == before, "a migration keeps what is stored")
        self._must(database.execute_sql("SELECT id FROM reserve").fetchall() == [(1,)], "one reserve")
        self._check(database.execute_sql)
        self.figures.cycles += 1
        self.figures.kills["migration"] += 1
        return str(left)

    def _is_starting(self) -> bool:
        """Whether a process holds the lock of the data folder, which it does until the migration is done."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)
        return False

    # Setting up

    @contextmanager
    def _process(self, command: str, *, killed: bool = False) -> Iterator[Process]:
        """Run Applinks; at the end it is stopped or killed, and the provider goes on with what the dead had asked."""
        process = Process(self._folder, command, self._port, **self._environ)
        how = signal.SIGKILL if killed else signal.SIGTERM
        try:
            yield process
        except BaseException:
            how = signal.SIGKILL
            raise
        finally:
            status = process.stop(how)
            self.provider.go()
        self._must(status == (-how if killed else 0), f"exit status {status}: {process.lines}")

    def _make_link(self) -> None:
        provider, base_url = CATALOGUE["custom"], self.provider.base_url
        differences = {
            "authorization_endpoint": f"{base_url}/authorize",
            "token_endpoint": f"{base_url}/token",
            "userinfo_endpoint": f"{base_url}/userinfo",
            "client_authentication": "client_secret_basic",
        }
        registration = ClientRegistration(
            name="Payroll",
            provider=provider,
            profile=provider.profile(differences),
            differences=differences,
            client_id="payroll-client",
            client_secret="CANARY-client-secret",
            scopes="read",
        )
        self._services.links.create(self._link_id, registration, APPLINKS)

    def _connect(self, label: str) -> None:
        """Store a new grant, as a callback does."""
        name = f"{label}-{next(self._numbers)}"
        access_token, refresh_token = self.provider.grant(name)
        granted = Granted(access_token, refresh_token, self.provider.life, None)
        outgoing = self._services.links.outgoing_or_none_by_id(self._link_id)
        assert outgoing
        with database.atomic():
            now = int(time.time())
            grants.keep(self._vault, outgoing, label, granted, scopes="read", sent_at=now)
        self._names[label] = name
        self._kept[label] += 1

    def _make_due(self) -> None:
        """All but what a kill has left behind, which must be due by itself."""
        whole = Connection.label.not_in(list(self._left)) if self._left else Connection.id.is_null(False)
        Connection.update(next_attempt_at=int(time.time())).where(whole & (Connection.lease_owner == "")).execute()

    def _opened(self, rows: list[tuple[Any, ...]]) -> dict[str, Row]:
        found = {}
        for row in rows:
            plain = cast(tuple[str, str, str, str, int, str], row[:-1])
            token = self._vault.refresh_token(Connection(id=row[0], refresh_token_enc=row[-1]))
            found[row[1]] = Row(*plain, token)
        return found

    def _must(self, is_so: object, what: str) -> None:
        if not is_so:
            self.figures.wrong.append(f"Not so: {what}.")


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "the deadline passed"
        time.sleep(_LOOK_SECONDS)


def shuffled(points: tuple[str, ...], cycles: int, seed: int) -> list[str]:
    """Every point as often as the others, in an order that the seed decides."""
    order = [points[number % len(points)] for number in range(cycles)]
    random.Random(seed).shuffle(order)
    return order
