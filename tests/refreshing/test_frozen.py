"""A process that stands still in the middle of a refresh, and goes on after another has taken over."""

from collections.abc import Iterator

import pytest
from flask import Flask
from peewee import OperationalError

from applinks.models import Connection, Event, State, base
from applinks.services.renewal import Outcome
from applinks.services.schedule import Pace
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import refresh_due
from tests.refreshing.together import LEASE, Instance, MovedClock, keep_grant, make_link, refresh_token, running, until
from tests.rotating import RotatingProvider
from tests.visitor import Visitor, text_of


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here waits long for another's transaction. To be had before the application."""
    monkeypatch.setitem(base.PRAGMAS, "busy_timeout", 200)
    monkeypatch.setitem(base.SESSION, "lock_timeout", "200ms")


@pytest.fixture
def app(settings: Settings, clock: MovedClock) -> Iterator[Flask]:
    with running(settings, clock, Pace(lease=LEASE, turn=0)) as app:
        yield app


@pytest.fixture(scope="module")
def process() -> Iterator[Instance]:
    with Instance() as process:
        yield process


@pytest.fixture
def holder(services: Services, process: Instance, environ: dict[str, str]) -> Iterator[Instance]:
    """The process that is frozen; who takes over is this one."""
    with process.on(environ) as holder:
        yield holder


@pytest.fixture
def strict() -> Iterator[RotatingProvider]:
    """It kills a grant whose retired refresh token comes back."""
    with RotatingProvider() as provider:
        yield provider


@pytest.fixture
def forgiving() -> Iterator[RotatingProvider]:
    with RotatingProvider(grace=60) as provider:
        yield provider


@pytest.fixture
def tolerant() -> Iterator[RotatingProvider]:
    """It refuses a retired refresh token, and leaves the grant alone."""
    with RotatingProvider(strict=False) as provider:
        yield provider


def connect(services: Services, provider: RotatingProvider) -> Connection:
    return keep_grant(services, provider, make_link(services, provider))


def lease_is_over(clock: MovedClock) -> None:
    """As this process sees it; the other one's clock goes as it went."""
    clock.advance(LEASE + 2)


def refreshed() -> int:
    return Event.select().where(Event.what == "refreshed").count()


@pytest.mark.parametrize("point", ["leased", "connected"])
def test_it_asks_nothing_after_it_stood_still(
    holder: Instance, services: Services, strict: RotatingProvider, point: str
) -> None:
    """A061, C4: whoever took over has shown the refresh token; a second time would end the grant."""
    holder.renew(connect(services, strict), freeze_at=point)
    holder.wait_until_frozen()
    assert not strict.requests
    until(lambda: refresh_due(services) == 1, "the lease is over")
    assert [request.outcome for request in strict.requests] == ["granted"]
    holder.thaw()
    assert holder.outcome() in (Outcome.OVERTAKEN.name, Outcome.TOO_SLOW.name)
    assert len(strict.requests) == 1
    connection = Connection.get()
    assert connection.state == State.CONNECTED
    assert connection.generation == 2
    assert strict.is_current("default", refresh_token(services))


def test_it_drops_what_was_granted_before_another_refreshed(
    holder: Instance, services: Services, forgiving: RotatingProvider, clock: MovedClock
) -> None:
    """A061, C4: its answer was read, and not stored."""
    holder.renew(connect(services, forgiving), freeze_at="answered")
    holder.wait_until_frozen()
    lease_is_over(clock)
    assert refresh_due(services) == 1
    stored = Connection.get()
    holder.thaw()
    assert holder.outcome() == Outcome.OVERTAKEN.name
    assert Connection.get() == stored
    assert Connection.get().access_token_enc == stored.access_token_enc
    assert [request.outcome for request in forgiving.requests] == ["granted", "grace"]
    assert refreshed() == 1
    assert forgiving.is_usable("default", refresh_token(services))
    assert services.renewal.renew(Connection.get()) == Outcome.REFRESHED


def test_it_drops_an_answer_that_comes_after_another_refreshed(
    holder: Instance, services: Services, forgiving: RotatingProvider, clock: MovedClock
) -> None:
    """A061, C4: it is frozen while it waits, and the answer is there when it goes on."""
    forgiving.pause_at("rotated")
    holder.renew(connect(services, forgiving))
    assert forgiving.reached.wait(10)
    holder.freeze()
    forgiving.go()
    lease_is_over(clock)
    assert refresh_due(services) == 1
    stored = Connection.get()
    holder.thaw()
    assert holder.outcome() == Outcome.OVERTAKEN.name
    assert Connection.get().access_token_enc == stored.access_token_enc
    assert Connection.get().generation == 2
    assert refreshed() == 1
    assert forgiving.is_usable("default", refresh_token(services))


