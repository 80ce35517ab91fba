"""Starting and stopping a real process: its one line on the console, its exit status, its data."""

import hashlib
import re
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
import requests
from werkzeug.wrappers import Request, Response

from tests.processes import Process, free_port
from tests.standin import StandIn, raw_answer

PASSWORD = "CANARY plum lantern orbit"


class Person(requests.Session):
    """A browser that talks to a process, and keeps to its loopback address."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.trust_env = False
        self.base_url = process.base_url

    def see(self, path: str) -> requests.Response:
        return self.get(self.base_url + path, timeout=20)

    def submit(self, path: str, **fields: str) -> requests.Response:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.see("/sign-in").text)
        assert token
        form = {"csrf_token": token[1], **fields}
        return self.post(self.base_url + path, data=form, headers={"Origin": self.base_url}, timeout=20)

    def continued(self, response: requests.Response) -> str:
        found = re.search(r'content="0; url=([^"]+)"', response.text)
        assert found, response.text
        return unescape(found[1])

    def connect_demo(self) -> requests.Response:
        """The demo's whole dance: Connect, Allow, callback."""
        consent = self.get(self.continued(self.submit("/links/demo-provider/connect")), timeout=20)
        ticket = re.search(r'name="ticket" value="([^"]+)"', consent.text)
        assert ticket, consent.text
        return self.get(self.continued(self.submit("/oauth/authorize", ticket=ticket[1], decision="allow")), timeout=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def running() -> Iterator[list[Process]]:
    """Processes that must be gone after the test."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.stop(signal.SIGKILL)


def start(running: list[Process], folder: Path, command: str = "", port: int | None = None, **settings: str) -> Process:
    process = Process(folder, command, port, **settings)
    running.append(process)
    return process


def test_it_prints_a_setup_address_once(running: list[Process], folder: Path) -> None:
    first = start(running, folder)
    address = first.wait_until_open()
    assert re.fullmatch(rf"{first.base_url}/setup/[\w-]{{43}}", address)
    person = Person(first)
    assert "Set up Applinks" in person.get(address, timeout=20).text
    done = person.submit(address.removeprefix(first.base_url), username="ada", password=PASSWORD)
    assert "Application links" in done.text
    assert first.stop() == 0
    again = start(running, folder)
    assert again.wait_until_open() == f"{again.base_url}/"
    assert "User name or password is wrong" in Person(again).submit("/sign-in", username="admin", password="admin").text
    assert "Sign out" in Person(again).submit("/sign-in", username="ada", password=PASSWORD).text


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly(running: list[Process], folder: Path, how: signal.Signals) -> None:
    process = start(running, folder, "demo")
    process.wait_until_open()
    assert process.stop(how) == 0


def test_it_finishes_a_request_before_it_stops(running: list[Process], folder: Path, provider: StandIn) -> None:
    """A refresh that is under way is stored, too."""
    process = start(running, folder, "demo")

    def stop_meanwhile(request: Request) -> Response:
        process.tell(signal.SIGTERM)
        return raw_answer('{"access_token": "CANARY-a", "token_type": "Bearer", "expires_in": 60}')(request)

    provider.answer(stop_meanwhile)
    assert connect_slow_link(process, provider).status_code == 303
    assert process.wait() == 0


def test_it_stores_a_refresh_however_often_it_is_told_to_stop(
    running: list[Process], folder: Path, provider: StandIn
) -> None:
    """A073: the provider has replaced the refresh token by then, and a second Ctrl-C would lose the new one."""
    process = start(running, folder, "demo")
    connect_slow_link(process, provider)
    answered = threading.Event()

    def hammer(request: Request) -> Response:
        for _ in range(20):
            process.tell(signal.SIGINT)
            answered.wait(0.05)
        answered.set()
        return raw_answer('{"access_token": "CANARY-b", "token_type": "Bearer", "expires_in": 60}')(request)

    provider.answer(hammer)
    with closing(sqlite3.connect(folder / "applinks.sqlite3")) as stored, stored:
        stored.execute("update connection set next_attempt_at = 0")
    assert process.wait() == 0
    assert answered.is_set()
    with closing(sqlite3.connect(folder / "applinks.sqlite3")) as stored:
        [[words, state]] = stored.execute("select words, state from connection where generation = 2")
    assert (words, state) == ("", "connected")


def connect_slow_link(process: Process, provider: StandIn) -> requests.Response:
    """The callback's answer for a link to the stand-in."""
    person = Person(process)
    person.get(process.wait_until_open(), timeout=20)
    link = "0" * 32
    endpoints = {name: f"{provider.base_url}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
    form = {"name": "Slow", "provider": "custom", "revealed": "custom", "userinfo_endpoint": "", **endpoints}
    person.submit(f"/links/new/outgoing/{link}", **form, client_id="c", client_secret="CANARY", scopes="")
    asked_at = person.continued(person.submit("/links/slow/connect"))
    callback = f"{process.base_url}/oauth/callback/{link}"
    return person.get(callback, params=provider.consent(asked_at), timeout=20, allow_redirects=False)


def test_it_says_so_when_the_port_is_taken(running: list[Process], folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(running, folder, port=taken.getsockname()[1])
        assert process.wait() == 2
    assert len(process.lines) == 1
    assert "Choose another APPLINKS_PORT" in process.lines[0]


def test_it_knows_visitors_behind_its_proxy_by_their_own_address(running: list[Process], folder: Path) -> None:
    """A187, with what the server itself does to these headers."""
    process = start(running, folder, APPLINKS_TRUSTED_PROXIES="127.0.0.1/32")
    process.wait_until_open()
    person = Person(process)

    def guess(number: int, address: str) -> int:
        person.headers["X-Forwarded-For"] = address
        return person.submit("/sign-in", username=f"nobody-{number}", password=PASSWORD).status_code

    # On a busy machine a guess may take as long as the wait that the ones before it have earned.
    answers = [guess(number, "198.51.100.7") for number in range(12)]
    assert answers[:5] == [422] * 5
    assert 429 in answers
    assert guess(12, "198.51.100.8") == 422


def test_it_receives_no_endless_body(running: list[Process], folder: Path) -> None:
    """A181"""
    process = start(running, folder)
    process.wait_until_open()
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as caller:
        caller.sendall(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 157286400\r\n\r\n" + b"x" * 1000)
        assert caller.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"OAUTHLIB_INSECURE_TRANSPORT": "1"}, "OAUTHLIB_INSECURE_TRANSPORT"),
        ({"APPLINKS_BASEURL": "x"}, "APPLINKS_BASEURL is no setting"),
        ({"APPLINKS_BASE_URL": "http://links.example.com"}, "plain http"),
        ({"APPLINKS_DATA_DIR": "/dev/null/data"}, "can't be made"),
        ({"APPLINKS_HOST": "no.such.host.invalid"}, "APPLINKS_HOST is no address of this machine"),
    ],
)
def test_it_says_in_one_line_why_it_does_not_start(
    running: list[Process], folder: Path, settings: dict[str, str], says: str
) -> None:
    process = start(running, folder, **settings)
    assert process.wait() == 2
    assert len(process.lines) == 1
    assert says in process.lines[0]


