"""Reading a token: valid now, for whom it is, and never more than that."""

import base64
from collections.abc import Callable

import pytest
from peewee import OperationalError
from werkzeug.test import TestResponse

from applinks.crypto import digest
from applinks.models import Connection, Event, State, Tally
from applinks.wiring import Services
from tests.conftest import Clock
from tests.standin import StandIn, json_answer, raw_answer
from tests.visitor import Visitor
from tests.web.api.conftest import MakeScript, Script

Connect = Callable[..., None]
TOKEN = "/links/payroll/token"


def test_it_gives_a_token_as_rfc_6749_describes_it(
    script: Script, connect: Connect, services: Services, clock: Clock
) -> None:
    connect()
    answer = script.get(TOKEN)
    assert answer.status_code == 200
    assert answer.json == {
        "access_token": services.tokens.valid(Connection.get().id).access_token,
        "token_type": "Bearer",
        "expires_in": 3600,
        "expires_at": int(clock()) + 3600,
        "scope": "read write",
        "connection": "default",
    }


def test_it_refreshes_first_where_the_token_would_not_live_long_enough(
    script: Script, connect: Connect, clock: Clock, provider: StandIn
) -> None:
    """A144"""
    connect()
    clock.advance(3600 - 100)
    asked = len(provider.asked)
    old = script.get(f"{TOKEN}?min_ttl=99").json
    assert len(provider.asked) == asked
    new = script.get(f"{TOKEN}?min_ttl=101").json
    assert len(provider.asked) == asked + 1
    assert old
    assert new
    assert new["access_token"] != old["access_token"]
    assert new["expires_in"] == 3600


def test_it_serves_a_token_that_is_valid_while_the_provider_is_away(
    script: Script, connect: Connect, clock: Clock, provider: StandIn
) -> None:
    """A146"""
    connect()
    clock.advance(3600 - 30)
    provider.answer(*[raw_answer("", 503)] * 4)
    answer = script.get(TOKEN)
    assert (answer.status_code, answer.json and answer.json["expires_in"]) == (200, 30)
    clock.advance(31)
    answer = script.get(TOKEN)
    assert (answer.status_code, answer.json and answer.json["code"]) == (503, "provider_away")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.DISCONNECTED, "not_connected"),
        (State.RECONNECT_NEEDED, "reconnect_needed"),
        (State.UNREADABLE, "unreadable"),
    ],
)
def test_it_says_where_a_person_must_act(script: Script, connect: Connect, state: State, code: str) -> None:
    """A145"""
    connect()
    Connection.update(state=state).execute()
    answer = script.get(TOKEN)
    assert answer.status_code == 409
    assert answer.json
    assert answer.json["code"] == code
    assert answer.json["url"] == "http://127.0.0.1:5000/links/payroll"
    assert answer.content_type == "application/problem+json"


def test_it_says_that_the_settings_are_refused(
    script: Script, connect: Connect, clock: Clock, provider: StandIn
) -> None:
    connect()
    clock.advance(3601)
    provider.answer(json_answer({"error": "invalid_client"}, 401))
    answer = script.get(TOKEN)
    assert (answer.status_code, answer.json and answer.json["code"]) == (409, "check_settings")


def test_it_says_that_nothing_was_connected(script: Script, link_id: str) -> None:
    answer = script.get(TOKEN)
    assert (answer.status_code, answer.json and answer.json["code"]) == (409, "not_connected")


def test_it_asks_to_name_one_of_several_connections(script: Script, connect: Connect) -> None:
    connect()
    connect("sales")
    answer = script.get(TOKEN)
    assert answer.status_code == 422
    assert answer.json
    assert answer.json["fields"] == {
        "connection": "This link has several connections. Name one of them: default, sales."
    }
    assert (script.get(f"{TOKEN}?connection=sales").json or {})["connection"] == "sales"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{TOKEN}?connection=nobody", 404),
        ("/links/nobody/token", 404),
        ("/links/Payroll/token", 404),
        ("/links/payroll%00/token", 404),
        (f"{TOKEN}/", 404),
        (f"{TOKEN}?min_ttl=-1", 422),
        (f"{TOKEN}?min_ttl=1e3", 422),
        (f"{TOKEN}?min_ttl=", 422),
        (f"{TOKEN}?min_ttl=86401", 422),
        (f"{TOKEN}?min_ttl=%D9%A3", 422),
        (f"{TOKEN}?min_ttl=1&min_ttl=1", 422),
        (f"{TOKEN}?connection=A,B", 422),
        (f"{TOKEN}?conection=default", 422),
        ("/links/payroll/xoauth2", 422),
        ("/links/payroll/xoauth2?user=a%01b", 422),
    ],
)
def test_it_refuses_what_it_does_not_know(script: Script, connect: Connect, path: str, status: int) -> None:
    connect()
    answer = script.get(path)
    assert answer.status_code == status, answer.text
    assert answer.json
    assert answer.json["status"] == status
    assert answer.json["code"] in ("not_found", "invalid_field")


