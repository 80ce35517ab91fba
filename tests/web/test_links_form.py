"""The form of an outgoing link: it reveals itself, loses nothing that was typed, and never shows a secret."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from applinks import create_app
from applinks.crypto import new_id
from applinks.models import Administrator, ApplicationLink, OutgoingLink, SignInSession, database
from applinks.providers import CATALOGUE
from applinks.settings import Settings
from tests.conftest import CLIENT_SECRET, PASSWORD, Clock, refresh_due
from tests.standin import StandIn, callback_path
from tests.visitor import Visitor, text_of

ENDPOINTS = {"authorization_endpoint": "https://a.example/authorize", "token_endpoint": "https://a.example/token"}
CUSTOM = {"name": "Payroll", "provider": "custom", **ENDPOINTS, "userinfo_endpoint": ""}
CREDENTIALS = {"revealed": "custom", "client_id": "payroll-client", "client_secret": CLIENT_SECRET, "scopes": "read"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<div data-hx-get=/x data-hx-trigger=load>",
    "{{7*7}}",
]


@pytest.fixture
def path() -> str:
    return f"/links/new/outgoing/{new_id()}"


def value(page: str, name: str) -> str | None:
    """What stands in the input of a name or an ID, None where there is no such input."""
    if text := re.search(rf'<textarea[^>]*\bid="{name}"[^>]*>([^<]*)<', page):
        return unescape(text[1]).strip()
    tag = re.search(rf'<input[^>]*\b(?:name|id)="{name}"[^>]*>', page)
    found = re.search(r'value="([^"]*)"', tag[0]) if tag else None
    return unescape(found[1]) if found else ("" if tag else None)


def error_at(page: str, field: str) -> str:
    found = re.search(rf'id="{field}-error">(.*?)</p>', page, re.S)
    return unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found else ""


def credentials_are_shown(page: str) -> bool:
    section = re.search(r'<section class="surface" id="credentials"( hidden)?>', page)
    assert section
    return section[1] is None


def test_it_asks_for_the_direction_first(ada: Visitor) -> None:
    assert "External application" in text_of(ada.get("/links/new"))
    assert ada.get("/links/new?direction=outgoing").headers["Location"] == "/links/new/outgoing"
    assert re.fullmatch(r"/links/new/outgoing/[0-9a-f]{32}", ada.get("/links/new/outgoing").headers["Location"])


def test_it_asks_for_the_direction_again_where_there_is_none_like_it(ada: Visitor) -> None:
    assert ada.get("/links/new?direction=incoming").headers["Location"] == "/links/new/incoming"
    assert ada.get("/links/new?direction=sideways").status_code == 200


@pytest.mark.parametrize("link_id", ["x", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "0" * 31 + "%0a"])
def test_it_knows_no_form_of_a_malformed_id(ada: Visitor, link_id: str) -> None:
    for response in (ada.get(f"/links/new/outgoing/{link_id}"), ada.post(f"/links/new/outgoing/{link_id}", CUSTOM)):
        assert response.status_code == 404


def test_it_fills_in_google(ada: Visitor, path: str) -> None:
    page = ada.htmx("POST", f"{path}/fields", {"provider": "google"}).text
    assert value(page, "authorization_endpoint") == "https://accounts.google.com/o/oauth2/v2/auth"
    assert value(page, "token_endpoint") == "https://oauth2.googleapis.com/token"
    assert value(page, "redirect-url") == f"http://127.0.0.1:5000/oauth/callback/{path[-32:]}"
    assert re.search(r">\s*openid email</textarea>", page)
    assert "https://console.cloud.google.com/apis/credentials" in page


def test_it_shows_microsofts_redirect_url_before_its_tenant_is_known(ada: Visitor, path: str) -> None:
    page = ada.htmx("POST", f"{path}/fields", {"provider": "microsoft"}).text
    assert value(page, "redirect-url")
    assert value(page, "tenant") == ""
    assert not credentials_are_shown(page)
    assert error_at(page, "tenant") == ""


def test_it_builds_microsofts_endpoints_from_the_tenant(ada: Visitor, path: str) -> None:
    page = ada.htmx("POST", f"{path}/fields", {"provider": "microsoft", "tenant": "contoso.com"}).text
    assert value(page, "token_endpoint") == "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"
    assert re.search(r">\s*openid email offline_access</textarea>", page)


@pytest.mark.parametrize("tenant", ["contoso", "../common", "common?x", "a.example/x", "evil@a.example"])
def test_it_builds_nothing_from_what_is_no_tenant(ada: Visitor, path: str, tenant: str) -> None:
    page = ada.htmx("POST", f"{path}/fields", {"provider": "microsoft", "tenant": tenant}).text
    assert "The tenant must be" in error_at(page, "tenant")
    assert value(page, "token_endpoint") is None


def test_it_reveals_a_custom_redirect_url_when_both_endpoints_are_valid(ada: Visitor, path: str) -> None:
    start = {"provider": "custom", "authorization_endpoint": "https://a.example/authorize", "token_endpoint": ""}
    page = ada.htmx("POST", f"{path}/fields", start).text
    assert value(page, "redirect-url") is None
    assert not credentials_are_shown(page)
    assert error_at(page, "token_endpoint") == ""
    page = ada.htmx("POST", f"{path}/fields", CUSTOM).text
    assert value(page, "redirect-url") == f"http://127.0.0.1:5000/oauth/callback/{path[-32:]}"
    assert credentials_are_shown(page)


def test_it_reveals_step_by_step_without_scripts(ada: Visitor, path: str) -> None:
    page = ada.post(path, {"name": "Payroll", "provider": "custom"})
    assert page.status_code == 200
    assert error_at(page.text, "token_endpoint") == ""
    page = ada.post(path, CUSTOM)
    assert page.status_code == 200
    assert value(page.text, "redirect-url")
    assert ada.post(path, CUSTOM | CREDENTIALS).headers["Location"] == "/links/payroll"


def test_it_keeps_the_redirect_url_over_a_reload_and_saving(ada: Visitor, path: str) -> None:
    redirect_url = value(ada.post(path, CUSTOM).text, "redirect-url")
    assert value(ada.post(path, CUSTOM).text, "redirect-url") == redirect_url
    ada.post(path, CUSTOM | CREDENTIALS)
    assert value(ada.get("/links/payroll").text, "redirect-url") == redirect_url


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", ""),
        ("authorization_endpoint", "http://a.example/"),
        ("token_endpoint", "javascript:alert(1)"),
        ("userinfo_endpoint", "https://10.0.0.1/"),
        ("client_id", ""),
        ("client_secret", ""),
        ("scopes", 'a"b'),
        ("provider", "nobody"),
    ],
)
def test_it_says_at_the_field_what_is_wrong_and_loses_nothing(ada: Visitor, path: str, field: str, text: str) -> None:
    sent = CUSTOM | CREDENTIALS | {field: text}
    response = ada.post(path, sent)
    page = response.text
    assert response.status_code == 422
    assert error_at(page, field)
    for name in ("name", "authorization_endpoint", "client_id"):
        if field != "provider":
            assert value(page, name) == sent[name]
    assert value(page, "client_secret") in ("", None)
    assert not ApplicationLink.select().exists()


def test_it_keeps_what_was_typed_while_an_endpoint_is_wrong(ada: Visitor, path: str) -> None:
    page = ada.post(path, CUSTOM | CREDENTIALS | {"token_endpoint": "x"}).text
    assert credentials_are_shown(page)
    page = ada.post(path, CUSTOM | CREDENTIALS | {"provider": "microsoft", "tenant": ""}).text
    assert not credentials_are_shown(page)
    assert value(page, "client_id") == "payroll-client"


def test_it_says_so_when_the_secret_must_be_typed_again(ada: Visitor, path: str) -> None:
    assert "Type it once more" in text_of(ada.post(path, CUSTOM | CREDENTIALS | {"name": ""}))


def test_it_answers_a_double_save_with_the_same_link(ada: Visitor, path: str) -> None:
    first, second = (ada.post(path, CUSTOM | CREDENTIALS) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"] == "/links/payroll"
    assert ada.get(path).headers["Location"] == "/links/payroll"
    assert ApplicationLink.select().count() == 1


def test_it_sends_htmx_to_the_saved_link(ada: Visitor, path: str) -> None:
    response = ada.htmx("POST", path, CUSTOM | CREDENTIALS)
    assert response.headers["HX-Redirect"] == "/links/payroll"


@pytest.mark.parametrize("name", ["Payroll", "PAYROLL", "\uff30ayroll", " payroll "])
def test_it_refuses_a_name_that_is_taken(ada: Visitor, link_id: str, path: str, name: str) -> None:
    response = ada.post(path, CUSTOM | CREDENTIALS | {"name": name})
    assert response.status_code == 422
    assert "has this name already" in error_at(response.text, "name")


@pytest.mark.parametrize(("name", "slug"), [("Payroll!", "payroll-2"), ("new", "new-2"), ("日本", "link")])
def test_it_finds_a_slug_of_its_own(ada: Visitor, link_id: str, path: str, name: str, slug: str) -> None:
    assert ada.post(path, CUSTOM | CREDENTIALS | {"name": name}).headers["Location"] == f"/links/{slug}"


def test_it_stores_the_fields_and_the_secret_sealed(ada: Visitor, path: str) -> None:
    ada.post(path, CUSTOM | CREDENTIALS)
    page = text_of(ada.get("/links/payroll"))
    for text in (*ENDPOINTS.values(), "payroll-client", "Set on", "Not connected"):
        assert text in page
    assert CLIENT_SECRET not in OutgoingLink.get().client_secret_enc


def test_it_ignores_fields_that_are_not_in_the_form(ada: Visitor, path: str) -> None:
    """A179"""
    ada.post(path, CUSTOM | CREDENTIALS | {"slug": "evil", "id": "evil", "version": "7", "direction": "incoming"})
    link = ApplicationLink.get()
    assert (link.slug, link.id, link.version, link.direction) == ("payroll", path[-32:], 1, "outgoing")


@pytest.mark.parametrize("text", HOSTILE)
def test_it_shows_hostile_text_as_text_on_every_page(ada: Visitor, path: str, text: str) -> None:
    """A136"""
    saved = ada.post(path, CUSTOM | CREDENTIALS | {"name": text, "client_id": text})
    slug = saved.headers["Location"]
    paths = ("/links", slug, f"{slug}/edit", f"{slug}/delete", f"{slug}/connect-another")
    pages = [ada.get(page).text for page in paths]
    pages.append(ada.post(path, CUSTOM | CREDENTIALS | {"name": text, "scopes": text, "token_endpoint": text}).text)
    pages.append(ada.post(f"{slug}/delete").text + ada.get("/links").text)
    for page in pages:
        assert text not in page or text == "{{7*7}}"
        assert "49" not in text_of_names(page)


def text_of_names(page: str) -> str:
    return " ".join(re.findall(r"<h1>(.*?)</h1>", page))


def test_it_leaves_empty_scopes_empty_when_editing(ada: Visitor, path: str) -> None:
    """The provider's default was chosen; a save of something else must not ask for more."""
    empty = {**CREDENTIALS, "revealed": "google", "scopes": ""}
    ada.post(path, {"name": "Mail", "provider": "google"} | empty)
    assert re.search(r"<textarea[^>]*>\s*</textarea>", ada.get("/links/mail/edit").text)


