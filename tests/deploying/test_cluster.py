"""Three servers and two workers on one PostgreSQL behind nginx: none keeps what another would need, and each may be killed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest
import requests

from applinks import create_app, crypto
from applinks.crypto import KeyRing, new_id
from applinks.models import Connection, database
from applinks.services.migrations import SCHEMA
from applinks.services.vault import Vault
from applinks.settings import read_settings
from tests.application import CHALLENGE, REDIRECT, VERIFIER
from tests.cluster import Cluster, Member, free_port, missing, until
from tests.conftest import PASSWORD
from tests.postgresql import Server
from tests.processes import ROOT
from tests.rotating import RotatingProvider

pytestmark = pytest.mark.skipif(bool(missing()) and os.environ.get("CI") != "true", reason=missing() or "all is here")
LABELS = ("first", "second", "third")
CUT_OFF = 0  # in place of a status: the answer ended before it was whole


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server.start()
    yield server
    server.stop()


class Site:
    """A cluster, a provider beside it, and ada, who has set it up and is signed in."""

    def __init__(self, cluster: Cluster, database_url: str, provider: RotatingProvider) -> None:
        self.cluster, self.database_url, self.provider = cluster, database_url, provider
        self.ada, self.link_id = requests.Session(), new_id()
        self.ada.trust_env = False

    def ask(self, method: str, path: str, at: int | None = None, **how: Any) -> requests.Response:
        """Ask the server of a number as nginx would, or nginx itself."""
        port = self.cluster.port if at is None else self.cluster.ports[at]
        headers = {"Host": f"127.0.0.1:{self.cluster.port}", **how.pop("headers", {})}
        browser = how.pop("browser", self.ada)
        return browser.request(
            method, f"http://127.0.0.1:{port}{path}", headers=headers, timeout=30, allow_redirects=False, **how
        )

    def submit(self, path: str, at: int | None = None, seen_at: int | None = None, **form: Any) -> requests.Response:
        """Send a form to one server with the CSRF token that another one's page showed."""
        page = self.ask("GET", "/sign-in" if path == "/sign-in" else "/settings", seen_at)
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        form = {"csrf_token": token[1] if token else self._token(path, seen_at), **form}
        return self.ask("POST", path, at, data=form, headers={"Origin": self.cluster.base_url})

    def _token(self, path: str, at: int | None) -> str:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.ask("GET", path, at).text)
        assert token
        return token[1]

    def set_up(self) -> None:
        path = urlsplit(self.cluster.address).path
        assert self.submit(path, username="ada", password=PASSWORD).status_code == 303
        saved = self.submit(f"/links/new/outgoing/{self.link_id}", **self.link_form())
        assert saved.status_code == 303, saved.text
        for label in LABELS:
            self.connect(label, 0, 1)
        key = self.submit("/api-keys/new", name="script", reach="all", may="read", days="30")
        self.key = self.key_in(key)

    def link_form(self, name: str = "Payroll") -> dict[str, str]:
        return {
            "name": name,
            "provider": "custom",
            "revealed": "custom",
            "authorization_endpoint": f"{self.provider.base_url}/authorize",
            "token_endpoint": f"{self.provider.base_url}/token",
            "userinfo_endpoint": f"{self.provider.base_url}/userinfo",
            "client_id": "payroll-client",
            "client_secret": "CANARY-client-secret",
            "client_authentication": "client_secret_basic",
            "scopes": "read",
        }

    def key_in(self, page: requests.Response) -> str:
        found = re.search(r"apl_[A-Za-z0-9_-]+", page.text)
        assert page.status_code == 201, page.text
        assert found
        return found[0]

    def connect(self, label: str, begun_at: int, ended_at: int) -> None:
        begun = self.submit("/links/payroll/connect", begun_at, label=label)
        back = self.callback(begun, ended_at)
        assert back.status_code == 303, back.text

    def callback(self, begun: requests.Response, at: int | None) -> requests.Response:
        answer = self.provider.consent(going_to(begun))
        return self.ask("GET", f"/oauth/callback/{self.link_id}?{urlencode(answer)}", at)

    def read(self, label: str, at: int | None = None, key: str = "") -> int:
        path = f"/api/v1/links/payroll/token?connection={label}"
        with requests.Session() as script:
            script.trust_env = False
            headers = {"Authorization": f"Bearer {key or self.key}"}
            return self.ask("GET", path, at, headers=headers, browser=script).status_code

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return (
                connection.execute(query).fetchall() if query.startswith("SELECT") else connection.execute(query) and []
            )

    def make_due(self) -> None:
        self.rows("UPDATE connection SET next_attempt_at = 1 WHERE lease_owner = ''")

    def refreshed(self) -> int:
        return int(self.rows("SELECT sum(generation) FROM connection")[0][0])

    def nothing_is_lost(self) -> None:
        """Every refresh token that is stored is one that the provider takes, and the audit log is whole."""
        until(lambda: not self.rows("SELECT 1 FROM connection WHERE lease_owner <> ''"), "all leases given back", 60)
        vault = Vault(KeyRing.parse((self.cluster.folder / "data" / "keys").read_text("ascii")))
        for row_id, state, sealed in self.rows("SELECT id, state, refresh_token_enc FROM connection"):
            token = vault.refresh_token(Connection(id=row_id, refresh_token_enc=sealed))
            name = next(name for name in self.provider._families if f"-{name}-" in token)
            assert (state, self.provider.is_usable(name, token)) == ("connected", True)
        own = {name: value for name, value in os.environ.items() if not name.startswith(("APPLINKS_", "OAUTHLIB_"))}
        environ = {**own, **self.cluster._environ, "APPLINKS_DATA_DIR": str(self.cluster.folder / "data")}
        told = subprocess.run(
            [sys.executable, "app.py", "events", "--verify"], cwd=ROOT, env=environ, capture_output=True, text=True
        )
        assert told.returncode == 0, told.stdout + told.stderr


