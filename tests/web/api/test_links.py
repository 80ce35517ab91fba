"""Links over HTTP: everything the browser can do, except consent and reading secrets."""

from collections.abc import Callable
from typing import Any

import pytest

from applinks.models import ApplicationLink, Connection, Event, OutgoingLink, State
from applinks.services.links import PAGE
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET
from tests.standin import StandIn, json_answer
from tests.web.api.conftest import MakeScript, Script

Connect = Callable[..., None]


@pytest.fixture
def fields(link_form: dict[str, str]) -> dict[str, str]:
    """The link of the form, as JSON."""
    return {name: text for name, text in link_form.items() if name != "revealed"}


def test_it_makes_a_link_as_the_form_does(manager: Script, fields: dict[str, str], services: Services) -> None:
    answer = manager.post("/links", json=fields)
    assert answer.status_code == 201
    link = answer.json
    assert link
    assert answer.headers["Location"] == "/api/v1/links/payroll"
    assert manager.get("/links/payroll").json == link
    assert (link["client_id"], link["token_endpoint"]) == ("payroll-client", fields["token_endpoint"])
    assert link["redirect_uri"].startswith("http://127.0.0.1:5000/oauth/callback/")
    outgoing = services.links.outgoing("payroll")
    assert services.connections._link_client._vault.client_secret(outgoing.stored) == CLIENT_SECRET
    made = Event.select().where(Event.what == "created").get()
    assert (made.actor, made.actor_kind, made.address) == ("backup script", "API key", "127.0.0.1")


def test_it_fills_in_what_the_provider_brings(manager: Script) -> None:
    sent = {"name": "Mail", "provider": "google", "client_id": "x", "client_secret": "CANARY-secret"}
    link = manager.post("/links", json=sent).json
    assert link
    assert link["scopes"].startswith("openid")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x\u202ey"}, "name"),
        ({"provider": "nobody"}, "provider"),
        ({"grant_type": "password"}, "grant_type"),
        ({"token_endpoint": "http://example.com/token"}, "token_endpoint"),
        ({"token_endpoint": "https://10.0.0.1/token"}, "token_endpoint"),
        ({"client_id": ""}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"scopes": 'a"b'}, "scopes"),
        ({"tenant": "common"}, "tenant"),
        ({"client_authentication": "none"}, "client_secret"),
        ({"default_life": "soon"}, "default_life"),
        ({"id": "0" * 32}, "id"),
        ({"generation": "7"}, "generation"),
        ({"name": 7}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
    ],
)
def test_it_makes_none_out_of_wrong_fields(
    manager: Script, fields: dict[str, str], changes: dict[str, Any], field: str
) -> None:
    """A178, A179"""
    answer = manager.post("/links", json=fields | changes)
    assert answer.status_code == 422, answer.text
    assert field in (answer.json or {})["fields"]
    assert not ApplicationLink.select().exists()


def test_it_names_every_wrong_field_at_once(manager: Script, fields: dict[str, str]) -> None:
    answer = manager.post("/links", json=fields | {"name": "", "scopes": '"', "token_endpoint": "x"})
    assert set((answer.json or {})["fields"]) == {"name", "scopes", "token_endpoint"}


def test_it_takes_no_name_twice(manager: Script, fields: dict[str, str]) -> None:
    assert manager.post("/links", json=fields).status_code == 201
    answer = manager.post("/links", json=fields | {"name": "PAYROLL"})
    assert (answer.status_code, list((answer.json or {})["fields"])) == (422, ["name"])


def test_it_changes_only_what_is_sent(manager: Script, link_id: str) -> None:
    before = manager.get("/links/payroll").json
    after = manager.ask("PATCH", "/links/payroll", json={"name": "Books"}).json
    assert before
    assert after
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"name", "version"}


def test_it_asks_for_the_secret_anew_where_it_would_go_elsewhere(
    manager: Script, connect: Connect, fields: dict[str, str]
) -> None:
    connect()
    elsewhere = fields["token_endpoint"] + "2"
    answer = manager.ask("PATCH", "/links/payroll", json={"token_endpoint": elsewhere})
    assert (answer.status_code, list((answer.json or {})["fields"])) == (422, ["client_secret"])
    assert Connection.get().state == State.CONNECTED
    secret = {"client_secret": "CANARY-client-secret-2"}
    answer = manager.ask("PATCH", "/links/payroll", json={"token_endpoint": elsewhere} | secret)
    assert answer.status_code == 200
    assert Connection.get().state == State.DISCONNECTED


def test_it_leaves_a_link_that_somebody_else_has_changed(manager: Script, link_id: str) -> None:
    """A182"""
    etag = manager.get("/links/payroll").headers["ETag"]
    assert manager.ask("PATCH", "/links/payroll", json={"name": "Books"}, headers={"If-Match": etag}).status_code == 200
    answer = manager.ask("PATCH", "/links/payroll", json={"name": "Cooks"}, headers={"If-Match": etag})
    assert (answer.status_code, (answer.json or {})["code"]) == (409, "conflict")
    for other in ('"0"', '"000"', '"99"'):
        assert (
            manager.ask("PATCH", "/links/payroll", json={"name": "Cooks"}, headers={"If-Match": other}).status_code
            == 409
        )
    assert manager.ask("PATCH", "/links/payroll", json={}, headers={"If-Match": "1"}).status_code == 422
    assert ApplicationLink.get().name == "Books"


def test_it_deletes_a_link_and_says_what_became_of_the_grant(manager: Script, connect: Connect) -> None:
    connect()
    answer = manager.ask("DELETE", "/links/payroll")
    assert answer.status_code == 200
    assert "not told" in (answer.json or {})["provider"]
    assert manager.ask("DELETE", "/links/payroll").status_code == 404
    deleted = Event.select().where(Event.what == "deleted").get()
    assert (deleted.slug, deleted.actor_kind) == ("payroll", "API key")