def test_it_keeps_what_was_granted_when_another_found_the_provider_away(
    holder: Instance, services: Services, strict: RotatingProvider, clock: MovedClock
) -> None:
    """A061, C4: the late grant is stored, tried at once, and good."""
    holder.renew(connect(services, strict), freeze_at="answered")
    holder.wait_until_frozen()
    lease_is_over(clock)
    strict.away = True
    assert refresh_due(services) == 1
    assert Connection.get().state == State.RETRYING
    strict.away = False
    holder.thaw()
    assert holder.outcome() == Outcome.REFRESHED.name
    assert strict.is_current("default", refresh_token(services))
    assert refresh_due(services) == 1
    assert strict.is_current("default", refresh_token(services))
    assert Connection.get().state == State.CONNECTED
    assert Connection.get().generation == 3
    assert [request.outcome for request in strict.requests] == ["granted", "failed", "granted"]


def test_it_keeps_what_was_granted_when_another_was_refused(
    holder: Instance, services: Services, tolerant: RotatingProvider, clock: MovedClock
) -> None:
    """A061, C4: nobody has to reconnect after all."""
    holder.renew(connect(services, tolerant), freeze_at="answered")
    holder.wait_until_frozen()
    lease_is_over(clock)
    refresh_due(services)
    refused = Connection.get()
    assert refused.state == State.RECONNECT_NEEDED
    assert "may have been lost" in refused.words
    holder.thaw()
    assert holder.outcome() == Outcome.REFRESHED.name
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED
    assert tolerant.is_current("default", refresh_token(services))


def test_it_tries_a_late_grant_once_where_the_other_one_has_ended_it(
    holder: Instance, services: Services, strict: RotatingProvider, clock: MovedClock
) -> None:
    """A061, C4: a strict provider took the other's request for theft. It is asked once more, and never again."""
    holder.renew(connect(services, strict), freeze_at="answered")
    holder.wait_until_frozen()
    lease_is_over(clock)
    refresh_due(services)
    holder.thaw()
    holder.outcome()
    assert refresh_due(services) == 1
    assert Connection.get().state == State.RECONNECT_NEEDED
    assert [request.outcome for request in strict.requests] == ["granted", "reuse", "revoked"]
    clock.advance(86_400)
    assert refresh_due(services) == 0


def test_it_asks_nothing_while_another_stands_still_in_a_transaction(
    impatient: None, holder: Instance, services: Services, strict: RotatingProvider, clock: MovedClock, ada: Visitor
) -> None:
    """C4: nothing can be stored then, so no refresh token is shown; pages say so. What was granted is stored after."""
    holder.renew(connect(services, strict), freeze_at="storing")
    holder.wait_until_frozen()
    lease_is_over(clock)
    with pytest.raises(OperationalError):
        services.renewal.renew(Connection.get())
    refused = ada.post("/links/payroll/connections/default/disconnect")
    assert refused.status_code == 503
    assert "look whether it was stored" in text_of(refused)
    holder.thaw()
    assert holder.outcome() == Outcome.REFRESHED.name
    assert [request.outcome for request in strict.requests] == ["granted"]
    assert Connection.get().state == State.CONNECTED
    assert strict.is_current("default", refresh_token(services))


def test_it_waits_for_a_lease_of_nobody_until_it_is_over(
    services: Services, strict: RotatingProvider, clock: MovedClock
) -> None:
    """A061: whose owner can't be found, as on another machine that has burnt down."""
    connect(services, strict)
    Connection.update(lease_owner="0" * 64, lease_until=int(clock() + LEASE), intent_generation=1).execute()
    assert refresh_due(services) == 0
    assert services.renewal.renew(Connection.get()) == Outcome.CLAIMED
    assert not strict.requests
    lease_is_over(clock)
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize("owner", ["0" * 64, "nobody", "../../../etc/passwd"])
def test_it_takes_a_lease_from_the_future_at_once(
    services: Services, strict: RotatingProvider, clock: MovedClock, owner: str
) -> None:
    """C5: the clock has gone back since, or somebody has written into the row."""
    connect(services, strict)
    Connection.update(lease_owner=owner, lease_until=int(clock()) + 86_400).execute()
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED
    assert [request.outcome for request in strict.requests] == ["granted"]