@pytest.mark.parametrize("parts", [101, 1000])
def test_it_refuses_a_form_of_too_many_parts(ada: Visitor, path: str, parts: int) -> None:
    """A181"""
    response = ada.client.post(
        path,
        data={f"field-{number}": "x" for number in range(parts)},
        content_type="multipart/form-data",
        headers={"Origin": ada.base_url},
        base_url=ada.base_url,
    )
    assert response.status_code == 413


@pytest.mark.parametrize("field", [*CUSTOM, *CREDENTIALS, "version", "tenant", "csrf_token"])
def test_it_never_breaks_on_what_a_browser_would_not_send(ada: Visitor, path: str, field: str) -> None:
    form = CUSTOM | CREDENTIALS | {"csrf_token": ada.csrf_token()}
    for junk in ("\x00", b"\xff", b"\xed\xa0\x80", "\u202eevil", "x" * 5000):
        sent = form | {field: junk}
        response = ada.client.post(path, data=sent, headers={"Origin": ada.base_url}, base_url=ada.base_url)
        assert response.status_code in (200, 303, 400, 422), junk


def test_it_refuses_a_body_that_is_too_large(ada: Visitor, path: str) -> None:
    """A181"""
    assert ada.post(path, CUSTOM | {"name": "x" * 70_000}).status_code == 413


