"""Incoming links in a browser: making, showing, changing and ending one, its secret, its consents, and its card."""

import json
import re
from html import unescape
from typing import Any

import pytest
from werkzeug.test import TestResponse

from applinks.models import ApplicationLink, Consent, Event, IncomingLink, IssuedGrant
from applinks.services import incoming
from applinks.services.sign_in import IDLE_SECONDS
from applinks.wiring import Services
from tests.application import CHALLENGE, REDIRECT, SECRET, Application, make_incoming
from tests.conftest import PASSWORD, Clock
from tests.visitor import Visitor, text_of

FORM: dict[str, Any] = {
    "name": "Reports",
    "client_type": "confidential",
    "grant_types": ["authorization_code"],
    "redirect_uris": REDIRECT,
    "scopes": ["profile", "links:read"],
    "token_links": [],
    "access_token_life": "60",
    "refresh_idle_life": "30",
    "refresh_life": "90",
}


def shown(response: TestResponse, name: str) -> str:
    """What a field to copy from holds."""
    found = re.search(rf'id="{name}"[^>]*>([^<]*)<', response.text)
    return unescape(found[1]) if found else ""


@pytest.fixture
def application(ada: Visitor, services: Services) -> Application:
    make_incoming(services, scopes="profile links:read tokens:read")
    return Application(ada)