def going_to(answer: requests.Response) -> str:
    found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', answer.text)
    assert found, answer.text
    return unescape(found[1])


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder, RotatingProvider(grace=10.0) as provider, ExitStack() as stack:
        url = server.make_database("cluster")
        cluster = Cluster(Path(folder), url)
        stack.callback(cluster.kill)
        cluster.start()
        site = Site(cluster, url, provider)
        stack.callback(site.ada.close)
        site.set_up()
        yield site
        assert set(cluster.stop()) == {0}


def test_it_is_signed_in_at_all_and_signed_out_of_all(site: Site) -> None:
    cookies = site.ada.cookies.copy()
    other = requests.Session()
    assert site.submit("/sign-out", 1, seen_at=0).status_code == 303
    other.cookies = cookies  # the cookie of before, as a thief would have it
    for at in range(3):
        assert site.ask("GET", "/links", at, browser=other).status_code == 303
    other.close()
    assert site.submit("/sign-in", 2, seen_at=1, username="ada", password=PASSWORD).status_code == 303
    for at in range(3):
        assert site.ask("GET", "/links", at).status_code == 200


def test_it_takes_a_callback_anywhere_and_once(site: Site) -> None:
    begun = site.submit("/links/payroll/connect", 0, label="elsewhere")
    answer = site.provider.consent(going_to(begun))
    path = f"/oauth/callback/{site.link_id}?{urlencode(answer)}"
    asked = len(site.provider.requests)
    assert [site.ask("GET", path, at).status_code == 303 for at in (2, 1, 0)] == [True, False, False]
    assert len(site.provider.requests) == asked + 1


def test_it_saves_at_one_what_was_typed_at_another(site: Site) -> None:
    path = f"/links/new/outgoing/{new_id()}"
    saved = site.submit(path, 1, seen_at=2, **site.link_form("Drafted"))
    assert saved.status_code == 303
    assert site.ask("GET", "/links/drafted", 0).status_code == 200
    forged = {"csrf_token": "x" * 40, **site.link_form("Forged")}
    refused = site.ask("POST", path[:-32] + new_id(), 1, data=forged, headers={"Origin": site.cluster.base_url})
    assert refused.status_code == 400
    assert site.ask("GET", "/links/forged", 0).status_code == 404


def test_it_refuses_at_once_a_key_that_another_revoked(site: Site) -> None:
    key = site.key_in(site.submit("/api-keys/new", 0, name="short", reach="all", may="read", days="1"))
    assert [site.read("first", at, key) for at in range(3)] == [200, 200, 200]
    assert site.submit(f"/api-keys/{key.split('_')[1]}/revoke", 1).status_code == 303
    assert [site.read("first", at, key) for at in range(3)] == [401, 401, 401]


def test_it_redeems_a_code_that_another_gave(site: Site) -> None:
    form = {"name": "App", "client_type": "public", "grant_types": "authorization_code", "redirect_uris": REDIRECT}
    form |= {"scopes": "profile", "access_token_life": "60", "refresh_idle_life": "30", "refresh_life": "90"}
    made = site.submit("/links/new/incoming", 0, **form)
    assert made.status_code in (201, 303), made.text
    client_id = site.rows("SELECT client_id FROM incoming_link")[0][0]
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT,
        "scope": "profile",
        "state": "s",
    }
    asked |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    page = site.ask("GET", f"/oauth/authorize?{urlencode(asked)}", 0)
    ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
    assert ticket, page.text
    allowed = site.submit("/oauth/authorize", 1, ticket=unescape(ticket[1]), decision="allow")
    code = parse_qs(urlsplit(going_to(allowed)).query)["code"][0]
    redeemed = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "client_id": client_id}
    redeemed |= {"code_verifier": VERIFIER}
    tokens = site.ask("POST", "/oauth/token", 2, data=redeemed)
    assert tokens.status_code == 200, tokens.text
    bearer = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
    assert site.ask("GET", "/oauth/userinfo", 1, headers=bearer).status_code == 200
    assert site.ask("POST", "/oauth/token", 0, data=redeemed).json()["error"] == "invalid_grant"
    assert site.ask("GET", "/oauth/userinfo", 1, headers=bearer).status_code == 401