def test_it_warns_about_a_private_and_plain_base_url(ada: Visitor, path: str) -> None:
    said = text_of(ada.post(path, {"name": "", "provider": "google"}))
    assert "127.0.0.1 is a private address: Google refuses it" in said
    assert "plain http" in said


class TestBehindALoadBalancer:
    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return environ | {"APPLINKS_BASE_URL": "https://links.example.com"}

    def test_it_makes_the_redirect_url_of_the_base_url(self, ada: Visitor, path: str) -> None:
        page = ada.post(path, {"name": "", "provider": "google"})
        assert value(page.text, "redirect-url") == f"https://links.example.com/oauth/callback/{path[-32:]}"
        assert "private address" not in text_of(page)

    def test_it_warns_when_the_browser_is_elsewhere(self, ada: Visitor, path: str) -> None:
        page = ada.client.get("/sign-in", base_url="https://10.0.0.5")
        assert "You opened Applinks at 10.0.0.5" in text_of(page)
        assert "evil" not in page.text

    def test_it_refuses_plain_http_endpoints(self, ada: Visitor, path: str) -> None:
        response = ada.post(path, CUSTOM | CREDENTIALS | {"token_endpoint": "http://127.0.0.1/token"})
        assert "must start with https://" in error_at(response.text, "token_endpoint")


