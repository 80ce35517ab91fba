"""The health page, and what pages say when nobody refreshes."""

import os
from collections.abc import Callable

from applinks.models import Connection, Heartbeat, database
from applinks.services.owner import Owner
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import Clock
from tests.visitor import Visitor, text_of

STOPPED = "Tokens aren't being refreshed"


def test_it_is_well_while_somebody_refreshes(stranger: Visitor, services: Services, clock: Clock) -> None:
    """A074"""
    services.refresher.beat()
    clock.advance(59)
    health = stranger.get("/healthz")
    assert health.status_code == 200
    assert health.get_json() == {
        "status": "well",
        "database": "answers",
        "read_only": False,
        "refresher": "refreshing",
        "refreshers": 1,
        "seen_at": int(clock()) - 59,
        "unstored": 0,
    }


def test_it_is_well_while_there_is_nothing_to_refresh(stranger: Visitor) -> None:
    health = stranger.get("/healthz")
    assert health.status_code == 200
    assert health.get_json()["refresher"] == "stopped"


def test_it_says_within_a_minute_that_nobody_refreshes(
    stranger: Visitor, services: Services, clock: Clock, connect: Callable[..., None]
) -> None:
    """A074"""
    connect()
    assert stranger.get("/healthz").status_code == 503
    services.refresher.beat()
    clock.advance(61)
    health = stranger.get("/healthz")
    assert health.status_code == 503
    assert health.get_json()["refresher"] == "stopped"


def test_it_says_that_the_database_does_not_answer(stranger: Visitor, services: Services) -> None:
    services.refresher.beat()
    database.execute_sql("ALTER TABLE heartbeat RENAME TO heartbeat_elsewhere")
    health = stranger.get("/healthz")
    database.execute_sql("ALTER TABLE heartbeat_elsewhere RENAME TO heartbeat")
    assert health.status_code == 503
    assert health.get_json()["database"] == "doesn't answer"


def test_it_tells_a_stranger_no_names(stranger: Visitor, services: Services, connect: Callable[..., None]) -> None:
    connect()
    services.refresher.beat()
    said = stranger.get("/healthz").text
    for name in ("payroll", "example.com", Heartbeat.get().place, "sqlite", "postgresql"):
        assert name not in said


def test_it_warns_on_every_page_that_nobody_refreshes(
    ada: Visitor, services: Services, connect: Callable[..., None], clock: Clock
) -> None:
    assert STOPPED not in text_of(ada.get("/links"))  # there is nothing to refresh
    connect()
    page = text_of(ada.get("/links"))
    assert STOPPED in page
    assert "no refresher has run yet" in page
    services.refresher.beat()
    assert STOPPED not in text_of(ada.get("/links/payroll"))
    clock.advance(120)
    assert "last seen 2 minutes ago" in text_of(ada.get("/settings"))


def test_it_forgets_who_has_gone(services: Services, clock: Clock) -> None:
    Heartbeat.create(process="gone", place="elsewhere", at=int(clock()) - 100_000)
    services.refresher.beat()
    assert [row.process for row in Heartbeat.select()] != ["gone"]
    assert Heartbeat.select().count() == 1


def test_it_says_why_a_page_cannot_be_shown(ada: Visitor, connect: Callable[..., None]) -> None:
    """C6: whatever the database says, it is no bug of the page's."""
    connect()
    database.execute_sql("ALTER TABLE event RENAME TO event_elsewhere")
    response = ada.get("/links/payroll")
    assert response.status_code == 503
    assert "The database can't be used now" in text_of(response)
    assert response.headers["Retry-After"] == "5"
    database.execute_sql("ALTER TABLE event_elsewhere RENAME TO event")
    assert ada.get("/links/payroll").status_code == 200
    assert Connection.select().count() == 1


def test_it_counts_nobody_who_was_killed(
    stranger: Visitor, services: Services, settings: Settings, clock: Clock
) -> None:
    """A074: a beat may be a minute old, but the file of whoever beat is free."""
    killed = Owner(settings.data_dir / "running")
    killed.live()
    Heartbeat.create(process=killed.name, place="here", at=int(clock()))
    assert stranger.get("/healthz").get_json()["refreshers"] == 1
    assert killed._file
    os.close(killed._file)
    assert stranger.get("/healthz").get_json()["refreshers"] == 0
