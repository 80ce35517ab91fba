"""The audit log: one line for everything that happens, found again, and handed out whole."""

import json
from collections.abc import Callable

import pytest

from applinks.models import ActorKind, ApplicationLink, Event, SignInSession
from applinks.services.counts import Counted
from applinks.services.events import PAGE, WHAT, Actor, Events
from applinks.wiring import Services
from tests.conftest import ADA, PASSWORD, Clock
from tests.standin import StandIn, raw_answer
from tests.visitor import Visitor, text_of

Connect = Callable[..., None]


def lines(services: Services) -> list[tuple[str, str, str, str, str]]:
    """Who (and how), from where, what, to which link, in what words; the newest last."""
    services.counts.flush()
    rows = Event.select().order_by(Event.id)
    return [(f"{row.actor} {row.actor_kind}", row.address, row.what, row.slug, row.words) for row in rows]


def test_it_writes_down_who_signs_in_and_out(
    stranger: Visitor, services: Services, make_administrator: Callable[[str], object]
) -> None:
    """A171"""
    make_administrator("ada")
    stranger.sign_in("ada", "CANARY wrong password")
    stranger.sign_in("typed into the wrong field", PASSWORD)
    stranger.sign_in("ada", PASSWORD)
    stranger.post("/sign-out")
    ada = "ada administrator", "127.0.0.1"
    assert sorted(lines(services)) == sorted(
        [
            ("ada stranger", "127.0.0.1", "sign-in failed", "", "wrong password"),
            (" stranger", "127.0.0.1", "sign-in failed", "", "unknown user name"),
            (*ada, "signed in", "", ""),
            (*ada, "signed out", "", ""),
        ]
    )


def test_it_writes_down_what_becomes_of_a_link(
    ada: Visitor, connect: Connect, services: Services, provider: StandIn, clock: Clock, link_form: dict[str, str]
) -> None:
    """A171"""
    connect()
    provider.answer(raw_answer("", 503))
    clock.advance(3500)
    services.refresher.begin_due()
    assert services.refresher.finish()
    clock.advance(60)
    services.refresher.begin_due()
    assert services.refresher.finish()
    ada.post("/links/payroll/edit", link_form | {"name": "Books", "version": "1", "client_secret": ""})
    ada.post("/links/payroll/connections/default/disconnect")
    ada.post("/links/payroll/connections/default/remove")
    ada.post("/links/payroll/delete")
    ours = [(who, what) for who, _, what, slug, _ in lines(services) if slug == "payroll"]
    by_ada = "ada administrator"
    assert ours == [
        *((by_ada, "created"), (by_ada, "connect begun"), (by_ada, "connected")),
        *((" ", "refresh failed"), (" ", "refreshed")),
        *((by_ada, "changed"), (by_ada, "disconnected"), (by_ada, "removed"), (by_ada, "deleted")),
    ]
    assert services.events.verify().problems == ()
    assert {what for _, what in ours} <= set(WHAT)


def test_it_writes_down_a_refusal_at_the_provider(
    ada: Visitor, services: Services, provider: StandIn, link_id: str
) -> None:
    url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
    back = provider.consent(url)
    ada.get(f"/oauth/callback/{link_id}", query_string={"state": back["state"], "error": "access_denied"})
    assert lines(services)[-1][2:] == ("not connected", "payroll", "access_denied")


def test_it_writes_down_settings(ada: Visitor, services: Services) -> None:
    ada.post("/settings/appearance", {"appearance": "dark"})
    new = {"current_password": PASSWORD, "password": f"{PASSWORD} anew"}
    ada.post("/settings/password", new)
    ada.post("/settings/password", new)
    assert [line[2:] for line in lines(services)[1:]] == [
        ("settings changed", "", "appearance: dark"),
        ("password changed", "", "ada"),
        ("sign-in failed", "", "wrong password"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda ada: ada.post("/links/payroll/delete"),
        lambda ada: ada.post("/links/payroll/connections/default/disconnect"),
        lambda ada: ada.post("/settings/appearance", {"appearance": "dark"}),
        lambda ada: ada.post("/sign-out"),
        lambda ada: ada.post("/api-keys/new", {"name": "x", "reach": "all", "links": "", "may": "read", "days": "1"}),
    ],
)
def test_it_changes_nothing_that_can_not_be_written_down(
    ada: Visitor, connect: Connect, monkeypatch: pytest.MonkeyPatch, change: Callable[[Visitor], object]
) -> None:
    """A172: one transaction."""
    connect()
    ada.csrf_token()
    tables = (ApplicationLink, Event, SignInSession)
    before = [list(table.select().dicts()) for table in tables]

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no line")

    monkeypatch.setattr(Events, "add", fails)
    monkeypatch.setattr(ada, "_checked", lambda response: response)
    change(ada)
    assert [list(table.select().dicts()) for table in tables] == before


