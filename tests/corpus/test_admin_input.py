"""What an administrator types into the form of an outgoing link, one field at a time in an otherwise good form.

Nothing is called when a link is saved, so every value goes through the door of one application on a public base URL,
and a few through one on loopback.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from time import process_time

import pytest
from werkzeug.test import TestResponse

from applinks import create_app
from applinks.crypto import KeyRing, new_id
from applinks.models import TABLES, Administrator, ApplicationLink, OutgoingLink, SignInSession, database
from applinks.oauth.guard import Guard
from applinks.services.vault import Vault
from applinks.settings import read_settings
from tests.conftest import CLIENT_SECRET, Clock
from tests.corpus.cases import Case, case_id, load
from tests.visitor import Visitor

BASE_URLS = {"public": "https://applinks.example.com", "loopback": "http://127.0.0.1:5000"}
ADDRESSES = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint", "issuer")
ADVANCED = ("issuer", "iss_required", "revocation_endpoint", "client_authentication", "refresh_client_authentication")
ADVANCED += ("authorization_parameters", "token_parameters", "refresh_parameters", "scope_separator")
ADVANCED += ("scope_on_refresh", "redirect_uri_on_refresh", "form_encoded_answers", "default_life")
COMMON = {
    "name": "Payroll",
    "grant_type": "authorization_code",
    "client_id": "payroll-client",
    "client_secret": CLIENT_SECRET,
    "scopes": "read",
    **dict.fromkeys(ADVANCED, ""),
}
FORMS = {
    "custom": COMMON
    | {
        "provider": "custom",
        "revealed": "custom",
        "authorization_endpoint": "https://auth.example.com/authorize",
        "token_endpoint": "https://auth.example.com/token",
        "userinfo_endpoint": "",
    },
    "google": COMMON | {"provider": "google", "revealed": "google"},
    "microsoft": COMMON | {"provider": "microsoft", "revealed": "microsoft", "tenant": "common"},
}

CASES = load("admin_input")


def base_of(case: Case) -> str:
    return str(case.input.get("base", "public"))


def of_class(expected: str) -> list[Case]:
    """Those of one application side by side, since there is one database a process."""
    return sorted((case for case in CASES if case.expected == expected), key=base_of)


def text_of_value(value: str | list[list[object]]) -> str:
    """A long value is written in pieces: a text, and how many times it stands there."""
    return value if isinstance(value, str) else "".join(str(text) * int(str(times)) for text, times in value)


def form_of(case: Case) -> dict[str, str]:
    """The good form with this case's values put in; None takes a field out."""
    given = case.input.get("fields") or {case.input.get("field", ""): case.input.get("value")}
    form = FORMS[case.input.get("form", "custom")] | {name: given[name] for name in given if name}
    return {name: text_of_value(value) for name, value in form.items() if value is not None}


class Page(HTMLParser):
    """What stands in the fields of a page, what is chosen in its choices, and the error at each field."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.choices: dict[str, list[str]] = {}
        self.chosen: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self._text: list[str] = []
        self._textarea = self._select = self._error = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        name = given.get("name") or given.get("id", "")
        if tag == "input" and given.get("type") == "radio":
            self._offer(name, given, "checked" in given)
        elif tag == "input" and given.get("type") != "checkbox":
            self.fields[name] = given.get("value", "")
        elif tag == "textarea":
            self._textarea, self._text = name, []
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            self._offer(self._select, given, "selected" in given)
        elif given.get("id", "").endswith("-error"):
            self._error, self._text = given["id"].removesuffix("-error"), []

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._textarea:
            # HTML drops the first line break of a textarea, which is why there is one.
            self.fields[self._textarea] = "".join(self._text).removeprefix("\r").removeprefix("\n")
            self._textarea = ""
        elif tag == "select":
            self._select = ""
        elif tag == "p" and self._error:
            self.errors[self._error] = " ".join("".join(self._text).split())
            self._error = ""

    def _offer(self, name: str, given: Mapping[str, str], chosen: bool) -> None:
        choices = self.choices.setdefault(name, [])
        choices.append(given.get("value", ""))
        if chosen or len(choices) == 1:
            self.chosen[name] = given.get("value", "")

    def value(self, name: str) -> str | None:
        """What stands in a field or is chosen, None where the page has no such field."""
        return self.chosen.get(name, self.fields.get(name))

    def lost(self, form: Mapping[str, str]) -> list[str]:
        """The fields that don't hold what was typed into them; a choice that isn't offered can't be shown."""
        offered = {name: text for name, text in form.items() if text in self.choices.get(name, [text])}
        return [name for name, text in offered.items() if text and self.value(name) != text]


