"""Every answer of a token endpoint that we could think of, over a socket: what it is taken for, and what it changes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from peewee import fn
from werkzeug.test import TestResponse

from applinks import create_app
from applinks.crypto import KeyRing, new_id
from applinks.models import Administrator, Connection, Event, database
from applinks.oauth.answers import Away, Granted, Refused
from applinks.oauth.client import ClientCredentials, OAuthClient
from applinks.oauth.guard import Guard
from applinks.services.vault import Vault
from applinks.settings import Settings, read_settings
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, Clock
from tests.corpus.cases import Case, answer_of, bounded_memory, case_id, load
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor

OLD_REFRESH_TOKEN = "CANARY-old-refresh"
ASSUMED_LIFE = 3600
RECONNECT = {"invalid_grant", "interaction_required", "login_required", "consent_required"}
RECONNECT |= {"bad_refresh_token", "invalid_refresh_token"}  # GitHub's and Slack's own
SETTINGS = {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request"}
SETTINGS |= {"invalid_target", "incorrect_client_credentials", "bad_client_secret"}
TOKENS = ("access_token_enc", "refresh_token_enc", "expires_at", "scopes_granted", "generation")
CASES = load("token_responses")


@dataclass
class House:
    """One application with a connected link for each way of reading answers, and the provider of all of them."""

    app: Flask
    settings: Settings
    clock: Clock
    provider: StandIn
    guard: Guard
    ada: Visitor
    csrf_token: str = ""
    links: dict[tuple[bool, str], str] = field(default_factory=dict)

    @property
    def services(self) -> Services:
        return self.app.extensions["applinks"]

    @property
    def vault(self) -> Vault:
        return Vault(KeyRing.parse(self.settings.keys_file.read_text()))

    def link_for(self, given: dict[str, Any]) -> str:
        """The slug of the link that is marked as the case is."""
        marks = given.get("form_encoded", False), given.get("separator", " ")
        if marks not in self.links:
            self.links[marks] = self._connect("Payroll" if not self.links else f"Payroll {len(self.links)}", *marks)
        return self.links[marks]

    def post(self, path: str, fields: dict[str, str] | None = None) -> TestResponse:
        self.csrf_token = self.csrf_token or self.ada.csrf_token()
        return self.ada.post(path, {"csrf_token": self.csrf_token} | (fields or {}))

    def _connect(self, name: str, form_encoded: bool, separator: str) -> str:
        link_id = new_id()
        fields = {
            "name": name,
            "provider": "custom",
            "revealed": "custom",
            "grant_type": "authorization_code",
            "authorization_endpoint": f"{self.provider.base_url}/authorize",
            "token_endpoint": f"{self.provider.base_url}/token",
            "userinfo_endpoint": "",
            "client_id": "payroll-client",
            "client_secret": CLIENT_SECRET,
            "scopes": "read write",
            "client_authentication": "client_secret_basic",
            "scope_separator": "comma" if separator == "," else "",
            "form_encoded_answers": "yes" if form_encoded else "",
        }
        saved = self.post(f"/links/new/outgoing/{link_id}", fields)
        assert saved.status_code == 303, saved.text
        slug = saved.location.rpartition("/")[2]
        self.provider.answer(json_answer(self.provider.grant() | {"refresh_token": OLD_REFRESH_TOKEN}))
        url = self.ada.continue_url(self.post(f"/links/{slug}/connect", {"label": "default"}))
        back = self.ada.get(f"/oauth/callback/{link_id}", query_string=self.provider.consent(url))
        assert back.status_code == 303, back.text
        due = Connection.update(next_attempt_at=int(self.clock()))
        due.where(Connection.link == link_id).execute()
        return slug


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Iterator[House]:
    settings = read_settings({"APPLINKS_DATA_DIR": str(tmp_path_factory.mktemp("house") / "data")})
    clock, provider, guard = Clock(), StandIn(), Guard(loopback=True, seconds=5)
    provider.start()
    app = create_app(settings, clock=clock, guard=guard)
    services: Services = app.extensions["applinks"]
    ada = Administrator.create(id=new_id(), username="ada", password_hash=password_hash, created_at=int(clock()))
    visitor = Visitor(app.test_client(), settings.base_url)
    with visitor.client.session_transaction(base_url=settings.base_url) as session:
        session["id"] = services.sign_in.begin_session(ada)
    yield House(app, settings, clock, provider, guard, visitor)
    database.close()
    provider.stop()
    for file in settings.data_dir.glob("applinks.sqlite3*"):
        assert b"CANARY" not in file.read_bytes(), f"a secret stands in {file.name}"


@pytest.fixture(autouse=True)
def forgotten_answers(house: House) -> Iterator[None]:
    yield
    house.provider.answers.clear()
    house.provider.asked.clear()


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_it_takes_an_answer_for_what_it_is(house: House, case: Case) -> None:
    profile = house.services.links.outgoing(house.link_for(case.input)).profile
    house.provider.answer(*[answer_of(case.input)] * 3)
    house.provider.asked.clear()
    with bounded_memory():
        answer = OAuthClient(house.guard).exchange(
            profile,
            ClientCredentials("payroll-client", CLIENT_SECRET),
            code="CANARY-code",
            redirect_uri="http://127.0.0.1:5000/oauth/callback/x",
            code_verifier="CANARY-verifier" * 3,
        )
    assert type(answer).__name__.lower() == case.expected
    assert "CANARY" not in repr(answer)
    assert len(house.provider.token_requests) == 1
    if isinstance(answer, Granted):
        assert (answer.life, answer.scope) == (case.details["life"], case.details["scope"])
        assert ("kept" if answer.refresh_token is None else "new") == case.details["refresh"]
        assert answer.access_token == case.input.get("json", {}).get("access_token", answer.access_token)
    if isinstance(answer, Refused):
        assert answer.code == case.details["code"]
        assert len(answer.words) <= 300
    if isinstance(answer, Away):
        assert answer.retry_after == case.details["retry_after"]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_it_changes_a_connection_by_a_grant_alone(house: House, case: Case) -> None:
    slug = house.link_for(case.input)
    link = house.services.links.find(slug)
    now = int(house.clock())
    before, last_event = stored(link.id), Event.select(fn.MAX(Event.id)).scalar()
    house.provider.answer(*[answer_of(case.input)] * 3)
    try:
        with bounded_memory():
            refreshed = house.post(f"/links/{slug}/connections/default/refresh")
        assert refreshed.status_code == 303
        assert house.ada.get(f"/links/{slug}").status_code == 200
        after = stored(link.id)
        assert after["state"] == state(case)
        if case.expected == "granted":
            look_at_tokens(house, case, before, after)
        else:
            assert {name: after[name] for name in TOKENS} == {name: before[name] for name in TOKENS}
        if wait := case.details.get("retry_after"):
            assert after["next_attempt_at"] >= now + wait
    finally:
        with database.atomic():
            Connection.update(before).where(Connection.id == before["id"]).execute()
            Event.delete().where(Event.id > last_event).execute()


def look_at_tokens(house: House, case: Case, before: dict[str, Any], after: dict[str, Any]) -> None:
    life = case.details["life"]
    assert after["generation"] == before["generation"] + 1
    assert after["access_token_enc"] != before["access_token_enc"]
    assert after["expires_at"] == int(house.clock()) + (ASSUMED_LIFE if life is None else life)
    told = case.details["scope"]
    assert after["scopes_granted"] == (before["scopes_granted"] if told is None else told)
    if case.details["refresh"] == "kept":
        assert after["refresh_token_enc"] == before["refresh_token_enc"]
    else:
        now_kept = house.vault.refresh_token(Connection.get_by_id(after["id"]))
        assert now_kept != OLD_REFRESH_TOKEN
        assert now_kept == case.input.get("json", {}).get("refresh_token", now_kept)


def stored(link_id: str) -> dict[str, Any]:
    """The row of a link's only connection."""
    return Connection.select().where(Connection.link == link_id).dicts().get()


def state(case: Case) -> str:
    """The state that an answer leaves its connection in (A064, A065)."""
    if case.expected == "granted":
        return "connected"
    code = case.details.get("code") if case.expected == "refused" else ""
    return "reconnect_needed" if code in RECONNECT else "check_settings" if code in SETTINGS else "retrying"
