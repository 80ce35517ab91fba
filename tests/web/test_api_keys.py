"""The page of API keys: made here, shown once, revoked at once."""

import re
from collections.abc import Callable
from html import unescape

import pytest

from applinks.models import ApiKey, Event
from applinks.wiring import Services
from tests.conftest import Clock
from tests.visitor import Visitor, text_of

Connect = Callable[..., None]
FORM = {"name": "Backup script", "reach": "some", "links": "payroll", "may": "read", "days": "90"}


def made(ada: Visitor, **changes: str) -> str:
    """The text of a new key."""
    page = ada.post("/api-keys/new", FORM | changes)
    assert page.status_code == 201, text_of(page)
    found = re.search(r"apl_[0-9a-z]{12}_[0-9A-Za-z]{49}", page.text)
    assert found
    return found[0]


def test_it_makes_a_key_for_one_link(ada: Visitor, services: Services, link_id: str) -> None:
    access = services.api_keys.authenticate(made(ada), "127.0.0.1")
    assert (access.link_ids, access.manages) == (frozenset([link_id]), False)
    key = ApiKey.get()
    assert (key.made_by, key.expires_at - key.created_at) == ("ada", 90 * 86_400)
    event = Event.get(Event.what == "API key made")
    assert (event.actor, event.address) == ("ada", "127.0.0.1")
    assert event.words == f"Backup script ({key.id}): reads tokens of payroll, 90 days"


def test_it_makes_a_key_for_all_links_that_manages(ada: Visitor, services: Services) -> None:
    access = services.api_keys.authenticate(made(ada, reach="all", links="", may="manage"), "127.0.0.1")
    assert (access.link_ids, access.manages) == (None, True)


def test_it_shows_a_key_once(ada: Visitor, link_id: str) -> None:
    """A138"""
    key = made(ada)
    for path in ("/api-keys", "/api-keys/new", f"/api-keys/{ApiKey.get().id}/revoke", "/audit", "/links/payroll"):
        assert key not in ada.get(path).text
    with ada.client.session_transaction(base_url=ada.base_url) as session:
        assert key not in str(dict(session))


def test_it_begins_with_the_link_that_it_was_opened_from(ada: Visitor, link_id: str) -> None:
    assert 'value="payroll"' in ada.get("/api-keys/new?link=payroll").text
    assert "/api-keys/new?link=payroll" in ada.get("/links/payroll").text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "Give the key a name"),
        ({"links": ""}, "Choose at least one link, or all links."),
        ({"links": "payroll nobody"}, "There is no link with the slug nobody."),
        ({"name": " "}, "Give the key a name"),
        ({"reach": ""}, "Choose one of those that are shown."),
        ({"reach": "most"}, "Choose one of those that are shown."),
        ({"may": "everything"}, "Choose one of the two."),
        ({"days": "0"}, "A key lives 1 to 365 days."),
        ({"days": "366"}, "A key lives 1 to 365 days."),
        ({"days": "soon"}, "A key lives 1 to 365 days."),
        ({"days": "9" * 5000}, "A key lives 1 to 365 days."),
    ],
)
def test_it_makes_none_out_of_wrong_fields(ada: Visitor, link_id: str, changes: dict[str, str], says: str) -> None:
    page = ada.post("/api-keys/new", FORM | changes)
    assert page.status_code == 422
    assert says in text_of(page)
    assert not ApiKey.select().exists()
    for field in re.findall(r'<li><a href="#([^"]+)">', page.text):
        assert f'id="{field}"' in page.text
    if "name" not in changes:
        assert 'value="Backup script"' in page.text


def test_it_lists_what_each_key_is_for(ada: Visitor, services: Services, link_id: str, clock: Clock) -> None:
    key = made(ada)
    page = text_of(ada.get("/api-keys"))
    assert "Backup script apl_" in page
    assert "payroll Read tokens made by ada" in page
    assert "Never" in page
    services.api_keys.authenticate(key, "127.0.0.1")
    services.counts.flush()
    assert "Never" not in text_of(ada.get("/api-keys"))
    ApiKey.update(expires_at=int(clock())).execute()
    assert "Expired" in text_of(ada.get("/api-keys"))


def test_it_revokes_only_after_asking(ada: Visitor, services: Services, link_id: str) -> None:
    made(ada)
    key = ApiKey.get()
    page = ada.get(f"/api-keys/{key.id}/revoke")
    assert "It was never used." in text_of(page)
    assert "no more tokens of payroll" in text_of(page)
    ApiKey.update(last_used_at=key.created_at).execute()
    assert "It was last used now" in text_of(ada.get(f"/api-keys/{key.id}/revoke"))
    assert ApiKey.get().revoked_at is None
    assert ada.post(f"/api-keys/{key.id}/revoke").headers["Location"] == "/api-keys"
    assert ApiKey.get().revoked_at
    listed = text_of(ada.get("/api-keys"))
    assert "Backup script was revoked." in listed
    assert "Revoked" in listed
    ada.post(f"/api-keys/{key.id}/revoke")
    assert Event.select().where(Event.what == "API key revoked").count() == 1


def test_it_knows_no_other_key(ada: Visitor) -> None:
    assert ada.get("/api-keys/nobody/revoke").status_code == 404
    assert ada.post("/api-keys/nobody/revoke").status_code == 404


def test_it_shows_how_to_use_a_link_in_scripts(ada: Visitor, connect: Connect, clock: Clock) -> None:
    connect()
    page = unescape(ada.get("/links/payroll").text)
    url = "http://127.0.0.1:5000/api/v1/links/payroll/token"
    assert f'curl -fsS -H "Authorization: Bearer $APPLINKS_API_KEY" "{url}"' in page
    assert "python app.py token payroll)" in page
    clock.advance(1)
    connect("sales")
    page = unescape(ada.get("/links/payroll").text)
    assert f'"{url}?connection=default"' in page
    assert "token payroll --connection default)" in page
