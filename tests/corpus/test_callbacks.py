"""Hostile and odd callbacks, sent as raw bytes to the real server: each has its class, and a refused one leaves no trace.

In `input`: method, target or query, version, headers (whole lines), body, `link`, `who` sends it, and what came `before`.
In `details`: what the page `says` and `never` says, the `code` that was redeemed, how many `token_requests` and `events`
there were, and how a good callback fares `then`. Names in braces stand for what `the_values` knows.
"""

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from waitress.server import create_server
from werkzeug.test import TestResponse

from applinks import create_app
from applinks.crypto import digest, new_id
from applinks.models import (
    TABLES,
    Administrator,
    AuthorizationFlow,
    Connection,
    Event,
    Instance,
    SignInSession,
    database,
)
from applinks.settings import read_settings
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, Clock
from tests.corpus.cases import Case, case_id, load
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor

ISSUER = "https://login.corp.example/Tenant-1"
GOOD = "code={code}&state={state}"
SECONDS = 2
STATUS = {"connected": 303, "refused": 400, "not_found": 404, "not_allowed": 405, "sent_home": 307}
# A session was active; an answer to a flow of ours spends it and is told in the history; nothing else may change.
MAY_CHANGE = {
    "connected": {SignInSession, AuthorizationFlow, Event, Instance, Connection},
    "refused": {SignInSession, AuthorizationFlow, Event, Instance},
}
PLAIN = re.compile(r"[\x20-\x7e]*")

Rows = dict[Any, list[dict[str, Any]]]


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: str
    seconds: float

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name)


class Scene:
    """One application behind its own server, a provider, and the people of the corpus; as it was before every case."""

    def __init__(self, folder: Path, password_hash: str) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.clock = Clock()
        self.settings = read_settings({"APPLINKS_DATA_DIR": str(folder), "APPLINKS_PORT": str(self.port)})
        self.app = create_app(self.settings, clock=self.clock)
        self.services: Services = self.app.extensions["applinks"]
        self.provider = StandIn()
        self.provider.start()
        self._server = create_server(self._serve, sockets=[listening], threads=4, ident=None)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        self._password_hash = password_hash
        ada, bob = self._administrator("ada"), self._administrator("bob")
        self.ada, self.bob, self.elsewhere = self._browser(ada), self._browser(bob), self._browser(ada)
        self.links = {
            name: self.make_link(name, **more)
            for name, more in {
                "payroll": {},
                "other": {},
                "issuer": {"issuer": ISSUER},
                "strict": {"issuer": ISSUER, "iss_required": "yes"},
            }.items()
        }
        incoming = self.services.incoming.add(
            "Reports",
            client_id="reports",
            client_secret_digest=digest("CANARY-reports"),
            redirect_uris="https://reports.example/callback",
            scopes="profile",
            life=120,
        )
        self.links["incoming"] = incoming.id
        self._rows = rows()

    def _serve(self, environ: Any, start_response: Any) -> Any:
        try:
            yield from self.app(environ, start_response)
        finally:
            database.close()

    def _administrator(self, username: str) -> Administrator:
        return Administrator.create(
            id=new_id(), username=username, password_hash=self._password_hash, created_at=int(self.clock())
        )

    def _browser(self, administrator: Administrator) -> Visitor:
        visitor = Visitor(self.app.test_client(), self.settings.base_url)
        with visitor.client.session_transaction(base_url=self.settings.base_url) as session:
            session["id"] = self.services.sign_in.begin_session(administrator)
        return visitor

    def stop(self) -> None:
        self._server.task_dispatcher.shutdown()
        self._server.trigger.pull_trigger(self._server.close)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server doesn't stop"
        self.provider.stop()
        database.close()

    def reset(self) -> None:
        """Everything as it was, whatever the last case has done."""
        with database.atomic():
            for table in reversed(TABLES):
                table.delete().execute()
            for table, stored in self._rows.items():
                if stored:
                    table.insert_many(stored).execute()
        self.clock.now = Clock().now
        self.provider.asked.clear()
        self.provider.answers.clear()

    def form(self, name: str, /, **more: str) -> dict[str, str]:
        return {
            "name": name.capitalize(),
            "provider": "custom",
            "revealed": "custom",
            "grant_type": "authorization_code",
            "authorization_endpoint": f"{self.provider.base_url}/authorize",
            "token_endpoint": f"{self.provider.base_url}/token",
            "userinfo_endpoint": "",
            "client_id": f"{name}-client",
            "client_secret": CLIENT_SECRET,
            "client_authentication": "client_secret_basic",
            "scopes": "read write",
            "issuer": "",
            "iss_required": "",
        } | more

    def make_link(self, name: str, /, **more: str) -> str:
        link_id = new_id()
        saved(self.ada.post(f"/links/new/outgoing/{link_id}", self.form(name, **more)))
        return link_id

    def edit_link(self, name: str, /, **more: str) -> None:
        saved(self.ada.post(f"/links/{name}/edit", self.form(name, **more) | {"version": "1"}))

    def begin(self, visitor: Visitor, link: str) -> dict[str, str]:
        """*Connect* and *Allow*: the code and the state that the provider sends back."""
        return self.provider.consent(visitor.continue_url(visitor.post(f"/links/{link}/connect")))

    def send(self, input: dict[str, Any], values: dict[str, str]) -> Answer:
        """One request as it stands in the case, byte for byte; letters above ASCII are single bytes."""
        query = input.get("query")
        target = input.get("target", "/oauth/callback/{link}") + ("" if query is None else f"?{query}")
        method, version, body = input.get("method", "GET"), input.get("version", "HTTP/1.1"), input.get("body")
        lines = list(input.get("headers", []))
        for name, value in {"Host": "{authority}", "Cookie": "{cookie_name}={cookie}", "Connection": "close"}.items():
            if not any(line.startswith(f"{name}:") for line in lines) and not (
                name == "Cookie" and not values["cookie"]
            ):
                lines.append(f"{name}: {value}")
        if body is not None:
            body = fill(body, values)
            lines.append(f"Content-Length: {len(body)}")
        head = fill("\r\n".join([f"{method} {target} {version}", *lines]), values)
        began = time.monotonic()
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)) as connection:
            connection.sendall(f"{head}\r\n\r\n{body or ''}".encode("latin-1"))
            with closing(HTTPResponse(connection, method=method)) as response:
                response.begin()
                text = response.read().decode()
        return Answer(response.status, response.getheaders(), text, time.monotonic() - began)