@dataclass
class Site:
    """An administrator's browser at a running application, and the names that this one asked the name service for."""

    visitor: Visitor
    csrf_token: str
    vault: Vault
    resolved: list[str]

    def post(self, path: str, form: Mapping[str, str]) -> TestResponse:
        """Send a form; A185: no value keeps the machine busy for a second."""
        begun = process_time()
        response = self.visitor.post(path, dict(form) | {"csrf_token": self.csrf_token}, csrf=False)
        assert process_time() - begun < 1
        # A link without an account connects when it is saved; for all others nothing is called, or even looked up.
        assert self.resolved == [] or form["grant_type"] == "client_credentials"
        self.resolved.clear()
        return response

    def edit_page(self, location: str) -> Page:
        return Page(self.visitor.get(f"{location}/edit").text)

    def delete(self, location: str) -> None:
        assert self.post(f"{location}/delete", {}).status_code == 303

    @contextmanager
    def neighbour(self, name: str | None) -> Iterator[None]:
        """A link of this name beside the one that is saved."""
        location = ""
        if name:
            saved = self.post(f"/links/new/outgoing/{new_id()}", FORMS["google"] | {"name": name})
            location = saved.headers["Location"]
        yield
        if location:
            self.delete(location)


class Sites:
    """Opens the application of one base URL at a time, and keeps it open for as long as it is asked for."""

    def __init__(self, folder: Path, password_hash: str) -> None:
        self._folder, self._password_hash = folder, password_hash
        self._base, self._open = "", ExitStack()

    def at(self, base: str) -> Site:
        if self._base != base:
            self.close()
            self._base, self._site = base, self._open.enter_context(self._opened(base))
        return self._site

    def close(self) -> None:
        self._base = ""
        self._open.close()

    @contextmanager
    def _opened(self, base: str) -> Iterator[Site]:
        resolved: list[str] = []

        def resolve(host: str) -> list[str]:
            resolved.append(host)
            raise OSError("there is no name service in this test")

        data_dir, base_url, clock = self._folder / new_id(), BASE_URLS[base], Clock()
        settings = read_settings({"APPLINKS_DATA_DIR": str(data_dir), "APPLINKS_BASE_URL": base_url})
        guard = Guard(loopback=settings.loopback, resolve=resolve, seconds=0.5)
        app = create_app(settings, clock=clock, guard=guard)
        ada = Administrator.create(
            id=new_id(), username="ada", password_hash=self._password_hash, created_at=int(clock())
        )
        visitor = Visitor(app.test_client(), base_url)
        with visitor.client.session_transaction(base_url=base_url) as session:
            session["id"] = app.extensions["applinks"].sign_in.begin_session(ada)
        vault = Vault(KeyRing.parse(settings.keys_file.read_text("ascii")))
        yield Site(visitor, visitor.csrf_token(), vault, resolved)
        database.close()
        for file in data_dir.glob("applinks.sqlite3*"):
            assert b"CANARY" not in file.read_bytes(), f"a secret stands in {file.name}"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Iterator[Sites]:
    sites = Sites(tmp_path_factory.mktemp("sites"), password_hash)
    yield sites
    sites.close()


@pytest.fixture
def site(request: pytest.FixtureRequest, sites: Sites) -> Iterator[Site]:
    """The application that a test's case is for, without any link."""
    case: Case | None = request.node.callspec.params.get("case") if hasattr(request.node, "callspec") else None
    yield sites.at(base_of(case) if case else "public")
    ApplicationLink.delete().execute()


def stored_rows() -> dict[str, list[tuple[object, ...]]]:
    """All that is stored but browser sessions."""
    tables = [table._meta.table_name for table in TABLES if table is not SignInSession]
    return {table: database.execute_sql(f'SELECT * FROM "{table}"').fetchall() for table in tables}


@pytest.fixture
def path() -> str:
    return f"/links/new/outgoing/{new_id()}"


def test_it_has_the_cases_it_promises() -> None:
    assert len(CASES) >= 170
    assert {case.expected for case in CASES} == {"accepted", "refused", "revealed"}


@pytest.mark.parametrize("case", of_class("refused"), ids=case_id)
def test_it_refuses_at_the_field_and_loses_nothing(site: Site, case: Case, path: str) -> None:
    """A028, A077, A079, A178, A180, A185: the message stands at that field and at no other."""
    form = form_of(case)
    with site.neighbour(case.input.get("beside")):
        before = stored_rows()
        response = site.post(path, form)
        assert stored_rows() == before, case.why
    assert response.status_code == case.details.get("status", 422), case.why
    if response.status_code == 422:
        page, field = Page(response.text), case.details.get("at") or case.input["field"]
        assert list(page.errors) == [field], case.why
        assert case.details.get("says", "") in page.errors[field]
        assert page.lost({name: form[name] for name in form if name not in hidden_by(field)}) == [], case.why
        assert page.value("client_secret") in ("", None)


