"""A link's history: what happens again and again is one line, anything else a new one."""

from collections.abc import Callable

import pytest

from applinks.models import Connection
from applinks.services import history
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
    assert [event.what for event in history.recent(link_id)] == ["refreshed", "connected", "created"]
    assert "Refreshed default , 3 times" in text_of(ada.get("/links/payroll"))


@pytest.mark.parametrize("difference", [{"actor": "bob"}, {"words": "another"}, {"label": "other"}])
def test_it_never_counts_different_things_together(link_id: str, difference: dict[str, str]) -> None:
    line = {"label": "default", "words": "", "actor": ""}
    history.record(link_id, "refreshed", at=1, **line)
    history.record(link_id, "refreshed", at=2, **line | difference)
    assert [event.count for event in history.recent(link_id)[:2]] == [1, 1]


def test_it_counts_from_one_again_after_something_else(
    services: Services, connect: Callable[..., None], clock: Clock
) -> None:
    connect()
    connection = Connection.get()
    for what in ("refreshed", "refresh failed", "refreshed"):
        history.record(connection.link_id, what, at=int(clock()), label="default")
    assert [event.count for event in history.recent(connection.link_id)] == [1, 1, 1, 1, 1]
