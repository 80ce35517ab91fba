"""Connecting an account: the whole dance over real sockets, and everything at the callback that is refused."""

from collections.abc import Callable

from applinks.models import Connection, State
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due
from tests.standin import StandIn
from tests.visitor import Visitor, text_of


def test_it_connects_an_account(ada: Visitor, connect: Callable[..., None], provider: StandIn) -> None:
    connect()
    page = text_of(ada.get("/links/payroll"))
    assert "ada@example.com" in page
    assert "Connected" in page
    assert len(provider.token_requests) == 1


def test_it_refreshes_before_the_token_expires(
    ada: Visitor, connect: Callable[..., None], provider: StandIn, services: Services, clock: Clock
) -> None:
    connect()
    clock.advance(3600 - 720 - 1)
    assert refresh_due(services) == 0
    clock.advance(2)
    assert refresh_due(services) == 1
    connection = Connection.get()
    assert connection.state == State.CONNECTED
    assert connection.expires_at == int(clock()) + 3600
    assert provider.token_requests[-1].form["grant_type"] == "refresh_token"
