"""What ends: noted, warned of within thirty days, and counted where a person is needed."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from applinks.crypto import new_id
from applinks.models import Connection, OutgoingLink, State
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, Clock
from tests.visitor import Visitor, text_of

DAY = 86_400


def day(clock: Clock, left: int) -> str:
    return datetime.fromtimestamp(clock() + left * DAY, UTC).strftime("%Y-%m-%d")


@pytest.fixture
def save(ada: Visitor, link_form: dict[str, str], link_id: str) -> Callable[..., int]:
    """Edit the link; returns the status."""

    def edit(**fields: str) -> int:
        version = re.search(r'name="version" value="(\d+)"', ada.get("/links/payroll/edit").text)
        assert version
        form = link_form | {"client_secret": "", "version": version[1]} | fields
        return ada.post("/links/payroll/edit", form).status_code

    return edit


def test_it_notes_when_a_secret_ends(ada: Visitor, save: Callable[..., int]) -> None:
    assert save(client_secret_ends="2027-06-30") == 303
    assert "ends on 30 Jun 2027" in text_of(ada.get("/links/payroll"))
    assert 'value="2027-06-30"' in ada.get("/links/payroll/edit").text
    assert save(client_secret_ends="") == 303
    assert OutgoingLink.get().client_secret_ends_at is None


@pytest.mark.parametrize(
    "text", ["tomorrow", "30.6.2027", "2027-13-01", "2027-02-30", "1999-12-31", "2100-01-01", "2027-6-31", "x" * 5000]
)
def test_it_notes_nothing_that_is_no_day(ada: Visitor, save: Callable[..., int], text: str) -> None:
    assert save(client_secret_ends=text) == 422
    assert OutgoingLink.get().client_secret_ends_at is None


@pytest.mark.parametrize(
    ("left", "words"),
    [(31, ""), (30, "ends in 30 days"), (1, "ends tomorrow"), (0, "ends today"), (-1, "has ended")],
)
def test_it_warns_of_a_secret_within_thirty_days(
    ada: Visitor, save: Callable[..., int], clock: Clock, left: int, words: str
) -> None:
    save(client_secret_ends=day(clock, left))
    for path in ("/links", "/links/payroll"):
        page = text_of(ada.get(path))
        assert (f"The client secret {words}" in page) if words else ("The client secret ends in" not in page)


def test_it_warns_of_a_certificate_and_forgets_that_of_another(
    ada: Visitor, save: Callable[..., int], clock: Clock
) -> None:
    OutgoingLink.update(certificate_ends_at=int(clock()) + 3 * DAY).execute()
    assert "provider's certificate, as last seen, ends in 3 days" in text_of(ada.get("/links"))
    save(client_id="another", client_secret=CLIENT_SECRET)
    assert "certificate" not in text_of(ada.get("/links"))


def test_it_claims_no_end_of_a_certificate_that_may_have_been_renewed(ada: Visitor, link_id: str, clock: Clock) -> None:
    OutgoingLink.update(certificate_ends_at=int(clock()) - 1).execute()
    assert "certificate" not in text_of(ada.get("/links"))


def test_it_warns_of_a_consent_that_no_refresh_prolongs(
    ada: Visitor, connect: Callable[..., None], clock: Clock
) -> None:
    connect()
    OutgoingLink.update(provider="spotify", differences="{}").execute()
    Connection.update(connected_at=int(clock()) - 170 * DAY).execute()
    page = text_of(ada.get("/links/payroll"))
    assert "The consent ends in 12 days. Choose Reconnect before then" in page
    Connection.update(state=State.DISCONNECTED).execute()
    assert "The consent ends" not in text_of(ada.get("/links"))


@pytest.mark.parametrize(
    ("state", "needs"),
    [(State.RECONNECT_NEEDED, True), (State.CHECK_SETTINGS, True), (State.UNREADABLE, True), (State.RETRYING, False)]
    + [(State.CONNECTED, False), (State.DISCONNECTED, False), (State.EXPIRING, False)],
)
def test_it_counts_what_needs_a_person(
    ada: Visitor, connect: Callable[..., None], services: Services, state: State, needs: bool
) -> None:
    connect("default")
    connect("second")
    Connection.update(state=state).execute()
    assert services.links.need_a_person() == (1 if needs else 0)
    for path in ("/links", "/settings"):
        assert ("1 needs you" in text_of(ada.get(path))) == needs


class TestFilter:
    @pytest.fixture
    def names(self, ada: Visitor, link_form: dict[str, str], connect: Callable[..., None]) -> None:
        """Payroll is connected, Wiki never was, Mail needs a person."""
        connect()
        for name in ("Wiki", "Mail"):
            form = link_form | {"name": name}
            assert ada.post(f"/links/new/outgoing/{new_id()}", form).status_code == 303
        mail = OutgoingLink.select().order_by(OutgoingLink.client_secret_set_at).objects()
        assert mail.count() == 3
        link = next(row.link_id for row in mail if row.link.name == "Mail")
        now = {"id": new_id(), "link": link, "label": "default", "created_at": 1}
        Connection.create(**now, state=State.RECONNECT_NEEDED)

    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("", {"Payroll", "Wiki", "Mail"}),
            ("state=needs_you", {"Mail"}),
            ("state=reconnect_needed", {"Mail"}),
            ("state=connected", {"Payroll"}),
            ("state=disconnected", {"Wiki"}),
            ("state=retrying", set()),
            ("state=nonsense", {"Payroll", "Wiki", "Mail"}),
            ("state=needs_you&q=pay", set()),
            ("state=connected&q=pay", {"Payroll"}),
        ],
    )
    def test_it_shows_those_that_are_in_a_state(self, ada: Visitor, names: None, query: str, shown: set[str]) -> None:
        page = ada.get(f"/links?{query}").text
        assert set(re.findall(r'<th scope="row"[^>]*><a href="[^"]+">([^<]+)</a>', page)) == shown
        rows = ada.get(f"/links?{query}", headers={"HX-Request": "true"}).text
        assert set(re.findall(r'<th scope="row"[^>]*><a href="[^"]+">([^<]+)</a>', rows)) == shown