@pytest.mark.parametrize("how", ["missing", "wrong", "readable by others"])
def test_it_exits_with_3_when_its_keys_are_not_right(running: list[Process], folder: Path, how: str) -> None:
    process = start(running, folder)
    process.wait_until_open()
    process.stop()
    keys, database = folder / "keys", folder / "applinks.sqlite3"
    if how == "missing":
        keys.unlink()
    elif how == "wrong":
        keys.write_text("other:" + "A" * 43 + "=\n")
    else:
        keys.chmod(0o644)
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    again = start(running, folder)
    assert again.wait() == 3
    assert len(again.lines) == 1
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before


def test_the_demo_signs_in_once(running: list[Process], folder: Path) -> None:
    process = start(running, folder, "demo")
    address = process.wait_until_open()
    assert "Demo provider" in Person(process).get(address, timeout=20).text
    assert Person(process).get(address, timeout=20).status_code == 404


def test_the_demo_dances_with_itself(running: list[Process], folder: Path) -> None:
    process = start(running, folder, "demo")
    person = Person(process)
    person.get(process.wait_until_open(), timeout=20)
    page = person.connect_demo()
    assert page.url == f"{process.base_url}/links/demo-provider"
    assert "Connected" in page.text
    assert "The token was refreshed." in person.submit("/links/demo-provider/connections/default/refresh").text


def test_the_demo_follows_its_port(running: list[Process], folder: Path) -> None:
    first = start(running, folder, "demo")
    person = Person(first)
    person.get(first.wait_until_open(), timeout=20)
    person.connect_demo()
    first.stop()
    second = start(running, folder, "demo", free_port())
    person = Person(second)
    person.get(second.wait_until_open(), timeout=20)
    page = person.see("/links/demo-provider")
    assert "Connected" in page.text
    assert f"{second.base_url}/oauth/token" in page.text
    settings, _, history = page.text.partition('id="history-heading"')
    assert str(first.port) not in settings
    assert history
    assert "The token was refreshed." in person.submit("/links/demo-provider/connections/default/refresh").text
    assert "Connected" in person.connect_demo().text


def test_it_loses_nothing_when_it_is_killed(running: list[Process], folder: Path) -> None:
    first = start(running, folder, "demo")
    person = Person(first)
    person.get(first.wait_until_open(), timeout=20)
    person.connect_demo()
    first.stop(signal.SIGKILL)
    second = start(running, folder, "demo")
    person = Person(second)
    person.get(second.wait_until_open(), timeout=20)
    assert "The token was refreshed." in person.submit("/links/demo-provider/connections/default/refresh").text