def test_it_asks_once_for_each_token_though_two_look(site: Site) -> None:
    count = int(site.rows("SELECT count(*) FROM connection")[0][0])
    asked, before = len(site.provider.requests), site.refreshed()
    site.make_due()
    until(lambda: site.refreshed() == before + count, "all refreshed")
    assert len(site.provider.requests) == asked + count
    assert {request.outcome for request in site.provider.requests[asked:]} == {"granted"}


class Load:
    """Reads through nginx, and refreshes, in the background."""

    def __init__(self, site: Site) -> None:
        self.site, self.statuses = site, Counter[int]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(label,)) for label in LABELS]
        self._threads.append(threading.Thread(target=self._refresh))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, label: str) -> None:
        while not self._stop.wait(0.01):
            try:
                self.statuses[self.site.read(label)] += 1
            except requests.RequestException:
                self.statuses[CUT_OFF] += 1

    def _refresh(self) -> None:
        while not self._stop.wait(0.3):
            with suppress(psycopg.Error):
                self.site.make_due()


def test_killing_any_of_them_loses_nothing(site: Site) -> None:
    with Load(site) as load:
        for number in range(5):
            assert site.cluster.restart(number, signal.SIGKILL) == -signal.SIGKILL
            site.connect(f"after-{number}", number % 3, (number + 1) % 3)
        # An answer that a killed server had begun to send can't be had from another; everything else is asked for again.
        assert load.statuses.keys() <= {200, CUT_OFF}, load.statuses
        assert load.statuses[CUT_OFF] <= 3 * len(LABELS), load.statuses
        site.cluster.stop_front(signal.SIGKILL)
        site.cluster.start_front()
        before = load.statuses[200]
        until(lambda: load.statuses[200] > before + 20, "reads go on")
    assert load.statuses[200] > 200
    site.nothing_is_lost()


def test_a_rolling_restart_fails_no_read(site: Site) -> None:
    with Load(site) as load:
        for number in range(3):
            assert site.cluster.restart(number, signal.SIGTERM) == 0
    assert load.statuses.keys() == {200}, load.statuses
    site.nothing_is_lost()


def test_all_stop_at_once_and_start_at_once(site: Site) -> None:
    site.cluster.stop_front()
    for member in site.cluster.members:
        member.tell(signal.SIGTERM)
    assert [member.wait() for member in site.cluster.members] == [0] * 5
    site.cluster.servers = [site.cluster.serve(port) for port in site.cluster.ports]
    site.cluster.workers = [site.cluster.work(), site.cluster.work()]
    site.cluster.wait_until_ready()
    site.cluster.start_front()
    assert site.read("first") == 200
    site.nothing_is_lost()


def test_they_make_one_database_and_one_keys_file(server: Server, tmp_path: Path) -> None:
    """Each with a data folder of its own, as on three machines; a worker makes nothing, and says what is to be done."""
    url = server.make_database("empty")
    keys = tmp_path / "shared" / "keys"
    keys.parent.mkdir()
    environ = {"APPLINKS_DATABASE_URL": url, "APPLINKS_KEYS_FILE": str(keys), "APPLINKS_REFRESHER": "off"}
    servers = [Member(tmp_path / str(number), "serve", free_port(), **environ) for number in range(3)]
    workers = [Member(tmp_path / f"worker-{number}", "worker", **environ) for number in range(2)]
    until(lambda: all(member.ready or not member.lives for member in servers + workers), "all started, or refused")
    try:
        assert [member.lines for member in servers if not member.ready] == []
        for worker in workers:
            assert worker.ready or "Start the server first" in " ".join(worker.lines)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT schema FROM instance").fetchall() == [(SCHEMA,)]
    finally:
        statuses = [member.stop() for member in servers]
        for worker in workers:
            worker.stop()
    assert statuses == [0, 0, 0]
    assert [file.name for file in keys.parent.iterdir()] == ["keys"]
    assert keys.stat().st_mode & 0o777 == 0o600


def test_it_keeps_the_keys_that_another_machine_has_just_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, make = tmp_path / "shared", crypto.new_encryption_key
    theirs = crypto.write_keys([make()])

    def made_meanwhile() -> crypto.Key:
        keys.write_text(theirs)
        keys.chmod(0o600)
        return make()

    monkeypatch.setattr(crypto, "new_encryption_key", made_meanwhile)
    create_app(read_settings({"APPLINKS_DATA_DIR": str(tmp_path / "data"), "APPLINKS_KEYS_FILE": str(keys)}))
    database.close()
    assert keys.read_text() == theirs
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "shared"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_leaves_nothing_behind(how: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.cluster", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout
        lines = [running.stdout.readline(), running.stdout.readline()]
        assert f"Open http://127.0.0.1:{port}/setup/" in lines[1]
        running.send_signal(how)
        assert running.wait(60) == 0
        deadline = time.monotonic() + 10
        while list_session(running.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list_session(running.pid) == []


def list_session(session: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "args=", "-s", str(session)], capture_output=True, text=True)
    return found.stdout.splitlines()