def test_it_connects_what_needs_no_consent(manager: Script, fields: dict[str, str], provider: StandIn) -> None:
    own = {"grant_type": "client_credentials"} | {
        name: text for name, text in fields.items() if name not in ("authorization_endpoint", "userinfo_endpoint")
    }
    assert manager.post("/links", json=own).status_code == 201
    assert (manager.get("/links/payroll/connections/default").json or {})["state"] == "connected"
    assert manager.post("/links/payroll/connections/default/disconnect").status_code == 200
    assert (manager.post("/links/payroll/connections/default/connect").json or {})["state"] == "connected"


def test_it_leaves_consent_to_people(manager: Script, link_id: str) -> None:
    answer = manager.post("/links/payroll/connections/default/connect")
    assert (answer.status_code, (answer.json or {})["code"]) == (409, "consent_needed")
    assert (answer.json or {})["url"] == "http://127.0.0.1:5000/links/payroll"


def test_it_refreshes_disconnects_and_removes(manager: Script, connect: Connect, provider: StandIn) -> None:
    connect()
    refreshed = manager.post("/links/payroll/connections/default/refresh").json
    assert refreshed
    assert refreshed["outcome"] == "refreshed"
    provider.answer(json_answer({"error": "invalid_grant"}, 400))
    refused = manager.post("/links/payroll/connections/default/refresh").json
    assert refused
    assert (refused["outcome"], refused["state"]) == ("refused", "reconnect_needed")
    ended = manager.post("/links/payroll/connections/default/disconnect").json
    assert ended
    assert ended["state"] == "disconnected"
    assert manager.ask("DELETE", "/links/payroll/connections/default").status_code == 200
    assert manager.get("/links/payroll/connections").json == {"connections": []}
    for method, path in (("GET", ""), ("POST", "/refresh"), ("POST", "/disconnect"), ("DELETE", "")):
        assert manager.ask(method, f"/links/payroll/connections/default{path}").status_code == 404


def test_it_pages_through_links_and_events(manager: Script, services: Services) -> None:
    for number in range(PAGE + 1):
        services.incoming.add(
            f"Link {number:03}", client_id=str(number), client_secret_digest="0", redirect_uris="", scopes="", life=60
        )
    first = manager.get("/links").json or {}
    second = manager.get("/links", query_string={"after": first["after"]}).json or {}
    assert (len(first["links"]), len(second["links"]), second["after"]) == (PAGE, 1, None)
    assert (manager.get("/links?search=nobody").json or {})["links"] == []
    newest = manager.get("/events?limit=2&what=created").json or {}
    older = manager.get(f"/events?limit=500&what=created&before={newest['before']}").json or {}
    assert (len(newest["events"]), len(older["events"]), older["before"]) == (2, PAGE - 1, None)
    assert manager.get("/links/link-000").status_code == 200


def test_it_says_so_where_the_provider_is_unknown(manager: Script, link_id: str) -> None:
    OutgoingLink.update(provider="gone").execute()
    assert manager.get("/links/payroll").status_code == 422
    assert manager.ask("PATCH", "/links/payroll", json={"name": "x"}).status_code in (400, 422)
    assert len((manager.get("/links").json or {})["links"]) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b'"x"', b"1", b"[" * 100_000, b'{"name": {}}'])
def test_it_takes_nothing_but_an_object_of_texts(manager: Script, data: bytes) -> None:
    answer = manager.post("/links", data=data)
    assert answer.status_code in (413, 422)


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE", "LOCK", "POST"])
def test_it_knows_no_other_methods(manager: Script, link_id: str, method: str) -> None:
    """A149"""
    answer = manager.ask(method, "/links/payroll/token")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert (answer.json or {})["code"] == "method_not_allowed"


def test_it_checks_a_link(manager: Script, link_id: str, provider: StandIn) -> None:
    answer = manager.post("/links/payroll/checks")
    assert answer.status_code == 200
    steps = {step["key"]: step for step in answer.json["steps"]}
    assert answer.json["result"] in ("warned", "failed")
    assert steps["address"]["result"] == "passed"
    assert any("a made-up code" in line for line in steps["credentials"]["exchange"])


def test_it_checks_nothing_for_a_key_that_may_not(script: Script, make_script: MakeScript, link_id: str) -> None:
    assert script.post("/links/payroll/checks").status_code == 403
    row = {"slug": "wiki", "name": "Wiki", "name_key": "wiki", "direction": "outgoing"}
    other = ApplicationLink.create(id="a" * 32, created_at=1, updated_at=1, **row)
    assert make_script(other.id, manages=True).post("/links/payroll/checks").status_code == 404
    assert script.post("/links/nowhere/checks").status_code in (403, 404)


@pytest.mark.parametrize(("state", "found"), [("disconnected", 1), ("connected", 0), ("needs_you", 0)])
def test_it_lists_by_state(script: Script, link_id: str, state: str, found: int) -> None:
    assert len(script.get(f"/links?state={state}").json["links"]) == found


def test_it_lists_by_no_state_that_it_doesnt_know(script: Script) -> None:
    assert script.get("/links?state=happy").status_code == 422


def test_it_notes_when_a_secret_ends(manager: Script, link_id: str) -> None:
    changed = manager.ask("PATCH", "/links/payroll", json={"client_secret_ends": "2027-01-20"})
    assert changed.json["client_secret_ends"] == "2027-01-20"
    assert manager.get("/links").json["links"][0]["deadline"]["of"] == "secret"
    refused = manager.ask("PATCH", "/links/payroll", json={"client_secret_ends": "soon"})
    assert (refused.status_code, list(refused.json["fields"])) == (422, ["client_secret_ends"])