def test_it_keeps_what_was_typed_when_the_session_had_ended(ada: Visitor, path: str, clock: Clock) -> None:
    token = ada.csrf_token()
    clock.advance(3601)
    typed = {"client_secret": "CANARY-typed", "scopes": "read\r\nwrite"}
    response = ada.post(path, CUSTOM | CREDENTIALS | typed | {"csrf_token": token})
    assert response.status_code == 401
    assert "what you typed comes back, except for secrets" in text_of(response)
    draft, back = value(response.text, "draft"), value(response.text, "next")
    assert back == path
    assert ada.sign_in("ada", PASSWORD, next=back or "", draft=draft or "").headers["Location"] == path
    page = ada.get(path).text
    assert value(page, "name") == "Payroll"
    assert (value(page, "scopes") or "").split() == ["read", "write"]
    assert value(page, "token_endpoint") == ENDPOINTS["token_endpoint"]
    assert value(page, "client_id") == "payroll-client"
    assert value(page, "client_secret") == ""


def test_it_keeps_an_interrupted_edit_apart_from_a_later_one(
    ada: Visitor, sign_in_as: Callable[[str], Visitor], link_id: str, link_form: dict[str, str], clock: Clock
) -> None:
    """A182: what was typed comes back, but not over what somebody has stored meanwhile."""
    token = ada.csrf_token()
    clock.advance(3601)
    mine = {"name": "Mine", "client_secret": "", "version": "1"}
    interrupted = ada.post("/links/payroll/edit", link_form | mine | {"csrf_token": token}).text
    bob = sign_in_as("bob")
    assert bob.post("/links/payroll/edit", link_form | mine | {"name": "Theirs"}).status_code == 303
    back, draft = value(interrupted, "next") or "", value(interrupted, "draft") or ""
    assert ada.sign_in("ada", PASSWORD, next=back, draft=draft).headers["Location"] == "/links/payroll/edit"
    page = ada.get(back).text
    assert value(page, "name") == "Mine"
    assert ada.post(back, link_form | mine | {"version": value(page, "version") or ""}).status_code == 409
    assert ApplicationLink.get().name == "Theirs"