def rows() -> Rows:
    return {table: list(table.select().dicts()) for table in TABLES}


def saved(response: TestResponse) -> None:
    assert response.status_code == 303, response.text


def fill(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\{([a-z0-9_]+)\}", lambda found: values.get(found[1], found[0]), text)


# What has happened before the callback comes. `values` are the case's own; a step may add to them.
Step = Callable[[Scene, str, dict[str, str]], None]


def later(seconds: int) -> Step:
    return lambda scene, link, values: scene.clock.advance(seconds)


def come_back(query: str, visitor: str = "ada", *, status: int) -> Step:
    def step(scene: Scene, link: str, values: dict[str, str]) -> None:
        path = fill("/oauth/callback/{link}?" + query, values)
        assert getattr(scene, visitor).get(path).status_code == status

    return step


def refuse_code(scene: Scene, link: str, values: dict[str, str]) -> None:
    scene.provider.answer(json_answer({"error": "invalid_grant"}, 400))


def fail_exchange(scene: Scene, link: str, values: dict[str, str]) -> None:
    refuse_code(scene, link, values)
    come_back(GOOD, status=400)(scene, link, values)


def connect(scene: Scene, link: str, values: dict[str, str]) -> None:
    """An account is connected already, by a flow that is over."""
    first = values | scene.begin(scene.ada, link)
    come_back(GOOD, status=303)(scene, link, first)


def edit(**changed: str) -> Step:
    return lambda scene, link, values: scene.edit_link(link, **changed)


def delete(scene: Scene, link: str, values: dict[str, str]) -> None:
    assert scene.ada.post(f"/links/{link}/delete").status_code == 303


def make_again(scene: Scene, link: str, values: dict[str, str]) -> None:
    values["new_link"] = scene.make_link(link)


BEFORE: dict[str, Step] = {
    "599 seconds": later(599),
    "600 seconds": later(600),
    "601 seconds": later(601),
    "used": come_back(GOOD, status=303),
    "denied": come_back("error=access_denied&state={state}", status=400),
    "tried by bob": come_back(GOOD, "bob", status=400),
    "exchange failed": fail_exchange,
    "code spent": refuse_code,
    "connected": connect,
    "begun again": lambda scene, link, values: values.update(newer_state=scene.begin(scene.ada, link)["state"]),
    "renamed": edit(name="Wages"),
    "new secret": edit(client_secret="CANARY-new-secret"),
    "endpoint edited": lambda scene, link, values: scene.edit_link(
        link, token_endpoint=f"{scene.provider.base_url}/elsewhere"
    ),
    "client id edited": edit(client_id="another-client"),
    "issuer edited": edit(issuer="https://login.neighbour.example"),
    "deleted": delete,
    "made again": make_again,
}


def cookie_of(scene: Scene, who: str) -> str:
    """The session cookie that a browser sends; what ends a session happens here."""
    visitor = {"other": scene.bob, "elsewhere": scene.elsewhere}.get(who, scene.ada)
    cookie = visitor.client.get_cookie(scene.settings.cookie_name, domain="127.0.0.1")
    assert cookie
    if who == "stranger":
        return ""
    if who == "forged":
        # Not the last character: two of its bits say nothing, so that another one may spell the same signature.
        start, changed, end = cookie.value[:-2], cookie.value[-2], cookie.value[-1]
        return start + ("A" if changed != "A" else "B") + end
    if who == "idle":
        scene.clock.advance(3601)
    if who == "signed_out":
        SignInSession.delete().where(SignInSession.administrator == Administrator.get(username="ada").id).execute()
    if who == "removed":
        Administrator.delete().where(Administrator.username == "ada").execute()
    return str(cookie.value)


@pytest.fixture(scope="module")
def module_scene(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Iterator[Scene]:
    scene = Scene(tmp_path_factory.mktemp("callbacks") / "data", password_hash)
    yield scene
    scene.stop()
    for file in scene.settings.data_dir.glob("applinks.sqlite3*"):
        assert b"CANARY" not in file.read_bytes(), f"a secret stands in {file.name}"


@pytest.fixture
def scene(module_scene: Scene) -> Scene:
    module_scene.reset()
    return module_scene


@pytest.mark.parametrize("case", load("callbacks"), ids=case_id)
def test_it_takes_a_callback_for_what_it_is(scene: Scene, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    link = case.input.get("link", "payroll")
    values = the_values(scene, link)
    for step in case.input.get("before", []):
        BEFORE[step](scene, link, values)
    values["cookie"] = cookie_of(scene, case.input.get("who", "same"))
    before, asked = rows(), len(scene.provider.token_requests)

    answer = scene.send(case.input, values)

    redeemed = scene.provider.token_requests[asked:]
    check_class(case, answer)
    check_words(case, answer, values)
    expected = case.details.get("token_requests", int(case.expected == "connected"))
    assert len(redeemed) == expected
    check_rows(case, before)
    if case.expected == "connected":
        assert answer.header("location") == f"/links/{link}"
        assert [row.label for row in Connection.select()] == ["default"]
        assert redeemed[0].form["redirect_uri"] == f"{scene.settings.base_url}/oauth/callback/{values['link']}"
        if "code" in case.details:
            assert redeemed[0].form["code"] == fill(case.details["code"], values)
    if "then" in case.details:
        again = scene.send({"query": GOOD}, values | {"cookie": cookie_of(scene, "same")})
        assert again.status == STATUS[case.details["then"]], again.body
    for record in caplog.records:
        assert record.levelno < logging.ERROR, record
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202e]", record.getMessage())


def the_values(scene: Scene, link: str) -> dict[str, str]:
    """What stands for the names in braces."""
    other = scene.begin(scene.ada, "other")
    bobs = scene.begin(scene.bob, link)
    mine = scene.begin(scene.ada, link)
    link_id, state = scene.links[link], mine["state"]
    encoded = "".join(f"%{ord(letter):02x}" for letter in link_id)
    return {
        **mine,
        "state_cut": state[:-1],
        "state_swapped": state.swapcase(),
        "state_of_bob": bobs["state"],
        "state_of_other": other["state"],
        "link": link_id,
        "link_cut": link_id[:-1],
        "link_tail": link_id[1:],
        # An ID of digits alone has no capitals.
        "link_capitals": link_id.upper() if link_id.upper() != link_id else f"{link_id}A",
        "link_encoded": encoded,
        "link_double_encoded": encoded.replace("%", "%25"),
        "other_link": scene.links["other"],
        "incoming_link": scene.links["incoming"],
        "issuer": ISSUER,
        "issuer_encoded": ISSUER.replace(":", "%3A").replace("/", "%2F"),
        "authority": scene.settings.authority,
        "port": str(scene.port),
        "cookie_name": scene.settings.cookie_name,
        "4096": "CANARY" + "a" * 4090,
        "10kb": "CANARY" + "A" * 10_234,
        "10kb_words": "A" * 10_240,
        "300kb": "CANARY" + "A" * 300_000,
        "heap": "&".join(f"x{number}" for number in range(10_000)),
    }


def check_class(case: Case, answer: Answer) -> None:
    assert answer.seconds < SECONDS
    if case.expected == "bad_request":
        assert 400 <= answer.status < 500, answer.body
        return
    assert answer.status == STATUS[case.expected], answer.body
    assert ("No token was stored" in answer.body) == (case.expected == "refused")
    assert answer.header("cache-control") == "no-store"
    assert "default-src 'none'" in answer.header("content-security-policy")
    assert answer.header("referrer-policy") in ("no-referrer", "strict-origin", "same-origin")
    if case.expected == "not_allowed":
        assert "POST" not in answer.header("allow")


def check_words(case: Case, answer: Answer, values: dict[str, str]) -> None:
    head = "\n".join(f"{name}: {value}" for name, value in answer.headers)
    assert "CANARY" not in answer.body + head
    if case.expected != "sent_home":
        assert values["state"] not in answer.body + head
    assert not re.search(r"(?im)^(x-evil|access-control-.*):|evil", head)
    assert len(answer.body) < 20_000
    for words in case.details.get("never", []):
        assert words not in answer.body
    if "says" in case.details:
        assert case.details["says"] in answer.body


def check_rows(case: Case, before: Rows) -> None:
    after = rows()
    for table in set(TABLES) - MAY_CHANGE.get(case.expected, {SignInSession}):
        assert after[table] == before[table], table
    written = after[Event][len(before[Event]) :]
    assert len(written) == case.details.get("events", len(written)) <= 1
    for event in written:
        assert PLAIN.fullmatch(event["words"])
        assert len(event["words"]) < 500