def hidden_by(field: str) -> set[str]:
    """What doesn't come back with an error at this field: secrets never do, and without a provider no step is shown."""
    always = {"client_secret", "revealed"}
    return always | {"grant_type", *ADDRESSES} if field == "provider" else always


@pytest.mark.parametrize("case", of_class("accepted"), ids=case_id)
def test_it_stores_what_was_typed_and_no_more(site: Site, case: Case, path: str) -> None:
    """A029, A178, A179, A180: in its normal form, and nothing that the form doesn't ask for."""
    form = form_of(case)
    with site.neighbour(case.input.get("beside")):
        before = stored_rows()
        response = site.post(path, form)
        assert response.status_code == 303, (case.why, Page(response.text).errors)
        location = response.headers["Location"]
        link = ApplicationLink.get(ApplicationLink.id == path[-32:])
        assert (link.direction, link.version, f"/links/{link.slug}") == ("outgoing", 1, location)
        assert (link.created_at, link.updated_at) == (1_800_000_000, 1_800_000_000)
        stored = {name: text_of_value(value) for name, value in case.details.get("stored", {}).items()}
        secret = stored.pop("client_secret", form["client_secret"])
        assert site.vault.client_secret(OutgoingLink.get(OutgoingLink.link == link.id)) == secret, case.why
        page = site.edit_page(location)
        assert {name: page.value(name) for name in stored} == stored, case.why
        site.delete(location)
        after = stored_rows()
        log = after.pop("event"), before.pop("event")
        written = [line[6] for line in log[0][len(log[1]) :]]
        assert (written[0], written[-1]) == ("created", "deleted")
        assert after.pop("instance") != before.pop("instance")  # which holds the log's end
        assert after == before


@pytest.mark.parametrize("case", of_class("revealed"), ids=case_id)
def test_it_shows_more_before_it_judges(site: Site, case: Case, path: str) -> None:
    before, form = stored_rows(), form_of(case)
    response = site.post(path, form)
    page = Page(response.text)
    assert response.status_code == 200, case.why
    assert page.errors == {}
    assert page.fields["name"] == "Payroll"
    assert stored_rows() == before


# One of each family: an ID begins with its family's name.
SAME_RULE = {
    case.id.split("-")[1]: case
    for case in of_class("refused")
    if case.id.startswith("url-") and base_of(case) == "public" and text_of_value(case.input["value"]).strip()
}


@pytest.mark.parametrize("case", SAME_RULE.values(), ids=case_id)
def test_it_reads_every_address_by_the_same_rule(site: Site, case: Case, path: str) -> None:
    """What is no address in one field is none in any other."""
    form = FORMS["custom"] | dict.fromkeys(ADDRESSES, text_of_value(case.input["value"]))
    response = site.post(path, form)
    assert response.status_code == 422
    assert set(Page(response.text).errors) == set(ADDRESSES), case.why
    assert not ApplicationLink.select().exists()
    fields = site.visitor.htmx("POST", f"{path}/fields", form)
    assert fields.status_code == 200
    assert set(Page(fields.text).errors) == set(ADDRESSES)


@pytest.mark.parametrize("field", ["id", "slug", "link_id", "generation", "direction", "client_secret_enc", "name_key"])
def test_it_changes_nothing_but_its_fields_when_editing(site: Site, path: str, field: str) -> None:
    """A179"""
    location = site.post(path, FORMS["custom"]).headers["Location"]
    before, link = stored_rows(), ApplicationLink.select().dicts().get()
    saved = site.post(f"{location}/edit", FORMS["custom"] | {"client_secret": "", "version": "1", field: "incoming"})
    assert saved.headers["Location"] == location
    assert ApplicationLink.select().dicts().get() == link | {"version": 2}
    assert stored_rows()["outgoing_link"] == before["outgoing_link"]
    site.delete(location)


def test_it_changes_nothing_when_an_edit_is_refused(site: Site, path: str) -> None:
    location = site.post(path, FORMS["custom"]).headers["Location"]
    before = stored_rows()
    form = FORMS["custom"] | {"client_secret": "", "version": "1", "name": "Wages"}
    for wrong in ({"token_endpoint": "https://10.0.0.1/"}, {"issuer": "x"}, {"default_life": "1"}, {"scopes": '"'}):
        assert site.post(f"{location}/edit", form | wrong).status_code == 422
        assert stored_rows() == before
    site.delete(location)