def test_it_signs_in_again_for_htmx_too(ada: Visitor, path: str, clock: Clock) -> None:
    token = ada.csrf_token()
    clock.advance(3601)
    response = ada.htmx("POST", path, CUSTOM | CREDENTIALS | {"csrf_token": token})
    assert response.status_code == 401
    assert response.headers["HX-Retarget"] == "body"
    assert value(response.text, "draft")


def test_it_shows_a_draft_once_and_on_its_own_page_alone(ada: Visitor, stranger: Visitor, path: str) -> None:
    draft = json.dumps({"path": path, "fields": {"name": "Payroll", "client_secret": "CANARY-typed"}})
    for other in (path, f"/links/new/outgoing/{new_id()}"):
        stranger.sign_in("ada", PASSWORD, next=other, draft=draft)
        assert value(stranger.get(other).text, "name") == ("Payroll" if other == path else "")
        assert value(stranger.get(path).text, "name") == ""
        stranger.post("/sign-out")


@pytest.mark.parametrize(
    "draft", ["x", "[]", "7", '{"path": 1}', '{"path": "/settings", "fields": {}}', '{"fields": []}']
)
def test_it_starts_empty_from_a_broken_draft(stranger: Visitor, ada: Visitor, path: str, draft: str) -> None:
    assert stranger.sign_in("ada", PASSWORD, next=path, draft=draft).status_code == 303
    page = stranger.get(path)
    assert page.status_code == 200
    assert value(page.text, "name") == ""


class TestPresetsDanced:
    """Google's and Microsoft's drawers, with their endpoints moved to the stand-in."""

    @pytest.fixture
    def app(self, settings: Settings, clock: Clock, provider: StandIn) -> Flask:
        moved = {
            key: replace(
                drawer,
                authorization_endpoint=f"{provider.base_url}/{{tenant}}/authorize"
                if drawer.places
                else f"{provider.base_url}/a",
                token_endpoint=f"{provider.base_url}/token",
                userinfo_endpoint=f"{provider.base_url}/userinfo",
            )
            for key, drawer in CATALOGUE.items()
            if drawer.brings_endpoints
        }
        yield create_app(settings, catalogue=CATALOGUE | moved, clock=clock)
        database.close()

    def test_it_asks_google_for_a_refresh_token(self, ada: Visitor, path: str, provider: StandIn) -> None:
        ada.post(path, {"name": "Mail", "provider": "google", **CREDENTIALS, "revealed": "google"})
        url = ada.continue_url(ada.post("/links/mail/connect"))
        query = parse_qs(urlsplit(url).query)
        assert query["access_type"] == ["offline"]
        assert query["prompt"] == ["consent"]
        ada.get(callback_path(path[-32:], provider.consent(url)))
        asked = provider.token_requests[0]
        assert asked.form["client_secret"] == CLIENT_SECRET
        assert "Authorization" not in asked.headers

    def test_it_sends_microsoft_the_scope_on_refresh(
        self, ada: Visitor, path: str, provider: StandIn, app: Flask, clock: Clock
    ) -> None:
        ada.post(
            path,
            {
                "name": "Mail",
                "provider": "microsoft",
                "tenant": "common",
                **CREDENTIALS,
                "revealed": "microsoft",
                "scopes": "openid offline_access",
            },
        )
        url = ada.continue_url(ada.post("/links/mail/connect"))
        assert "/common/authorize" in url
        ada.get(callback_path(path[-32:], provider.consent(url)))
        clock.advance(3000)
        refresh_due(app.extensions["applinks"])
        assert provider.token_requests[1].form["scope"] == "openid offline_access"