def test_it_pages_from_the_newest_to_the_oldest(ada: Visitor, services: Services) -> None:
    for number in range(PAGE + 3):
        services.events.record(Actor("bob"), f"event {number:03}")
    first = ada.get("/audit?who=bob")
    assert f"Event {PAGE + 2:03}" in text_of(first)
    assert "Event 002" not in text_of(first)
    older = first.text.split('">Older')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
    assert older.startswith("/audit?who=bob&before=")
    second = text_of(ada.get(older))
    assert "Event 002" in second
    assert "Event 003" not in second
    assert "Older" not in second


def test_it_finds_lines_by_link_person_kind_and_day(ada: Visitor, connect: Connect, services: Services) -> None:
    connect()
    services.events.record(Actor("bob"), "signed in")
    for query, there, not_there in [
        ("link=payroll", "Connected payroll", "bob"),
        ("who=bob", "now bob Signed in", "payroll"),
        ("what=connect+begun", "Connect begun payroll", "Created payroll"),
        ("since=2027-01-15&until=2027-01-15", "Connected payroll", "Nothing that happened"),
        ("since=2027-01-16", "Nothing that happened fits this filter.", "127.0.0.1"),
        ("until=2027-01-14", "Nothing that happened fits this filter.", "127.0.0.1"),
        ("link=nobody", "Nothing that happened fits this filter.", "127.0.0.1"),
    ]:
        shown = text_of(ada.get(f"/audit?{query}"))
        assert there in shown, query
        assert not_there not in shown, query


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2027-02-30", "until=9999-12-31", "since=20270115", "since=2027-W02-5"]
)
def test_it_says_what_is_no_day(ada: Visitor, query: str) -> None:
    page = ada.get(f"/audit?link=payroll&{query}")
    assert page.status_code == 422
    assert "Write a day as 2026-11-26." in text_of(page)
    assert 'value="payroll"' in page.text
    assert ada.get(f"/audit/events.jsonl?{query}").status_code == 422


@pytest.mark.parametrize(
    "query", ["before=x", "before=-1", "before=%00", "link=%00", "who=" + "x" * 5000, "before=" + "9" * 40]
)
def test_it_takes_any_other_query_calmly(ada: Visitor, query: str) -> None:
    assert ada.get(f"/audit?{query}").status_code == 200


def test_it_hands_out_all_of_it_as_json_lines(ada: Visitor, connect: Connect, services: Services) -> None:
    connect()
    for _ in range(PAGE + 10):
        services.events.record(ADA, "signed in")
    answer = ada.get("/audit/events.jsonl?who=ada")
    assert answer.content_type.startswith("application/x-ndjson")
    assert "attachment" in answer.headers["Content-Disposition"]
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert len(found) == Event.select().where(Event.actor == "ada").count()
    assert [line["id"] for line in found] == sorted(line["id"] for line in found)
    assert found[-1] | {"id": 0, "at": 0, "last_at": 0} == {
        **{"id": 0, "at": 0, "last_at": 0, "count": 1, "actor": "ada", "actor_kind": "administrator", "actor_id": ""},
        **{"address": "127.0.0.1", "what": "signed in", "label": "", "words": "", "link": ""},
    }


def test_it_says_that_a_span_of_days_is_none(ada: Visitor) -> None:
    page = ada.get("/audit?since=2027-01-16&until=2027-01-15")
    assert page.status_code == 422
    assert "This is before the first day." in text_of(page)
    assert ada.get("/audit?since=2027-01-15&until=2027-01-15").status_code == 200


def test_it_shows_how_often_and_from_where(ada: Visitor, services: Services) -> None:
    for _ in range(3):
        services.counts.add(Counted("token read", ActorKind.API_KEY, "x", "backup"), "10.0.0.7")
    services.counts.flush()
    page = text_of(ada.get("/audit?who=backup"))
    assert "3 times, last now" in page
    assert "API key, 10.0.0.7" in page
    assert "Nothing is older." in text_of(ada.get("/audit?before=1"))


def test_it_links_what_is_there_and_names_what_was_deleted(ada: Visitor, connect: Connect) -> None:
    connect()
    assert 'href="/links/payroll"' in ada.get("/audit").text
    ada.post("/links/payroll/delete")
    page = ada.get("/audit")
    assert 'href="/links/payroll"' not in page.text
    assert "Deleted payroll" in text_of(page)


def test_it_counts_refused_sign_ins_of_an_hour_in_one_line(stranger: Visitor, services: Services) -> None:
    for _ in range(3):
        stranger.sign_in("nobody", "CANARY wrong")
    services.counts.flush()
    assert Event.select().where(Event.what == "sign-in failed").count() == 1
