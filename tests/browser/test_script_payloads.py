"""The corpus of script payloads in a real browser: stored in a demo, none runs, none asks for anything, all are read."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from peewee import SqliteDatabase, fn
from playwright.sync_api import Dialog, Page, expect

from applinks.models import TABLES, ApplicationLink, Connection, Event, OutgoingLink, State
from tests.browser.application import Application
from tests.corpus.cases import load

PAYLOADS = [case.input for case in load("script_payloads")]
FOREIGN = "main :is(script, iframe, img, object, embed, base, link, meta, style, math, video, plaintext)"
HANDLERS = """() => [...document.querySelectorAll("*")].flatMap(element => [...element.attributes])
    .map(attribute => attribute.name).filter(name => /^on|hx-on/.test(name))"""


@pytest.fixture(scope="module")
def hostile(demo: Application) -> None:
    """A link for every payload, and in the demo's own link a connection for every payload."""
    database = SqliteDatabase(str(demo.data_dir / "applinks.sqlite3"), timeout=10)
    with database.bind_ctx(TABLES), database.atomic():
        pattern = OutgoingLink.get()
        for number, text in enumerate(PAYLOADS):
            add_link(pattern, number, text)
            add_connection(pattern.link_id, f"payload-{number}", text, State.UNREADABLE)
        add_connection(pattern.link_id, "watched", " ".join(PAYLOADS), State.RETRYING)
    database.close()


def add_link(pattern: OutgoingLink, number: int, text: str) -> None:
    id, slug, scope = f"{number:032x}", f"payload-{number}", re.sub(r"\s", "/", text)
    differences = json.loads(pattern.differences) | {"issuer": text, "token_parameters": f"x={scope}"}
    row = {"direction": "outgoing", "created_at": 0, "updated_at": 0}
    ApplicationLink.create(**row, id=id, slug=slug, name=text, name_key=slug)
    OutgoingLink.create(
        link=id,
        provider="custom",
        differences=json.dumps(differences | {"userinfo_endpoint": f"https://login.corp.example/?{text}"}),
        client_id=text,
        client_secret_enc=pattern.client_secret_enc,
        client_secret_set_at=0,
        scopes=scope,
    )
    add_connection(id, text, text, State.UNREADABLE)
    line = (Event.select(fn.MAX(Event.id)).scalar() or 0) + 1
    Event.create(id=line, link_id=id, label=text, what=text, words=text, actor=text, address=text, at=0, mac="")


def add_connection(link_id: str, label: str, text: str, state: State) -> None:
    Connection.create(
        id=f"{link_id}-{label}",
        link=link_id,
        label=label,
        state=state,
        words=text,
        account=text,
        scopes_asked=text,
        scopes_granted=text,
        created_at=0,
    )


@pytest.fixture
def watched(page: Page, hostile: None) -> Iterator[Page]:
    """The context's own watch looks at console and requests; here are dialogs."""
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    yield page
    assert not dialogs


def check(page: Page) -> None:
    assert page.locator(FOREIGN).count() == 0
    assert page.evaluate(HANDLERS) == []


def test_it_lists_every_payload_as_a_name(watched: Page) -> None:
    watched.goto("/audit")
    check(watched)
    watched.goto("/links")
    rows, more = watched.locator("#rows tr:not(.more)"), watched.get_by_role("link", name="Show more")
    while more.count():
        shown_so_far = rows.count()
        more.click()
        expect(rows.nth(shown_so_far)).to_be_attached()
    check(watched)
    names = watched.get_by_role("rowheader").get_by_role("link").all_text_contents()
    shown = {name for name in names if name not in ("Demo client", "Demo provider")}
    # A browser's parser drops null bytes, and makes one character of a line break.
    assert shown == {text.replace("\0", "").replace("\r\n", "\n") for text in PAYLOADS}


def test_it_shows_every_payload_as_an_account_and_keeps_looking(watched: Page, demo: Application) -> None:
    """The fragment that htmx puts in its own place holds them all."""
    demo.sql("UPDATE connection SET next_attempt_at = ? WHERE label = 'watched'", int(time.time()) + 24)
    with watched.expect_response(re.compile("/connections/watched$"), timeout=30_000):
        watched.goto("/links/demo-provider")
        expect(watched.get_by_role("article")).to_have_count(len(PAYLOADS) + 1)
        check(watched)
    expect(watched.locator("#connection-watched .account")).to_contain_text("<script>alert(1)</script>")
    check(watched)
    demo.sql("UPDATE connection SET next_attempt_at = NULL WHERE label = 'watched'")


def test_it_puts_payloads_into_a_form(watched: Page) -> None:
    """Every fifth: a page for each takes its time, and what a browser makes of them all is seen on the list."""
    for number, text in list(enumerate(PAYLOADS))[::5]:
        watched.goto(f"/links/payload-{number}/edit")
        check(watched)
        # In an attribute, the parser replaces null bytes, and a field of one line drops line breaks.
        kept = re.sub(r"[\r\n]", "", text.replace("\0", "\ufffd"))
        assert watched.get_by_label("Client ID").input_value() == kept


def test_it_gives_a_typed_payload_back_as_text(watched: Page, demo: Application) -> None:
    """What htmx asks for while one types comes back with the field's error."""
    watched.goto("/links/payload-0/edit")
    for text in PAYLOADS[-1], '"><script>alert(1)</script>':
        with watched.expect_response(re.compile("/edit/fields$")):
            watched.get_by_label("Token endpoint").fill(text)
        expect(watched.get_by_label("Token endpoint")).to_have_attribute("aria-invalid", "true")
        expect(watched.get_by_label("Token endpoint")).to_have_value(text)
        check(watched)