def test_it_hides_every_link_that_a_key_is_not_for(
    make_script: MakeScript, connect: Connect, services: Services
) -> None:
    """A141: as if there were none."""
    connect()
    other = services.incoming.add(
        "Other", client_id="o", client_secret_digest="0", redirect_uris="", scopes="", life=60
    )
    script = make_script(other.id, manages=True)
    for method, path in [
        *(
            ("GET", TOKEN),
            ("POST", f"{TOKEN}/rejected"),
            ("GET", "/links/payroll/xoauth2?user=a"),
            ("GET", "/links/payroll"),
        ),
        *(("DELETE", "/links/payroll"), ("GET", "/links/payroll/connections"), ("GET", "/links/payroll/events")),
        *(("PATCH", "/links/payroll"), ("POST", "/links/payroll/connections/default/refresh")),
    ]:
        hidden = script.ask(method, path, json={"token": "x"} if path.endswith("rejected") else None)
        missing = script.ask(
            method, path.replace("payroll", "nobody"), json={"token": "x"} if path.endswith("rejected") else None
        )
        assert (hidden.status_code, hidden.json) == (404, missing.json), path
    assert [link["slug"] for link in (script.get("/links").json or {})["links"]] == ["other"]


def test_it_counts_reads_in_one_line_an_hour(
    script: Script, connect: Connect, services: Services, clock: Clock
) -> None:
    """A172"""
    connect()
    for _ in range(3):
        assert script.get(f"{TOKEN}?min_ttl=0").status_code == 200
        clock.advance(10)
        services.counts.flush()
    read = Event.get(Event.what == "token read")
    tally = Tally.get()
    assert (read.actor, read.actor_kind, read.slug, read.label) == ("backup script", "API key", "payroll", "default")
    assert (tally.count, tally.last_at - read.at) == (3, 20)
    clock.advance(3600)
    script.get(f"{TOKEN}?min_ttl=0")
    services.counts.flush()
    assert Event.select().where(Event.what == "token read").count() == 2
    assert services.events.verify().problems == ()


def test_it_counts_no_read_that_gave_nothing(script: Script, link_id: str, services: Services) -> None:
    script.get(TOKEN)
    services.counts.flush()
    assert not Event.select().where(Event.what == "token read").exists()


