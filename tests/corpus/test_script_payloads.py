"""Stored text stays text: every payload in every field that stores one, on every page that shows one."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from peewee import fn
from werkzeug.test import TestResponse

from applinks import create_app
from applinks.crypto import digest, new_id
from applinks.models import (
    TABLES,
    Administrator,
    ApplicationLink,
    Connection,
    Event,
    IncomingLink,
    OutgoingLink,
    SignInSession,
    State,
    database,
)
from applinks.providers import CATALOGUE
from applinks.settings import read_settings
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, Clock
from tests.corpus.cases import Case, case_id, load
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor

# What the pages are compared with. No label, no tenant, and changed where it is part of a URL: counted as text alone.
HARMLESS = "harmless|word"
AUTHORIZE = "https://login.corp.example/authorize"
REPORTS = "https://reports.example/callback"
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
HEADER = re.compile(r"[\x20-\x7e\xa0-\xff]+")
# Pages that show what a provider has just said: what RFC 6749 5.2 doesn't allow there was dropped before it was stored.
SPOKEN = ("not connected", "no token", "connected", "named itself", "refused by itself", "not refreshed", "not revoked")
WORDS = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]([\x20\x21\x23-\x5b\x5d-\x7e]*[\x21\x23-\x5b\x5d-\x7e])?")
# Where a text is shown whole only if it is like this: a provider's words, and fields that are split and quoted in part.
WHOLE_IN = dict.fromkeys(SPOKEN, WORDS) | {"new incoming": re.compile(r"[^\s,]{1,60}"), "no consent": WORDS}
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
ADDRESSES = ("href", "src", "action", "formaction", "data", "poster", "srcset", "srcdoc", "background", "ping")
MICROSOFT = "https://login.microsoftonline.com/"
CONSOLES = tuple(
    url for provider in CATALOGUE.values() for url in (provider.console_url, provider.documentation_url) if url
)
KNOWN = ("/", "#", f"{AUTHORIZE}?", f"{REPORTS}?", MICROSOFT, *CONSOLES)
# An error tells what was typed wrong: which fields those are depends on the payload, so they are left out.
OF_ERRORS = {
    (tag, name) for tag in ("input", "select", "textarea", "fieldset") for name in ("aria-invalid", "aria-describedby")
}
OF_ERRORS |= {("details", "open")}


CARD = ("name", "redirect_uri", "authorization_endpoint", "token_endpoint", "issuer", "client_id", "scopes")


class Shape(HTMLParser):
    """A page's elements with the names of their attributes, its text, and where its addresses lead."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self._error_depth = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.texts += values.values()
        self.addresses += [values[name] for name in ADDRESSES if name in values]
        self.addresses += [
            value for name, value in values.items() if re.search(r"hx-(get|post|put|patch|delete)", name)
        ]
        if tag == "meta" and values.get("http-equiv"):
            assert values["content"].startswith("0; url=")
            self.addresses.append(values["content"].removeprefix("0; url="))
        if self._error_depth or values.get("class") == "wrong" or values.get("id") == "summary":
            self._error_depth += tag not in VOID
        else:
            self.elements.append((tag, *(name for name, _ in attrs if (tag, name) not in OF_ERRORS)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._error_depth and tag not in VOID:
            self._error_depth -= 1
        elif not self._error_depth:
            self.elements.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("!", data))

    def unknown_decl(self, data: str) -> None:
        self.elements.append(("![", data))

    def handle_pi(self, data: str) -> None:
        self.elements.append(("?", data))

    def count(self, text: str) -> int:
        return sum(part.count(text) for part in self.texts)


class Scene:
    """One application, its provider and links of every kind; a tour puts a text into every field."""

    def __init__(self, folder: Path, password_hash: str) -> None:
        self.clock = Clock()
        self.settings = read_settings({"APPLINKS_DATA_DIR": str(folder)})
        self.app = create_app(self.settings, clock=self.clock)
        self.services: Services = self.app.extensions["applinks"]
        self.provider = StandIn()
        self.provider.start()
        ada = Administrator.create(id=new_id(), username="ada", password_hash=password_hash, created_at=0)
        self.ada = Visitor(self.app.test_client(), self.settings.base_url)
        with self.ada.client.session_transaction(base_url=self.settings.base_url) as session:
            session["id"] = self.services.sign_in.begin_session(ada)
        database.execute_sql("PRAGMA synchronous = OFF")  # no power cut is tested here
        self._token = {"csrf_token": self.ada.csrf_token()}
        self.links = {name: self._make_link(name) for name in ("payroll", "raw", "odd")}
        self.links["tenant"] = self._make_link("tenant", provider="microsoft", revealed="microsoft", tenant="common")
        self.links["machine"] = self._make_link("machine", grant_type="client_credentials")
        for name in ("reports", "consent"):
            self.links[name] = self.services.incoming.add(
                name.capitalize(),
                client_id=name,
                client_secret_digest=digest("CANARY-reports"),
                redirect_uris=f"{REPORTS}?x=1",
                scopes="profile",
                life=120,
            ).id
        self._rows = [(table, list(table.select().dicts())) for table in TABLES]

    def stop(self) -> None:
        self.provider.stop()
        database.close()

    def reset(self) -> None:
        with database.atomic():
            for table in reversed(TABLES):
                table.delete().execute()
            for table, stored in self._rows:
                if stored:
                    table.insert_many(stored).execute()
        self.provider.answers.clear()
        self.provider.userinfo = {"sub": "1"}
        self.ada.get("/settings")  # takes what is left to be said

    def form(self, name: str, /, **more: str) -> dict[str, str]:
        return {
            "name": name.capitalize(),
            "provider": "custom",
            "revealed": "custom",
            "grant_type": "authorization_code",
            "authorization_endpoint": AUTHORIZE,
            "token_endpoint": f"{self.provider.base_url}/token",
            "userinfo_endpoint": f"{self.provider.base_url}/userinfo",
            "client_id": f"{name}-client",
            "client_secret": CLIENT_SECRET,
            "client_authentication": "client_secret_basic",
            "scopes": "read",
        } | more

    def _make_link(self, name: str, /, **more: str) -> str:
        link_id = new_id()
        saved = self.post(f"/links/new/outgoing/{link_id}", self.form(name, **more))
        assert saved.status_code == 303, saved.text
        return link_id

    def hostile_form(self, text: str) -> dict[str, str]:
        """Every field that stores text, with it; endpoints have it where their grammar lets it be."""
        own = self.form("payroll")
        query = f"?x={quote(text, safe='')}"
        return own | {
            "version": "1",
            "name": text,
            "authorization_endpoint": own["authorization_endpoint"] + query,
            "token_endpoint": own["token_endpoint"] + query,
            "userinfo_endpoint": own["userinfo_endpoint"] + query,
            "client_id": text,
            "scopes": in_one_piece(text),
            "issuer": f"https://login.corp.example/{quote(text, safe='')}",
            "revocation_endpoint": f"{self.provider.base_url}/revoke{query}",
            "authorization_parameters": f"x={text}",
            "token_parameters": f"x={text}",
            "refresh_parameters": f"x={text}",
        }

    def edit_by_form(self, text: str) -> Iterator[tuple[str, TestResponse]]:
        """Save the hostile form; fields that it refuses get a harmless text and are written behind its back later."""
        form = self.hostile_form(text)
        answer = self.post("/links/payroll/edit", form | {"tenant": text, "authorization_endpoint": text})
        yield "the form with errors", answer
        for _ in range(3):
            answer = self.post("/links/payroll/edit", form)
            refused = set(re.findall(r'id="([a-z_]+)-error"', answer.text))
            form |= {name: self.form("payroll").get(name, "") for name in refused}
            if answer.status_code == 303:
                return
        raise AssertionError(answer.text)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> TestResponse:
        headers = {"Origin": self.settings.base_url} | {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ada.post(path, self._token | (form or {}), csrf=False, headers=headers)

    def begin(self, slug: str = "payroll") -> TestResponse:
        return self.post(f"/links/{slug}/connect")

    def come_back(self, slug: str = "payroll", **instead: str) -> TestResponse:
        query = self.provider.consent(self.ada.continue_url(self.begin(slug)), **instead)
        return self.ada.get(f"/oauth/callback/{self.links[slug]}", query_string=query)

    def listen(self, text: str) -> Iterator[tuple[str, TestResponse]]:
        """What a provider says, wherever it is asked: at the callback, for tokens, for an account, for the end of one."""
        refusal = json_answer({"error": "invalid_grant", "error_description": text}, 400)
        granted = self.provider.grant() | {"scope": in_one_piece(text)}
        if not SCOPE.fullmatch(in_one_piece(text)):
            del granted["scope"]
        yield "not connected", self.come_back(error="invalid_scope", error_description=text)
        self.provider.answer(refusal)
        yield "no token", self.come_back()
        self.provider.userinfo = {"email": text if text.isprintable() else HARMLESS}
        self.provider.answer(json_answer(granted))
        yield "connected", self.after(self.come_back())
        yield "named itself", self.after(self.come_back("odd", iss=text), "odd")
        self.provider.answer(refusal, refusal, json_answer({"error": text}, 400))
        yield "refused by itself", self.after(self.begin("machine"), "machine")
        yield "not refreshed", self.after(self.post("/links/payroll/connections/default/refresh"))
        yield "not revoked", self.after(self.post("/links/payroll/connections/default/disconnect"))
        assert not self.provider.answers

    def after(self, answer: TestResponse, slug: str = "payroll") -> TestResponse:
        """The page that a redirect leads to, which says what was done."""
        assert answer.headers.get("Location") == f"/links/{slug}", answer.text
        return self.ada.get(f"/links/{slug}")

    def write(self, text: str) -> None:
        """What no form accepts stands in the tables all the same: in a restored database, say."""
        whole, now = in_one_piece(text), int(self.clock())
        addresses = {f"{name}_endpoint": f"{AUTHORIZE}?{text}" for name in ("authorization", "token", "userinfo")}
        parameters = {f"{name}_parameters": f"x={whole}" for name in ("authorization", "token", "refresh")}
        everywhere = addresses | parameters | {"issuer": text, "revocation_endpoint": f"{AUTHORIZE}?{text}"}
        accepted = json.loads(OutgoingLink.get(OutgoingLink.link == self.links["payroll"]).differences)
        said = {"words": text, "scopes_asked": whole, "scopes_granted": whole}

        ApplicationLink.update(name=text, name_key=ApplicationLink.slug).execute()  # listed in the same order
        self._change("payroll", client_id=text, scopes=whole, differences=json.dumps(accepted | parameters))
        self._change("raw", client_id=text, scopes=whole, differences=json.dumps(everywhere))
        self._change("tenant", differences=json.dumps({"tenant": text}))
        self._change("odd", provider=text)
        self._change("reports", IncomingLink, client_id=text, redirect_uris=f"{whole}\n{whole}", scopes=whole)
        redirect_uri = f"{REPORTS}?x={quote(text, safe='')}"
        self._change("consent", IncomingLink, redirect_uris=redirect_uri, scopes=whole)
        Connection.update(said | {"account": text}).execute()
        row = said | {"link": self.links["raw"], "expires_at": now + 60, "next_attempt_at": now + 30}
        Connection.create(**row, id=new_id(), label=text, state=State.UNREADABLE, created_at=0)
        Connection.create(**row, id=new_id(), label="default", state=State.RETRYING, account=text, created_at=1)
        Event.update(words=text).where(Event.words != "").execute()
        number = Event.select(fn.MAX(Event.id)).scalar()
        for name in ("raw", "reports"):
            number += 1
            said = {"label": text, "what": text, "words": text, "actor": text, "address": text, "mac": ""}
            Event.create(id=number, link_id=self.links[name], at=0, **said)
        Administrator.update(username=text).execute()

    def _change(self, name: str, table: Any = OutgoingLink, **columns: str) -> None:
        table.update(columns).where(table.link == self.links[name]).execute()

    def pages(self, text: str) -> Iterator[tuple[str, TestResponse]]:
        """Every page and fragment that shows what is stored."""
        yield "list", self.ada.get("/links")
        for slug in ("payroll", "raw", "tenant", "odd", "reports"):
            yield slug, self.ada.get(f"/links/{slug}")
        for slug in ("raw", "reports"):
            yield f"{slug}: delete", self.ada.get(f"/links/{slug}/delete")
        for slug in ("payroll", "raw", "tenant"):
            yield f"{slug}: edit", self.ada.get(f"/links/{slug}/edit")
            answer = self.begin(slug)
            yield f"connect {answer.status_code}", answer
        yield "connection", self.ada.htmx("GET", "/links/raw/connections/default")
        yield "remove", self.ada.get("/links/raw/connections/default/remove")
        if "/" not in text:
            # A label that could stand in a path of one segment.
            label = quote(text, safe="")
            yield "connection by its label", self.ada.htmx("GET", f"/links/raw/connections/{label}")
            yield "remove by its label", self.ada.get(f"/links/raw/connections/{label}/remove")
        for page in ("edit", "secret", "revoke"):
            yield f"reports: {page}", self.ada.get(f"/links/reports/{page}")
        yield "settings", self.ada.get("/settings")
        yield from self.sent(text)

    def sent(self, text: str) -> Iterator[tuple[str, TestResponse]]:
        """Pages that show what was sent a moment ago."""
        fields = self.hostile_form(text) | {"tenant": text, "token_endpoint": text}
        new = f"/links/new/outgoing/{'0' * 32}"
        yield "another account", self.post("/links/raw/connect-another", {"label": text})
        yield "edit fields", self.post("/links/raw/edit/fields", fields, HX_Request="true")
        yield "new", self.post(new, fields, HX_Request="true")
        yield "new fields", self.post(f"{new}/fields", fields | {"provider": "microsoft"}, HX_Request="true")
        draft = {"path": "/links/raw/edit", "fields": {name: fields[name] for name in fields if "secret" not in name}}
        SignInSession.update(draft=json.dumps(draft)).execute()
        draft_page = self.ada.get("/links/raw/edit")
        if "".join(text.split()).isprintable():
            yield "draft", draft_page
        lives = {"access_token_life": "60", "refresh_idle_life": "30", "refresh_life": "90"}
        incoming = {"name": text, "redirect_uris": text, "other_links": text, "scopes": "tokens:read"}
        yield "new incoming", self.post("/links/new/incoming", incoming | lives)
        card = json.dumps({"applinks_link_card": 1} | dict.fromkeys(CARD, text))
        if text.isprintable():  # nothing else is taken from a card
            yield "card of incoming", self.post("/links/new/incoming", {"card": card, "paste": "card"})
            yield "card of outgoing", self.post(f"{new}/card", {"card": card}, HX_Request="true")
        yield "nowhere", self.ada.get(f"/{quote(text)}")
        if HEADER.fullmatch(text):
            # It shows the host that was asked for, and the origin of a form that came from elsewhere.
            yield "another host", self.ada.get("/links", headers={"Host": text})
            yield "another origin", self.post("/links/raw/delete", Origin=text)
        stranger = Visitor(self.app.test_client(), self.settings.base_url)
        yield "interrupted", stranger.post("/links/raw/edit", fields)
        yield "next", stranger.get("/sign-in", query_string={"next": text})
        setup = f"/setup/{self.services.sign_in.new_setup_code()}"
        yield "set up", stranger.post(setup, {"username": text, "password": "short"})
        yield from self.consent(text)

    def consent(self, text: str) -> Iterator[tuple[str, TestResponse]]:
        """An external application asks for consent; its request is hostile, too."""
        asked = {
            "response_type": "code",
            "client_id": "consent",
            "redirect_uri": f"{REPORTS}?x={quote(text, safe='')}",
            "scope": in_one_piece(text),
            "state": text,
            "code_challenge": "a" * 43,
            "code_challenge_method": "S256",
        }
        page = self.ada.get("/oauth/authorize?" + urlencode(asked))
        yield "consent", page
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert ticket, page.text
        yield "allowed", self.post("/oauth/authorize", {"ticket": ticket[1], "decision": "allow"})
        yield "consents", self.ada.get("/authorized-applications")
        yield "consents of a link", self.ada.get("/links/consent")
        given = self.services.consents.of_link(self.links["consent"])[0].consent.id
        yield "revoke", self.ada.get(f"/links/consent/consents/{given}/revoke")
        yield "no consent", self.ada.get("/oauth/authorize?" + urlencode(asked | {"redirect_uri": text}))

    def tour(self, text: str) -> Iterator[tuple[str, TestResponse]]:
        self.reset()
        yield from self.edit_by_form(text)
        yield from self.listen(text)
        self.write(text)
        yield from self.pages(text)


def in_one_piece(text: str) -> str:
    """The text as one scope: a slash separates the parts of a tag as a blank does."""
    return re.sub(r"\s", "/", text)


def spellings(text: str) -> set[str]:
    """The text, in one piece, and both as they stand in JSON."""
    plain = {text, in_one_piece(text)}
    return plain | {json.dumps(spelling)[1:-1] for spelling in plain}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Iterator[Scene]:
    scene = Scene(tmp_path_factory.mktemp("payloads") / "data", password_hash)
    yield scene
    scene.stop()


@pytest.fixture(scope="module")
def harmless(scene: Scene) -> dict[str, Shape]:
    return {name: Shape(answer.text) for name, answer in scene.tour(HARMLESS)}


@pytest.mark.parametrize("case", load("script_payloads"), ids=case_id)
def test_it_shows_a_payload_as_text(scene: Scene, harmless: dict[str, Shape], case: Case) -> None:
    text = case.input
    for name, answer in scene.tour(text):
        shape, expected = Shape(answer.text), harmless[name]
        assert answer.content_type == "text/html; charset=utf-8", name
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"], name
        assert shape.elements == expected.elements, name
        wrong = [
            address for address in shape.addresses if not address.startswith(KNOWN) or re.match(r"/[/\\]", address)
        ]
        assert not wrong, name
        # Whole, as often as the harmless word, and never as markup.
        if WHOLE_IN.get(name, re.compile(".*", re.DOTALL)).fullmatch(text):
            seen = sum(map(shape.count, spellings(text)))
            assert seen >= expected.count(HARMLESS), name
        assert not re.search("[<>\"'&]", text) or text not in answer.text, name
        for evaluated in case.details.get("never", []):
            assert evaluated not in answer.text, name
