"""The *Deadlines* page, and its calendar."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from icalendar import Calendar

from applinks.models import Administrator, ApplicationLink, OutgoingLink
from applinks.providers import CATALOGUE
from tests.conftest import Clock
from tests.visitor import Visitor, text_of

DAY = 86_400


@pytest.fixture
def ends_soon(link_id: str, clock: Clock) -> int:
    """When the client secret of `payroll` ends."""
    at = (int(clock()) // DAY + 12) * DAY
    OutgoingLink.update(client_secret_ends_at=at, certificate_ends_at=at + 40 * DAY).execute()
    return at


def test_it_names_what_ends_and_what_to_do_the_first_one_first(ada: Visitor, ends_soon: int) -> None:
    page = text_of(ada.get("/deadlines"))
    assert page.index("The client secret") < page.index("The provider's certificate")
    for words in ("Payroll", "ends in 12 days", "Make a new client secret at the provider"):
        assert words in page


def test_it_names_the_connection_whose_consent_ends(ada: Visitor, connect: Callable[..., None], clock: Clock) -> None:
    connect()
    connect("sales-team")
    lives = {provider.key: provider.consent_life for provider in CATALOGUE.values() if provider.consent_life}
    key, life = next(iter(lives.items()))
    OutgoingLink.update(provider=key).execute()
    page = text_of(ada.get("/deadlines"))
    assert "The consent of sales-team" in page
    assert page.count(f"ends in {life // DAY} days") == 2
    ada.post("/links/payroll/connections/sales-team/disconnect")
    assert "The consent of sales-team" not in text_of(ada.get("/deadlines"))


def test_it_says_that_nothing_ends(ada: Visitor) -> None:
    assert "Nothing that Applinks knows of ends." in text_of(ada.get("/deadlines"))


def test_its_calendar_can_be_read_by_others(ada: Visitor, ends_soon: int) -> None:
    """RFC 5545, by a library for it."""
    ApplicationLink.update(name="Größe; A, B \\ C " + "ü" * 60).execute()
    answer = ada.get("/deadlines.ics")
    assert answer.content_type == "text/calendar; charset=utf-8"
    assert all(len(line) <= 75 for line in answer.data.split(b"\r\n"))
    assert b"\n" not in answer.data.replace(b"\r\n", b"")
    first, second = Calendar.from_ical(answer.data).walk("VEVENT")
    assert first["SUMMARY"] == "Größe; A, B \\ C " + "ü" * 60 + ": The client secret ends"
    assert first["DTSTART"].dt == datetime.fromtimestamp(ends_soon, UTC).date()
    assert first["URL"] == "http://127.0.0.1:5000/links/payroll"
    assert first["UID"] != second["UID"]
    assert first["UID"] == Calendar.from_ical(ada.get("/deadlines.ics").data).walk("VEVENT")[0]["UID"]


def address(visitor: Visitor) -> str:
    page = visitor.post("/deadlines")
    assert page.status_code == 201
    return page.text.partition("/deadlines/")[2].partition(".ics")[0]


def test_its_private_address_needs_no_session(ada: Visitor, stranger: Visitor, ends_soon: int) -> None:
    token = address(ada)
    assert len(token) == 43
    feed = stranger.get(f"/deadlines/{token}.ics")
    assert feed.status_code == 200
    assert feed.headers["Referrer-Policy"] == "no-referrer"
    assert "private" in feed.headers["Cache-Control"]
    assert b"Payroll" in feed.data
    assert token not in text_of(ada.get("/deadlines"))


@pytest.mark.parametrize("wrong", ["x", "", "0" * 43, "..%2fsettings"])
def test_it_shows_nothing_at_another_address(ada: Visitor, stranger: Visitor, ends_soon: int, wrong: str) -> None:
    address(ada)
    assert stranger.get(f"/deadlines/{wrong}.ics").status_code == 404
    assert stranger.get("/deadlines.ics").status_code == 303


def test_an_address_ends_with_its_successor_and_with_its_owner(
    ada: Visitor, sign_in_as: Callable[[str], Visitor], stranger: Visitor, ends_soon: int, clock: Clock
) -> None:
    bob = sign_in_as("bob")
    first, bobs = address(ada), address(bob)
    second = address(ada)
    assert [stranger.get(f"/deadlines/{token}.ics").status_code for token in (first, second, bobs)] == [404, 200, 200]
    Administrator.update(disabled_at=int(clock())).where(Administrator.username == "bob").execute()
    assert stranger.get(f"/deadlines/{bobs}.ics").status_code == 404
