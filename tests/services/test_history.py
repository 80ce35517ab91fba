"""A link's history: what happens again and again is one line, anything else a new one."""

from collections.abc import Callable
from typing import Any

import pytest

from applinks.models import ActorKind, Connection
from applinks.services.events import APPLINKS, Actor
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due
from tests.standin import StandIn
from tests.visitor import Visitor, text_of


def test_it_counts_quiet_refreshing_in_one_line(
    ada: Visitor, connect: Callable[..., None], provider: StandIn, services: Services, clock: Clock, link_id: str
) -> None:
    provider.life = 120
    connect()
    for _ in range(3):
        clock.advance(100)
        refresh_due(services)
    assert [event.what for event in services.events.recent(link_id)] == [
        *("refreshed", "connected", "connect begun", "created")
    ]
    assert "Refreshed default , 3 times" in text_of(ada.get("/links/payroll"))


@pytest.mark.parametrize(
    "difference", [{"actor": Actor("bob", ActorKind.ADMINISTRATOR)}, {"words": "another"}, {"label": "other"}]
)
def test_it_never_counts_different_things_together(
    services: Services, link_id: str, difference: dict[str, Any]
) -> None:
    line: dict[str, Any] = {"label": "default", "words": "", "actor": APPLINKS}
    services.events.record(what="refreshed", link_id=link_id, **line)
    services.events.record(what="refreshed", link_id=link_id, **line | difference)
    assert [event.count for event in services.events.recent(link_id)[:2]] == [1, 1]


def test_it_counts_from_one_again_after_something_else(services: Services, connect: Callable[..., None]) -> None:
    connect()
    connection = Connection.get()
    for what in ("refreshed", "refresh failed", "refreshed"):
        services.events.record(APPLINKS, what, connection.link_id, label="default")
    assert [event.count for event in services.events.recent(connection.link_id)] == [1] * 6