class TestMaking:
    def test_it_shows_the_secret_once(self, ada: Visitor, clock: Clock) -> None:
        made = ada.post("/links/new/incoming", FORM)
        secret, client_id = shown(made, "client-secret"), shown(made, "client-id")
        assert made.status_code == 201
        assert re.fullmatch(r"aps_[\w-]{43}", secret)
        assert "shown this once" in text_of(made)
        stored = IncomingLink.get()
        assert (stored.client_id, stored.scopes) == (client_id, "profile links:read")
        assert (stored.access_token_life, stored.refresh_idle_life, stored.refresh_life) == (3600, 2_592_000, 7_776_000)
        for path in ("/links/reports", "/links/reports/edit", "/links", "/audit"):
            assert secret not in ada.get(path).text
        assert secret not in str(list(IncomingLink.select().dicts()))

    def test_it_says_what_to_give_to_the_other_side(self, ada: Visitor) -> None:
        made = ada.post("/links/new/incoming", FORM)
        assert shown(made, "metadata-url") == f"{ada.base_url}/.well-known/oauth-authorization-server"
        assert shown(made, "authorization-endpoint") == f"{ada.base_url}/oauth/authorize"
        assert shown(made, "token-endpoint") == f"{ada.base_url}/oauth/token"

    def test_its_credentials_work(self, ada: Visitor) -> None:
        form = FORM | {"grant_types": ["client_credentials"], "redirect_uris": ""}
        made = ada.post("/links/new/incoming", form)
        answer = Application(ada).token(
            client=shown(made, "client-id"), secret=shown(made, "client-secret"), grant_type="client_credentials"
        )
        assert answer.json["scope"] == "links:read"

    def test_it_gives_a_public_application_no_secret(self, ada: Visitor) -> None:
        made = ada.post("/links/new/incoming", FORM | {"client_type": "public"})
        assert made.status_code == 201
        assert not shown(made, "client-secret")
        assert IncomingLink.get().is_public

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"redirect_uris": ""}, "redirect_uris"),
            ({"redirect_uris": "http://app.example/cb"}, "redirect_uris"),
            ({"redirect_uris": f"{REDIRECT}\njavascript:alert(1)"}, "redirect_uris"),
            ({"scopes": []}, "scopes"),
            ({"scopes": ["admin"]}, "scopes"),
            ({"scopes": ["tokens:read"]}, "token_links"),
            ({"scopes": ["tokens:read"], "token_links": "nobody"}, "token_links"),
            ({"scopes": ["tokens:read"], "token_links": "other-app"}, "token_links"),
            ({"scopes": ["tokens:read"], "token_links": "a\x00b"}, "token_links"),
            ({"scopes": ["tokens:read"], "token_links": "<b>"}, "token_links"),
            ({"scopes": ["tokens:read"], "token_links": list(map(str, range(101)))}, "token_links"),
            ({"token_links": "payroll"}, "token_links"),
            ({"grant_types": []}, "grant_types"),
            ({"grant_types": ["password"]}, "grant_types"),
            ({"grant_types": ["client_credentials"], "client_type": "public"}, "grant_types"),
            ({"client_type": ""}, "client_type"),
            ({"client_type": "secret"}, "client_type"),
            ({"access_token_life": "0"}, "access_token_life"),
            ({"access_token_life": "1441"}, "access_token_life"),
            ({"access_token_life": "soon"}, "access_token_life"),
            ({"refresh_idle_life": "91"}, "refresh_idle_life"),
            ({"refresh_idle_life": "31", "refresh_life": "30"}, "refresh_idle_life"),
            ({"refresh_life": "366"}, "refresh_life"),
            ({"refresh_life": ""}, "refresh_life"),
            ({"refresh_life": "9" * 400}, "refresh_life"),
        ],
    )
    def test_it_says_at_its_field_what_is_wrong(
        self, ada: Visitor, services: Services, changed: dict[str, Any], field: str
    ) -> None:
        make_incoming(services, "Other app", client_id="x")
        answer = ada.post("/links/new/incoming", FORM | changed)
        assert answer.status_code == 422
        assert f'id="{field}-error"' in answer.text
        assert "Nothing was saved." in text_of(answer)
        assert ApplicationLink.select().count() == 1
        assert REDIRECT in answer.text or "redirect_uris" in changed, "what was typed is lost"

    def test_it_saves_a_form_once(self, ada: Visitor) -> None:
        """A reload of the page with the secret leads to the link, and says where another secret comes from."""
        form = FORM | {"link_id": "a" * 32}
        ada.post("/links/new/incoming", form)
        again = ada.post("/links/new/incoming", form)
        assert again.headers["Location"] == "/links/reports"
        assert "was saved already. Its client secret was shown once" in text_of(ada.get("/links/reports"))
        assert ApplicationLink.select().count() == 1

    @pytest.mark.parametrize("link_id", ["", "x", "A" * 32, "0" * 31, "0" * 33, "a" * 31 + "\x00"])
    def test_it_takes_no_malformed_id(self, ada: Visitor, link_id: str) -> None:
        assert ada.post("/links/new/incoming", FORM | {"link_id": link_id}).status_code == 201
        assert re.fullmatch("[0-9a-f]{32}", ApplicationLink.get().id)
        assert ApplicationLink.get().id != link_id

    def test_it_says_all_that_is_wrong_at_once(self, ada: Visitor) -> None:
        wrong = {"name": "", "redirect_uris": "", "scopes": [], "access_token_life": "x"}
        answer = ada.post("/links/new/incoming", FORM | wrong)
        assert all(f'id="{field}-error"' in answer.text for field in wrong)

    def test_it_takes_slugs_beside_those_that_are_shown(
        self, ada: Visitor, link_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where there are more links than can be ticked."""
        form = FORM | {"scopes": ["tokens:read"], "other_links": "payroll"}
        assert ada.post("/links/new/incoming", form).status_code == 201
        assert IncomingLink.get().token_links == link_id
        assert 'value="payroll" checked' in ada.get("/links/reports/edit").text
        monkeypatch.setattr(incoming, "CHOICES", 0)
        page = ada.get("/links/reports/edit").text
        assert 'name="other_links" spellcheck="false" type="text" value="payroll"' in page

    def test_it_refuses_a_name_that_is_there(self, ada: Visitor) -> None:
        ada.post("/links/new/incoming", FORM)
        again = ada.post("/links/new/incoming", FORM | {"name": "REPORTS"})
        assert again.status_code == 422
        assert "has this name already" in text_of(again)

    def test_it_keeps_what_was_typed_when_the_session_ends(
        self, ada: Visitor, clock: Clock, services: Services
    ) -> None:
        """With what was ticked; there is no secret in it."""
        clock.advance(IDLE_SECONDS + 1)
        asked = ada.post("/links/new/incoming", FORM)
        assert asked.status_code == 401
        fields = dict(re.findall(r'name="(next|draft)"[^>]*value="([^"]*)"', asked.text))
        fields = {name: unescape(text) for name, text in fields.items()}
        back = ada.sign_in("ada", PASSWORD, **fields).headers["Location"]
        assert back == "/links/new/incoming"
        page = ada.get(back).text
        assert REDIRECT in page
        ticked = [found[0] for found in re.findall(r'value="([^"]*)"( checked)', page)]
        assert ticked == ["confidential", "authorization_code", "profile", "links:read"]


class TestChanging:
    def edit(self, application: Application, **changed: Any) -> TestResponse:
        form = FORM | {"name": "App", "version": "1", "client_type": "confidential"} | changed
        return application.visitor.post("/links/app/edit", form)

    def test_it_shows_what_is_stored(self, application: Application) -> None:
        page = application.visitor.get("/links/app/edit").text
        assert REDIRECT in page
        ticked = [found[0] for found in re.findall(r'value="([^"]*)"( checked)', page)]
        assert ticked == ["authorization_code", "profile", "links:read", "tokens:read"]

    def test_it_takes_away_at_once(self, application: Application) -> None:
        token = application.tokens(scope="links:read")["access_token"]
        assert self.edit(application, scopes=["profile"]).status_code == 303
        assert application.api("GET", "/links", token).status_code == 403

    def test_it_gives_no_more_than_was_consented(self, application: Application) -> None:
        """A163: a scope that is added is asked for anew, and marked as new."""
        token = application.tokens(scope="profile")["access_token"]
        self.edit(application, scopes=["profile", "links:read"])
        assert application.api("GET", "/links", token).status_code == 403
        page = text_of(application.authorize(scope="profile links:read"))
        assert "it asks for more now" in page
        assert "links:read New" in page
        assert "profile New" not in page

    def test_it_sends_no_code_to_an_address_that_was_taken_away(self, application: Application) -> None:
        code = application.code()
        self.edit(application, redirect_uris="https://app.example/new")
        assert application.exchange(code).json["error"] in ("invalid_request", "invalid_grant")
        assert application.authorize().status_code == 400

    def test_it_refuses_an_edit_that_somebody_overtook(self, application: Application) -> None:
        self.edit(application, scopes=["profile"])
        late = self.edit(application, scopes=["links:manage"])
        assert late.status_code == 409
        assert IncomingLink.get().scopes == "profile"

    @pytest.mark.parametrize("client_type", ["public", "", "x"])
    def test_it_keeps_the_client_type(self, application: Application, client_type: str) -> None:
        self.edit(application, client_type=client_type)
        assert not IncomingLink.get().is_public

    @pytest.mark.parametrize("version", ["", "x", "0", "9" * 30, "-1", "²"])
    def test_it_needs_the_version_that_was_read(self, application: Application, version: str) -> None:
        assert self.edit(application, version=version, scopes=["links:manage"]).status_code == 409


class TestTheSecret:
    def rotate(self, application: Application, overlap: str, since: str = "") -> TestResponse:
        since = since or str(IncomingLink.get().client_secret_set_at)
        return application.visitor.post("/links/app/secret", {"overlap": overlap, "since": since})

    def test_it_rotates_once_however_often_the_page_is_loaded(self, application: Application) -> None:
        """Else the old secret, which was to work on, would stop at a reload."""
        since = str(IncomingLink.get().client_secret_set_at)
        new = shown(self.rotate(application, "3600", since), "client-secret")
        again = self.rotate(application, "3600", since)
        assert again.status_code == 409
        assert "was rotated already" in text_of(again)
        for secret in (SECRET, new):
            assert application.ask("/oauth/introspect", secret=secret, token="x").status_code == 200
        assert "It stops working now" in text_of(application.visitor.get("/links/app/secret"))

    @pytest.mark.parametrize("since", ["0", "x", "-1", "9" * 30])
    def test_it_rotates_over_what_was_seen_alone(self, application: Application, since: str) -> None:
        assert self.rotate(application, "3600", since).status_code == 409

    @pytest.mark.parametrize(("overlap", "seconds"), [("0", 0), ("3600", 3600), ("86400", 86_400), ("604800", 604_800)])
    def test_it_lets_the_old_one_work_on_for_a_while(
        self, application: Application, clock: Clock, overlap: str, seconds: int
    ) -> None:
        answer = self.rotate(application, overlap)
        new = shown(answer, "client-secret")
        works = [application.ask("/oauth/introspect", secret=secret, token="x").status_code for secret in (SECRET, new)]
        assert works == [200 if seconds else 401, 200]
        clock.advance(seconds)
        assert application.ask("/oauth/introspect", token="x").status_code == 401
        assert application.ask("/oauth/introspect", secret=new, token="x").status_code == 200

    def test_it_keeps_one_old_secret_alone(self, application: Application) -> None:
        first = shown(self.rotate(application, "3600"), "client-secret")
        self.rotate(application, "3600")
        assert application.ask("/oauth/introspect", token="x").status_code == 401
        assert application.ask("/oauth/introspect", secret=first, token="x").status_code == 200

    @pytest.mark.parametrize("overlap", ["", "1", "604801", "-1", "x", "٣", "9" * 400])
    def test_it_overlaps_for_no_other_time(self, application: Application, overlap: str) -> None:
        assert self.rotate(application, overlap).status_code == 422
        assert application.ask("/oauth/introspect", token="x").status_code == 200

    def test_it_has_none_to_rotate_where_there_is_none(self, application: Application) -> None:
        IncomingLink.update(client_secret_digest="").execute()
        assert self.rotate(application, "0").status_code == 404
        assert "Rotate secret" not in application.visitor.get("/links/app").text


class TestConsents:
    def test_it_shows_who_consented_to_what(self, application: Application, ada: Visitor) -> None:
        application.tokens(scope="profile links:read")
        page = text_of(ada.get("/links/app"))
        assert re.search(r"ada profile links:read now now 1 access, 1 refresh Revoke", page), page
        assert "App See your user name" in text_of(ada.get("/authorized-applications"))

    def test_it_shows_nobody_what_others_allowed(self, application: Application, sign_in_as: Any) -> None:
        application.tokens()
        bob, consent = sign_in_as("bob"), Consent.get()
        assert "You have allowed no application anything" in text_of(bob.get("/authorized-applications"))
        assert bob.get(f"/authorized-applications/{consent.id}/revoke").status_code == 404
        assert bob.post(f"/authorized-applications/{consent.id}/revoke").status_code == 404
        assert Consent.select().exists()

    @pytest.mark.parametrize("path", ["/authorized-applications/{}/revoke", "/links/app/consents/{}/revoke"])
    def test_it_takes_a_consent_back(self, application: Application, ada: Visitor, path: str) -> None:
        token = application.tokens(scope="links:read")["access_token"]
        path = path.format(Consent.get().id)
        assert "Revoke what ada allowed App?" in text_of(ada.get(path))
        assert ada.post(path).status_code == 303
        assert application.api("GET", "/links", token).status_code == 401
        assert not IssuedGrant.select().exists()
        assert Event.get(Event.what == "consent revoked").words == "The consent of ada."
        assert ada.post(path).status_code == 404

    def test_it_takes_back_no_consent_by_another_links_page(
        self, application: Application, services: Services, ada: Visitor
    ) -> None:
        application.tokens()
        make_incoming(services, "Other")
        assert ada.post(f"/links/other/consents/{Consent.get().id}/revoke").status_code == 404

    def test_it_revokes_everything(self, application: Application, ada: Visitor) -> None:
        token = application.tokens(scope="links:read")["access_token"]
        assert "The consents of ada are taken back" in text_of(ada.get("/links/app/revoke"))
        ada.post("/links/app/revoke")
        assert application.api("GET", "/links", token).status_code == 401
        assert not Consent.select().exists()

    def test_it_comes_back_to_the_consent_page_after_signing_in(
        self, application: Application, ada: Visitor, clock: Clock
    ) -> None:
        """A session that ends before Allow is pressed: the application's request isn't lost."""
        page = application.authorize()
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        form = re.search(r'<form class="foot" method="post"( action=[^>]*)?>', page.text)
        assert ticket
        assert form
        assert form[1] is None, "it is sent to the request's own address"
        clock.advance(IDLE_SECONDS + 1)
        asked = ada.post(page.request.full_path, {"ticket": unescape(ticket[1]), "decision": "allow"})
        assert asked.status_code == 401
        fields = dict(re.findall(r'name="(next)"[^>]*value="([^"]*)"', asked.text))
        back = ada.sign_in("ada", PASSWORD, next=unescape(fields["next"])).headers["Location"]
        assert "App asks for access" in text_of(ada.get(back))

    def test_it_disables_and_enables(self, application: Application, ada: Visitor) -> None:
        ada.post("/links/app/disable")
        assert "Disabled" in text_of(ada.get("/links"))
        assert application.authorize().status_code == 400
        assert "none of its tokens works" in text_of(ada.get("/links/app"))
        for _ in range(2):
            ada.post("/links/app/enable")
        assert application.authorize().status_code == 200
        assert Event.select().where(Event.what == "enabled").count() == 1

    def test_it_asks_in_words_and_says_for_how_long(
        self, application: Application, services: Services, ada: Visitor, link_id: str
    ) -> None:
        """A163: who asks, where to, what for, which links' tokens, for how long."""
        IncomingLink.update(token_links=link_id).execute()
        page = text_of(application.authorize(scope="profile tokens:read"))
        assert "App asks for access" in page
        assert "read access tokens of the links that are chosen for it tokens:read Payroll" in page
        assert "This lasts 90 days at most" in page
        assert "each access token 2 minutes" in page
        assert "sent back to app.example" in page

    def test_it_allows_what_was_shown_whatever_was_changed_meanwhile(
        self, application: Application, link_id: str
    ) -> None:
        """A163: scopes that are the default, and links, are those of the page."""
        IncomingLink.update(scopes="profile", token_links="").execute()
        page = application.authorize(scope=None)
        IncomingLink.update(scopes="profile links:manage tokens:read", token_links=link_id).execute()
        tokens = application.exchange(application.decide(page)["code"][0]).json
        assert tokens["scope"] == "profile"
        assert IssuedGrant.get().token_links == ""

    @pytest.mark.parametrize("scope", ["profile links:read", None])
    def test_it_allows_nothing_that_was_taken_away_meanwhile(self, application: Application, scope: str | None) -> None:
        page = application.authorize(scope=scope)
        IncomingLink.update(scopes="profile").execute()
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert ticket
        answer = application.visitor.post("/oauth/authorize", {"ticket": unescape(ticket[1]), "decision": "allow"})
        url = application.visitor.continue_url(answer)
        assert "error=invalid_scope" in url
        assert "iss=" in url
        assert not IssuedGrant.select().exists()
        assert not Consent.select().exists()

    @pytest.mark.parametrize("name", ["scope", "client_id", "redirect_uri", "code_challenge", "state", "scopes"])
    def test_it_takes_nothing_of_the_request_from_the_answer(self, application: Application, name: str) -> None:
        """A163: what a page sends beside its ticket counts for nothing."""
        ticket = re.search(r'name="ticket" value="([^"]+)"', application.authorize().text)
        assert ticket
        evil = {"code_challenge": CHALLENGE[::-1], "redirect_uri": "https://evil.example/"}.get(name, "links:read")
        form = {"ticket": unescape(ticket[1]), "decision": "allow", name: evil}
        url = application.visitor.continue_url(application.visitor.post("/oauth/authorize", form))
        assert url.startswith(f"{REDIRECT}?code=")
        assert IssuedGrant.get().scopes == "profile"


PASTE = {"paste": "card"}


class TestCards:
    def fields(self, page: TestResponse) -> dict[str, str]:
        return dict(re.findall(r'name="([a-z_]+)"[^>]*value="([^"]*)"', page.text))

    def test_it_fills_in_both_forms(self, ada: Visitor) -> None:
        path = "/links/new/outgoing/" + "a" * 32
        card = json.loads(shown(ada.get(path), "link-card"))
        assert card["redirect_uri"] == f"{ada.base_url}/oauth/callback/{'a' * 32}"
        page = ada.post("/links/new/incoming", PASTE | {"card": json.dumps(card), "grant_types": "authorization_code"})
        assert card["redirect_uri"] in page.text
        assert re.findall(r'value="([^"]*)" checked', page.text) == ["authorization_code", "profile", "links:read"]
        made = ada.post("/links/new/incoming", FORM)
        answer = shown(made, "link-card")
        assert shown(made, "client-secret") not in answer
        filled = self.fields(ada.post(f"{path}/card", {"card": answer, "name": "Mine"}))
        assert filled["name"] == "Mine"
        assert filled["authorization_endpoint"] == f"{ada.base_url}/oauth/authorize"
        assert filled["token_endpoint"] == f"{ada.base_url}/oauth/token"
        assert filled["client_id"] == shown(made, "client-id")
        assert filled["issuer"] == ada.base_url

    @pytest.mark.parametrize(
        "card",
        [
            *("", "x", "[]", "null", "{}", '{"applinks_link_card": 2}', '{"applinks_link_card": "1"}', "{" * 9000),
            *('{"applinks_link_card": 1}', '{"applinks_link_card": 1, "redirect_uri": 5, "token_endpoint": []}'),
            *(
                '{"applinks_link_card": 1, "redirect_uri": "a\\u0000b", "token_endpoint": "a\\nb"}',
                "\ufeff{}",
                "x" * 20_000,
            ),
        ],
    )
    @pytest.mark.parametrize("path", ["/links/new/incoming", f"/links/new/outgoing/{'a' * 32}/card"])
    def test_it_takes_nothing_else_for_a_card(self, ada: Visitor, path: str, card: str) -> None:
        answer = ada.post(path, PASTE | {"card": card, "name": "Kept"})
        assert answer.status_code == 422
        assert 'id="card-error"' in answer.text
        assert "Kept" in answer.text

    def test_it_takes_the_card_of_the_other_side_alone(self, ada: Visitor) -> None:
        path = f"/links/new/outgoing/{'a' * 32}"
        own, given = shown(ada.get(path), "link-card"), shown(ada.post("/links/new/incoming", FORM), "link-card")
        assert ada.post(f"{path}/card", {"card": own}).status_code == 422
        assert ada.post("/links/new/incoming", PASTE | {"card": given}).status_code == 422

    def test_it_leaves_what_was_chosen(self, ada: Visitor) -> None:
        """And takes a name that is free."""
        ada.post("/links/new/incoming", FORM | {"name": "There"})
        card = {"applinks_link_card": 1, "name": "There", "redirect_uri": REDIRECT, "scopes": "profile"}
        typed = {"redirect_uris": "https://app.example/other", "scopes": "links:manage"}
        page = ada.post("/links/new/incoming", PASTE | {"card": json.dumps(card)} | typed)
        assert re.findall(r'value="([^"]*)" checked', page.text) == ["profile", "links:manage"]
        assert f"https://app.example/other\n{REDIRECT}" in page.text
        assert 'value="There 2"' in page.text

    def test_it_reads_a_card_as_if_it_had_been_typed(self, ada: Visitor) -> None:
        """A card of somebody evil is refused at its fields, and changes no choice that isn't on a card."""
        card = {"applinks_link_card": 1, "redirect_uri": "javascript:alert(1)", "scopes": "links:manage admin"}
        page = ada.post("/links/new/incoming", PASTE | {"card": json.dumps(card | {"client_type": "public"})})
        assert re.findall(r'value="([^"]*)" checked', page.text) == ["links:manage"]
        form = FORM | {"redirect_uris": "javascript:alert(1)"}
        assert ada.post("/links/new/incoming", form).status_code == 422