class TestRejecting:
    """The consumer's API refused a token that should have lived."""

    def current(self, script: Script) -> str:
        return str((script.get(f"{TOKEN}?min_ttl=0").json or {})["access_token"])

    @pytest.mark.parametrize("as_digest", [False, True])
    def test_it_replaces_the_current_token(
        self, script: Script, connect: Connect, clock: Clock, as_digest: bool
    ) -> None:
        connect()
        clock.advance(60)
        old = self.current(script)
        sent = {"digest": digest(old)} if as_digest else {"token": old}
        answer = script.post(f"{TOKEN}/rejected", json=sent)
        assert answer.status_code == 200
        assert (answer.json or {})["access_token"] == self.current(script) != old

    def test_it_does_not_replace_a_token_twice(
        self, script: Script, connect: Connect, clock: Clock, provider: StandIn
    ) -> None:
        connect()
        clock.advance(60)
        old = self.current(script)
        asked = len(provider.asked)
        answers = [script.post(f"{TOKEN}/rejected", json={"token": old}).json for _ in range(3)]
        assert len(provider.asked) == asked + 1
        assert answers[0] == answers[1] == answers[2]

    def test_it_does_not_replace_one_that_is_seconds_old(self, script: Script, connect: Connect, clock: Clock) -> None:
        connect()
        clock.advance(5)
        answer = script.post(f"{TOKEN}/rejected", json={"token": self.current(script)})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "25")

    def test_it_says_so_where_there_is_no_other(
        self, script: Script, connect: Connect, clock: Clock, provider: StandIn
    ) -> None:
        connect()
        clock.advance(60)
        provider.answer(raw_answer("", 503))
        answer = script.post(f"{TOKEN}/rejected", json={"token": self.current(script)})
        assert (answer.status_code, (answer.json or {})["code"]) == (503, "provider_away")

    def test_it_asks_people_where_nothing_can_be_refreshed(
        self, script: Script, connect: Connect, clock: Clock, provider: StandIn
    ) -> None:
        provider.answer(json_answer({"access_token": "CANARY-only", "token_type": "Bearer", "expires_in": 3600}))
        connect()
        clock.advance(60)
        answer = script.post(f"{TOKEN}/rejected", json={"token": self.current(script)})
        assert (answer.status_code, (answer.json or {})["code"]) == (409, "reconnect_needed")

    @pytest.mark.parametrize(
        "sent", [{}, {"token": 1}, {"token": "a", "digest": "b"}, {"digest": "A" * 64}, {"tokens": "a"}, [], "x", None]
    )
    def test_it_refuses_any_other_body(self, script: Script, connect: Connect, sent: object) -> None:
        connect()
        assert script.post(f"{TOKEN}/rejected", json=sent).status_code == 422
        assert script.post(f"{TOKEN}/rejected", data=b"\xff{").status_code == 422


def test_it_writes_what_mail_programs_log_in_with(script: Script, connect: Connect) -> None:
    connect()
    token = (script.get(TOKEN).json or {})["access_token"]
    answer = script.get("/links/payroll/xoauth2?user=ada,=@example.com").json
    assert answer
    assert base64.b64decode(answer["xoauth2"]).decode() == f"user=ada,=@example.com\1auth=Bearer {token}\1\1"
    assert base64.b64decode(answer["oauthbearer"]).decode() == f"n,a=ada=2C=3D@example.com,\1auth=Bearer {token}\1\1"


def test_it_knows_no_api_key_on_pages_and_no_session_in_the_api(script: Script, ada: Visitor, connect: Connect) -> None:
    """A148"""
    connect()
    page = script.client.get("/links", headers={"Authorization": f"Bearer {script.key}"}, base_url=script.base_url)
    assert page.headers["Location"].startswith("/sign-in")
    assert ada.get(f"/api/v1{TOKEN}").status_code == 401


@pytest.mark.parametrize("trouble", ["none", "no key", "no link", "not connected", "away", "broken"])
def test_it_answers_the_plain_question_as_one_with_a_query(
    script: Script, connect: Connect, services: Services, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Without a query, Flask is asked only where something is wrong; nobody can tell."""
    connect()
    path = "/links/nobody/token" if trouble == "no link" else TOKEN
    script.key = "apl_wrong" if trouble == "no key" else script.key
    if trouble == "not connected":
        Connection.update(state=State.DISCONNECTED).execute()
    if trouble == "away":
        monkeypatch.setattr(services.tokens, "read", raising(OperationalError("database is locked")))
    if trouble == "broken":
        monkeypatch.setattr(services.tokens, "read", raising(RuntimeError("CANARY")))
        monkeypatch.setattr(script, "ask", script.ask_whatever_comes)
    plain, queried = (script.ask("GET", path + query) for query in ("", "?min_ttl=60"))
    assert plain.status_code == queried.status_code
    assert without_name(plain, plain.json) == without_name(queried, queried.json)
    assert without_name(plain, sorted(plain.headers)) == without_name(queried, sorted(queried.headers))
    assert "CANARY-client" not in plain.text
    read = services.counts._pending
    assert sum(pending.times for pending in read.values()) == (2 if trouble in ("none", "no key") else 0)


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def without_name(answer: TestResponse, said: object) -> str:
    """What an answer says, without the name of its request."""
    return str(said).replace(answer.headers["X-Request-Id"], "")


def test_it_answers_a_head_and_no_other_plain_question(script: Script, connect: Connect) -> None:
    connect()
    head = script.ask("HEAD", TOKEN)
    assert (head.status_code, head.data) == (200, b"")
    assert script.ask("PUT", TOKEN).status_code == 405
