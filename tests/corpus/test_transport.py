"""Whatever a provider does to a connection, a call ends in time, as what it was, with nothing sent elsewhere.

`input`: a script for the faulty provider; `tls` is a kind of server (see tests/authority.py), with `names` in its
certificate; `host` is what the endpoint's URL says, `scheme` too where the script itself speaks on the TLS port.
`resolve` is what the name service does: its answers look after look, or how it `fails` or `hangs`. A `slow` case lasts
until the deadline; all of these run at once. In a script, <self> and <elsewhere> are ports: the provider's own, and that
of another server, which nobody may call. `details`: how many connections there must be, where that says more.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from flask import Flask

from applinks import create_app
from applinks.models import Connection, database
from applinks.oauth.answers import Away
from applinks.oauth.client import ClientCredentials, OAuthClient, prepare_libraries
from applinks.oauth.guard import Guard
from applinks.providers import CATALOGUE
from applinks.settings import Settings
from tests.authority import Authority, TooGoodError
from tests.conftest import Clock
from tests.corpus.cases import Case, bounded_memory, case_id, load
from tests.faults import FaultyProvider
from tests.standin import StandIn
from tests.visitor import Visitor

SECONDS, SLOW_SECONDS = 4.0, 1.0  # a slow case lasts as long as it is given; a quick one must only not be cut short
CASES = load("transport")
GOOD = next(case for case in CASES if case.id == "good-content-length").input["script"]


@dataclass
class Outcome:
    """What became of a case; `over_time` is in seconds after its deadline."""

    answer: object
    over_time: float
    requests: list[bytes]
    connections: int
    elsewhere: int
    looked_up: list[str]

    @property
    def kind(self) -> str:
        if isinstance(self.answer, Away) and self.answer.ambiguous:
            return "away_ambiguous"
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self.answer).__name__).lower()


class NameService:
    """Answers as a case says, and remembers who was asked for."""

    def __init__(self, says: dict[str, Any], over: threading.Event) -> None:
        self.looked_up: list[str] = []
        self._says = says
        self._over = over

    def __call__(self, host: str) -> list[str]:
        self.looked_up.append(host)
        if "hangs" in self._says:
            self._over.wait(60)
        if self._says.get("fails") == "UnicodeError":
            raise UnicodeError("label empty or too long")
        if "fails" in self._says:
            raise socket.gaierror(getattr(socket, self._says["fails"]), "CANARY")
        looks = self._says.get("looks", [["127.0.0.1"]])
        return list(looks[min(len(self.looked_up), len(looks)) - 1])


class Driver:
    """Runs cases: a quick one when it is asked for, all slow ones at once with the first of them."""

    def __init__(self, authority: Authority, stranger: Authority, elsewhere: FaultyProvider) -> None:
        self._authority = authority
        self._stranger = stranger
        self._elsewhere = elsewhere

    def outcome(self, case: Case) -> Outcome:
        return self._slow[case.id] if case.input.get("slow") else self._run(case)

    @cached_property
    def _slow(self) -> dict[str, Outcome]:
        cases = [case for case in CASES if case.input.get("slow")]
        with ThreadPoolExecutor(len(cases)) as pool:
            return {case.id: outcome for case, outcome in zip(cases, pool.map(self._run, cases), strict=True)}

    def _run(self, case: Case) -> Outcome:
        given, over = case.input, threading.Event()
        name_service = NameService(given.get("resolve", {}), over)
        provider = FaultyProvider(given["script"], self._tls(given))
        elsewhere = self._elsewhere.connections
        with provider:
            ports = {"<self>": str(provider.port), "<elsewhere>": str(self._elsewhere.port)}
            provider.script = [filled(step, ports) for step in provider.script]
            scheme = given.get("scheme") or provider.base_url.partition(":")[0]
            seconds = SLOW_SECONDS if given.get("slow") else SECONDS
            guard = Guard(loopback=True, resolve=name_service, ca_file=self._authority.ca_file, seconds=seconds)
            began = time.monotonic()
            answer = ask(guard, f"{scheme}://{given.get('host', 'localhost')}:{provider.port}/token")
            over_time = time.monotonic() - began - seconds
            over.set()
        return Outcome(
            answer,
            over_time,
            provider.requests,
            provider.connections,
            self._elsewhere.connections - elsewhere,
            name_service.looked_up,
        )

    def _tls(self, given: dict[str, Any]) -> Any:
        kind, names = given.get("tls"), given.get("names", [])
        if kind == "unknown authority":
            return self._stranger.server("good", *names)
        return self._authority.server(kind, *names) if kind else None


def filled(step: dict[str, Any], ports: dict[str, str]) -> dict[str, Any]:
    text = step.get("send", "")
    for name, port in ports.items():
        text = text.replace(name, port)
    return step | {"send": text} if text else step


def ask(guard: Guard, endpoint: str) -> object:
    """Exchange a code there; an exception is an outcome, too, if never an expected one."""
    differences = {"token_endpoint": endpoint, "client_authentication": "client_secret_post"}
    try:
        return OAuthClient(guard).exchange(
            CATALOGUE["custom"].profile(differences),
            ClientCredentials("client", "CANARY-secret"),
            code="CANARY-code",
            redirect_uri="http://127.0.0.1/cb",
            code_verifier="CANARY-" + "v" * 43,
        )
    except Exception as error:
        return error


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    authority, stranger = (Authority(tmp_path_factory.mktemp(name)) for name in ("authority", "stranger"))
    prepare_libraries(loopback=True)
    with FaultyProvider(GOOD) as elsewhere:
        # What a process loads once, as the authorities that it trusts, is no case's memory.
        ask(Guard(loopback=True, ca_file=authority.ca_file), elsewhere.base_url)
        yield Driver(authority, stranger, elsewhere)
    prepare_libraries(loopback=False)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_it_survives(driver: Driver, case: Case) -> None:
    """A044, A045, A051, A052, A063, A078, A085, F2, F14"""
    try:
        with bounded_memory():
            outcome = driver.outcome(case)
    except TooGoodError as reason:
        pytest.skip(f"the local OpenSSL can't offer {reason}")
    assert outcome.kind == case.expected, outcome.answer
    assert outcome.over_time <= 1
    assert "CANARY" not in repr(outcome.answer) + str(getattr(outcome.answer, "words", ""))
    assert outcome.connections <= 1, "it was tried again"
    assert outcome.connections == case.details.get("connections", outcome.connections)
    assert outcome.elsewhere == 0, "a redirect was followed"
    assert len(outcome.looked_up) <= 1, "the name was looked up again"
    assert set(outcome.looked_up) <= {case.input.get("host", "localhost")}
    sent = b"".join(outcome.requests)
    assert sent.count(b"POST ") <= 1
    if case.expected in ("away", "address_refused"):
        assert b"CANARY" not in sent, "it says that nothing was sent, and something was"


@pytest.fixture
def app(settings: Settings, clock: Clock) -> Iterator[Flask]:
    """An application that gives providers less time."""
    app = create_app(settings, clock=clock, guard=Guard(loopback=True, seconds=SLOW_SECONDS))
    yield app
    database.close()


@pytest.fixture
def faulty() -> Iterator[FaultyProvider]:
    with FaultyProvider([]) as faulty:
        yield faulty


@pytest.fixture
def link_form(faulty: FaultyProvider, provider: StandIn) -> dict[str, str]:
    return {
        "name": "Payroll",
        "provider": "custom",
        "revealed": "custom",
        "authorization_endpoint": f"{provider.base_url}/authorize",
        "token_endpoint": f"{faulty.base_url}/token",
        "userinfo_endpoint": "",
        "client_id": "payroll-client",
        "client_secret": "CANARY-client-secret",
        "scopes": "read write",
    }


def tokens() -> dict[str, Any]:
    kept = ("access_token_enc", "refresh_token_enc", "expires_at", "scopes_granted", "generation", "refreshed_at")
    return {name: getattr(Connection.get(), name) for name in kept}


FAILING = (
    "hang-before-answering",
    "drip-body",
    "reset-in-body",
    "endless-body",
    "gzip-bomb",
    "redirect-307-internal",
    "http-0-9",
    "1000-headers",
)


def test_it_keeps_the_grant_through_failing_refreshes(
    ada: Visitor, connect: Callable[..., None], faulty: FaultyProvider
) -> None:
    """A063: nothing that befalls a connection counts as the provider's word on the grant."""
    good = {"access_token": "CANARY-a", "token_type": "Bearer", "refresh_token": "CANARY-r", "expires_in": 3600}
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    faulty.script = [{"send": head + json.dumps(good)}]
    connect()
    before = tokens()
    scripts = {case.id: case.input["script"] for case in CASES}
    for count, id in enumerate(FAILING, 1):
        faulty.script = scripts[id]
        answered = ada.post("/links/payroll/connections/default/refresh")
        assert answered.status_code in (303, 503), id
        assert tokens() == before, id
        connection = Connection.get()
        assert (connection.state, connection.failures) == ("retrying", count), id
        assert connection.next_attempt_at, id
        assert ada.get("/links/payroll").status_code == 200
