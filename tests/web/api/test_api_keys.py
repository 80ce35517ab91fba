"""API keys at the door: which count, and that nobody learns why one doesn't."""

import re
from collections.abc import Callable

import pytest
from flask import Flask

from applinks.crypto import digest
from applinks.errors import InvalidFieldError
from applinks.models import ApiKey, ApiKeyLink, Event, Tally
from applinks.services import throttle
from applinks.services.api_keys import MOST_DAYS, Standing, id_of
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import ADA, Clock
from tests.web.api.conftest import MakeScript, Script

Connect = Callable[..., None]
TOKEN = "/links/payroll/token"


def refusals(services: Services) -> list[tuple[str, str]]:
    """What the audit log says of keys that were refused: why, and whose."""
    services.counts.flush()
    refused = Event.select().where(Event.what == "API key refused").order_by(Event.id)
    return [(event.words, event.actor) for event in refused]


def test_it_is_written_so_that_a_scanner_finds_it(script: Script) -> None:
    """A138"""
    assert re.fullmatch(r"apl_[0-9a-z]{12}_[0-9A-Za-z]{49}", script.key)
    assert id_of(script.key) == ApiKey.get().id


def test_it_stores_a_digest_alone(script: Script) -> None:
    """A100, A138"""
    key = ApiKey.get()
    assert key.digest == digest(script.key)
    assert script.key not in str(ApiKey.select().dicts().get())
    assert script.key not in " ".join(event.words for event in Event.select())


def test_it_makes_no_two_alike(services: Services) -> None:
    made = {services.api_keys.make("x", None, manages=False, days=1, actor=ADA)[1] for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"days": 0}, "days"),
        ({"days": MOST_DAYS + 1}, "days"),
        ({"link_ids": [], "manages": True}, "may"),
        ({"link_ids": ["nobody"]}, "links"),
    ],
)
def test_it_makes_none_out_of_wrong_fields(services: Services, changes: dict[str, object], field: str) -> None:
    fields: dict[str, object] = {"name": "x", "link_ids": None, "manages": False, "days": 90, "actor": ADA} | changes
    with pytest.raises(InvalidFieldError) as error:
        services.api_keys.make(**fields)  # type: ignore[arg-type]
    assert error.value.field == field
    assert not ApiKey.select().exists()


def test_it_counts_from_the_next_request_on_that_a_key_is_revoked(
    script: Script, connect: Connect, services: Services
) -> None:
    """A142"""
    connect()
    assert script.get(TOKEN).status_code == 200
    services.api_keys.revoke(ApiKey.get().id, ADA)
    assert script.get(TOKEN).status_code == 401
    assert script.get("/links").status_code == 401
    assert refusals(services) == [("revoked", "backup script")]


def test_it_ends_by_itself(script: Script, connect: Connect, services: Services, clock: Clock) -> None:
    connect()
    clock.advance(90 * 86_400 - 1)
    assert script.get("/links").status_code == 200
    clock.advance(1)
    assert script.get("/links").status_code == 401
    assert refusals(services) == [("expired", "backup script")]


def test_it_tells_a_typo_from_a_key_of_another_applinks(
    app: Flask, settings: Settings, script: Script, services: Services
) -> None:
    typo = script.key[:-8] + ("A" if script.key[-8] != "A" else "B") + script.key[-7:]
    assert Script(app, settings.base_url, typo).get("/links").status_code == 401
    ApiKey.update(digest="0" * 64).execute()
    assert script.get("/links").status_code == 401
    assert refusals(services) == [("mistyped", ""), ("not a key of this Applinks", "")]


def test_it_notes_its_last_use(script: Script, services: Services, clock: Clock) -> None:
    script.get("/links")
    services.counts.flush()
    assert ApiKey.get().last_used_at == int(clock())


def test_it_is_for_no_link_once_its_links_are_deleted(
    make_script: MakeScript, connect: Connect, services: Services, link_id: str
) -> None:
    connect()
    script = make_script(link_id)
    services.links.delete(services.links.find("payroll"), ADA)
    assert not ApiKeyLink.select().exists()
    assert script.get(TOKEN).status_code == 404
    assert (script.get("/links").json or {})["links"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/links/payroll", {"name": "Books"}),
        ("DELETE", "/links/payroll", None),
        ("POST", "/links", {}),
        ("POST", "/links/payroll/connections/default/refresh", None),
        ("POST", "/links/payroll/connections/default/disconnect", None),
        ("DELETE", "/links/payroll/connections/default", None),
        ("GET", "/links/payroll/events", None),
        ("GET", "/events", None),
    ],
)
def test_it_reads_tokens_only_unless_it_may_manage(
    script: Script, connect: Connect, method: str, path: str, body: object
) -> None:
    """A141"""
    connect()
    answer = script.ask(method, path, json=body)
    assert (answer.status_code, (answer.json or {})["code"]) == (403, "forbidden")
    assert script.get(TOKEN).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "/links"), ("GET", "/events")])
def test_it_does_nothing_beyond_its_links(make_script: MakeScript, link_id: str, method: str, path: str) -> None:
    assert make_script(link_id, manages=True).ask(method, path).status_code == 403


def test_it_slows_guessing_down_by_address_and_nobody_else(
    app: Flask, settings: Settings, make_script: MakeScript, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A147"""
    monkeypatch.setattr(throttle, "FAILURES_A_MINUTE", 3)
    good = make_script(address="10.0.0.2")
    bad = Script(app, settings.base_url, "apl_wrong", "10.0.0.1")
    assert [bad.get("/links").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert int(bad.get("/links").headers["Retry-After"]) <= 60
    assert good.get("/links").status_code == 200
    good.address = "10.0.0.1"
    assert good.get("/links").status_code == 200, "a key that counts is never slowed"
    clock.advance(60)
    assert bad.get("/links").status_code == 401


def test_it_counts_a_flood_of_wrong_keys_in_one_line(app: Flask, settings: Settings, services: Services) -> None:
    bad = Script(app, settings.base_url, "apl_wrong")
    for _ in range(50):
        bad.get("/links")
    assert refusals(services) == [("mistyped", "")]
    assert Tally.get().count == 50


def test_it_says_to_its_owner_what_is_wrong(script: Script, services: Services, clock: Clock) -> None:
    assert services.api_keys.standing_of(script.key)[0] is Standing.GOOD
    assert services.api_keys.standing_of(script.key + "x")[0] is Standing.MISTYPED
    clock.advance(91 * 86_400)
    assert services.api_keys.standing_of(script.key)[0] is Standing.EXPIRED
    services.api_keys.revoke(id_of(script.key), ADA)
    assert services.api_keys.standing_of(script.key)[0] is Standing.REVOKED


def test_it_revokes_the_keys_of_whoever_is_disabled(
    script: Script, services: Services, make_administrator: Callable[[str], object]
) -> None:
    """A115"""
    make_administrator("ada")
    assert services.sign_in.disable("ada", ADA) == ["backup script"]
    assert script.get("/links").status_code == 401