def test_it_keeps_the_form_on_the_page_when_the_session_ends_while_it_reveals(
    ada: Visitor, path: str, clock: Clock
) -> None:
    """The helper does nothing; *Save* asks to sign in, with all that was typed."""
    ada.csrf_token()
    clock.advance(3601)
    response = ada.htmx("POST", f"{path}/fields", {"provider": "google"})
    assert response.status_code == 401
    assert response.headers["HX-Reswap"] == "none"
    assert response.text == ""


def test_it_brings_scopes_back_that_were_emptied_on_purpose(ada: Visitor, path: str, clock: Clock) -> None:
    token = ada.csrf_token()
    clock.advance(3601)
    form = {"name": "Calendar", "provider": "google", "revealed": "google", "client_id": "x", "scopes": ""}
    page = ada.post(path, form | {"csrf_token": token, "client_secret": "CANARY-typed"}).text
    ada.sign_in("ada", PASSWORD, next=path, draft=value(page, "draft") or "")
    assert value(ada.get(path).text, "scopes") == ""


HOSTILE_DRAFTS = [
    "[" * 16_000,
    '{"path":' * 3_000,
    "[]",
    "{}",
    '{"path": 1}',
    '{"path": "%s", "fields": 1}',
    "x" * 60_000,
]
HOSTILE_DRAFTS += [
    '{"path": "%s", "fields": ["name"]}',
    '{"path": "%s", "fields": {"name": "\\u0000\\ud800"}}',
    '{"path": "%s", "fields": {"name": {"a": 1}}}',
    '{"path": "%s", "fields": {"client_secret": "typed-canary"}}',
]


@pytest.mark.parametrize("draft", HOSTILE_DRAFTS)
def test_it_takes_no_draft_that_it_did_not_write(
    stranger: Visitor, make_administrator: Callable[[str], Administrator], path: str, draft: str
) -> None:
    make_administrator("bob")
    assert stranger.sign_in("bob", PASSWORD, next=path, draft=draft.replace("%s", path)).status_code == 303
    assert "typed-canary" not in str(list(SignInSession.select().dicts()))
    page = stranger.get(path)
    assert page.status_code == 200
    assert value(page.text, "name") == ""


def test_it_asks_for_a_provider(ada: Visitor, path: str) -> None:
    page = ada.post(path, {"name": "", "revealed": ""})
    assert page.status_code == 422
    assert "Choose one of the providers." in error_at(page.text, "provider")
    assert "Give the link a name" in error_at(page.text, "name")


def test_it_forgets_untouched_scopes_of_another_provider(ada: Visitor, path: str) -> None:
    page = ada.post(path, CUSTOM | {"revealed": "google", "scopes": "openid email"}).text
    assert value(page, "scopes") == ""
    page = ada.post(path, CUSTOM | {"revealed": "google", "scopes": "openid email calendar"}).text
    assert value(page, "scopes") == "openid email calendar"


def test_it_says_before_and_after_that_an_edit_disconnects(
    ada: Visitor, connect: Callable[..., None], link_form: dict[str, str]
) -> None:
    connect("sales")
    page = ada.get("/links/payroll/edit")
    assert "issuer or client ID disconnects sales." in text_of(page)
    changed = {"client_id": "other", "client_secret": "CANARY-new", "version": value(page.text, "version") or ""}
    assert ada.post("/links/payroll/edit", link_form | changed).status_code == 303
    said = text_of(ada.get("/links/payroll"))
    assert "Its accounts were disconnected." in said
    assert "The link's settings were changed. It is disconnected. Connect it again to use it." in said
