"""Handing out a token: one that is valid now, never one that isn't stored, and clear words where there is none."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from peewee import OperationalError
from werkzeug.wrappers import Request, Response

from applinks.models import Connection, State, database
from applinks.services.schedule import PACE
from applinks.services.tokens import NoTokenError
from applinks.wiring import Services
from tests.conftest import Clock, renew
from tests.standin import StandIn, json_answer, raw_answer
from tests.visitor import Visitor

Connect = Callable[..., None]
AWAY = raw_answer("", 503)


@pytest.fixture(autouse=True)
def connected(connect: Connect) -> None:
    connect()


def valid(services: Services, seconds: int = 60) -> str:
    return services.tokens.valid(Connection.get().id, seconds).access_token


def refused(services: Services, state: State, status: int) -> NoTokenError:
    with pytest.raises(NoTokenError) as error:
        valid(services)
    assert error.value.state == state
    assert error.value.status == status
    return error.value


def test_it_hands_out_what_is_stored(services: Services, provider: StandIn) -> None:
    token = services.tokens.valid(Connection.get().id)
    assert token.access_token == services.renewal._vault.access_token(Connection.get())
    assert token.expires_at == Connection.get().expires_at
    assert token.scope == "read write"
    assert len(provider.token_requests) == 1
    assert "CANARY" not in repr(token)


def test_it_refreshes_first_where_the_token_would_not_live_long_enough(
    services: Services, provider: StandIn, clock: Clock
) -> None:
    clock.advance(3000)
    assert valid(services, 599) == "CANARY-access-2"
    assert valid(services, 600) == "CANARY-access-3"
    assert len(provider.token_requests) == 2


def test_it_asks_for_no_longer_life_than_the_provider_gives(
    services: Services, provider: StandIn, clock: Clock
) -> None:
    """A069: a newer token wouldn't live longer."""
    clock.advance(40)
    for _ in range(3):
        assert valid(services, 86_400) == "CANARY-access-2"
    assert len(provider.token_requests) == 1


def test_it_hands_out_a_token_that_lives_while_the_provider_is_away(
    services: Services, provider: StandIn, clock: Clock
) -> None:
    clock.advance(3570)
    provider.answer(AWAY)
    for _ in range(3):
        assert valid(services) == "CANARY-access-2"
    assert len(provider.token_requests) == 2


def test_it_says_when_to_come_again(services: Services, provider: StandIn, clock: Clock) -> None:
    """A066: nobody asks the provider before the refresher would."""
    clock.advance(3600)
    provider.answer(raw_answer("", 503, Retry_After="300"))
    for _ in range(3):
        error = refused(services, State.RETRYING, 503)
        assert error.retry_after == 300
        assert "HTTP 503" in str(error)
    assert len(provider.token_requests) == 2


def test_it_says_that_a_person_must_act(services: Services, provider: StandIn, clock: Clock) -> None:
    clock.advance(3600)
    provider.answer(json_answer({"error": "invalid_grant"}, 400))
    for _ in range(2):
        assert refused(services, State.RECONNECT_NEEDED, 409).retry_after == 0
    assert len(provider.token_requests) == 2


def test_it_says_that_the_settings_are_refused(services: Services, provider: StandIn, clock: Clock) -> None:
    clock.advance(3600)
    provider.answer(json_answer({"error": "invalid_client"}, 401))
    assert "invalid_client" in str(refused(services, State.CHECK_SETTINGS, 409))


@pytest.mark.parametrize("action", ["disconnect", "remove"])
def test_it_hands_out_nothing_of_what_has_ended(services: Services, ada: Visitor, action: str) -> None:
    """I9"""
    connection_id = Connection.get().id
    ada.post(f"/links/payroll/connections/default/{action}")
    with pytest.raises(NoTokenError, match="No account is connected"):
        services.tokens.valid(connection_id)


def test_it_hands_out_nothing_that_it_cannot_read(services: Services) -> None:
    Connection.update(access_token_enc=Connection.refresh_token_enc).execute()
    refused(services, State.UNREADABLE, 409)


def test_it_hands_out_a_token_without_a_refresh_token_until_it_ends(
    services: Services, connect: Connect, provider: StandIn, clock: Clock
) -> None:
    """A071"""
    provider.answer(json_answer({"access_token": "CANARY-only", "token_type": "Bearer", "expires_in": 600}))
    connect()
    clock.advance(599)
    assert valid(services) == "CANARY-only"
    clock.advance(1)
    refused(services, State.RECONNECT_NEEDED, 409)


def test_it_trusts_no_token_from_the_future(services: Services, provider: StandIn, clock: Clock) -> None:
    """C5: the clock has gone back, so that nobody knows how long the token lives."""
    clock.advance(-3600)
    assert valid(services) == "CANARY-access-3"
    assert len(provider.token_requests) == 2


def test_it_waits_for_somebody_elses_refresh(services: Services, provider: StandIn, clock: Clock) -> None:
    """A058"""
    clock.advance(3600)
    asked, go = threading.Event(), threading.Event()

    def slow(request: Request) -> Response:
        asked.set()
        go.wait(10)
        return json_answer(provider.grant())(request)

    def refresh() -> None:
        renew(services)
        database.close()

    provider.answer(slow)
    other = threading.Thread(target=refresh)
    other.start()
    assert asked.wait(10)
    threading.Timer(0.2, go.set).start()
    assert valid(services) == services.renewal._vault.access_token(Connection.get())
    other.join()
    assert len(provider.token_requests) == 2


def test_it_does_not_wait_for_ever(
    services: Services, clock: Clock, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(3600)
    Connection.update(lease_owner="0" * 64, lease_until=clock() + 50, next_attempt_at=clock()).execute()
    monkeypatch.setattr(services.tokens, "_pace", replace(PACE, patience=0.1))
    refused(services, State.CONNECTED, 503)
    assert len(provider.token_requests) == 1


def test_it_hands_out_what_lives_though_nothing_can_be_stored(
    services: Services, clock: Clock, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: and asks nobody for what it couldn't keep."""

    def full(*_: object) -> None:
        raise OperationalError("database or disk is full")

    clock.advance(3570)
    monkeypatch.setattr("applinks.services.leases.Leases.take", full)
    assert valid(services) == "CANARY-access-2"
    clock.advance(30)
    refused(services, State.CONNECTED, 503)
    assert len(provider.token_requests) == 1
