"""The refresher: when it acts, how long it waits, and that one connection never stops the rest."""

import threading
from collections.abc import Callable

import pytest

from applinks.crypto import new_id
from applinks.models import Connection, OutgoingLink, State
from applinks.services.schedule import LADDER
from applinks.wiring import Services
from tests.conftest import Clock, due_in, refresh_due
from tests.standin import StandIn, callback_path, json_answer, raw_answer
from tests.visitor import Visitor

Connect = Callable[..., None]
AWAY = raw_answer("", 503)


@pytest.mark.parametrize(
    ("life", "margin"),
    [(120, 40), (3600, 720), (7200, 1440), (900, 300), (1800, 600), (86_400, 17_280), (60, 20), (45, 15)],
)
def test_it_refreshes_before_expiry_by_a_margin(
    connect: Connect, provider: StandIn, services: Services, clock: Clock, life: int, margin: int
) -> None:
    """A068"""
    provider.life = life
    connect()
    assert due_in(services, clock) == life - margin
    clock.advance(life - margin - 1)
    assert refresh_due(services) == 0
    clock.advance(1)
    assert refresh_due(services) == 1
    assert due_in(services, clock) == life - margin


def test_it_never_refreshes_twice_within_half_a_minute(
    connect: Connect, provider: StandIn, services: Services, clock: Clock
) -> None:
    """A069"""
    provider.life = 30
    connect()
    assert due_in(services, clock) == 30


def test_it_asks_once_a_minute_where_the_same_token_comes_again(
    connect: Connect, provider: StandIn, services: Services, clock: Clock
) -> None:
    """A069: a provider that keeps its tokens hands out the one that is about to expire."""
    same = json_answer(
        {"access_token": "CANARY-same", "token_type": "Bearer", "refresh_token": "CANARY-r", "expires_in": 40}
    )
    provider.answer(*[same] * 20)
    connect()
    before = len(provider.token_requests)
    for _ in range(300):
        clock.advance(1)
        refresh_due(services)
    assert 4 <= len(provider.token_requests) - before <= 5


def test_it_assumes_an_hour_where_the_provider_says_nothing(
    connect: Connect, provider: StandIn, services: Services, clock: Clock
) -> None:
    provider.life = None
    connect()
    assert due_in(services, clock) == 2880


def test_it_waits_longer_each_time(connect: Connect, provider: StandIn, services: Services, clock: Clock) -> None:
    """A067: a day of outage costs a link at most forty requests."""
    connect()
    provider.answers.extend([AWAY] * 100)
    clock.advance(2880)
    before, waits, until = len(provider.token_requests), [], clock() + 86_400
    while clock() < until:
        assert refresh_due(services) == 1
        waits.append(due_in(services, clock))
        clock.advance(waits[-1])
    assert all(0.8 * step - 1 < wait < 1.2 * step + 1 for step, wait in zip(LADDER, waits, strict=False))
    assert len(set(waits[len(LADDER) :])) > 3  # spread, so that those who failed together don't come back together
    assert len(provider.token_requests) - before <= 40
    provider.answers.clear()
    refresh_due(services)
    assert Connection.get().state == State.CONNECTED


class TestWithoutARefreshToken:
    @pytest.fixture(autouse=True)
    def connected(self, connect: Connect, provider: StandIn) -> None:
        provider.answer(json_answer({"access_token": "CANARY-only", "token_type": "Bearer", "expires_in": 600}))
        connect()

    def test_it_says_until_when_the_token_is_good(self) -> None:
        """A071"""
        assert Connection.get().state == State.EXPIRING

    def test_it_asks_for_a_person_when_it_has_expired(
        self, services: Services, clock: Clock, provider: StandIn
    ) -> None:
        clock.advance(599)
        assert refresh_due(services) == 0
        clock.advance(1)
        refresh_due(services)
        assert Connection.get().state == State.RECONNECT_NEEDED
        assert len(provider.token_requests) == 1


def test_it_leaves_a_token_alone_that_never_expires(
    connect: Connect, provider: StandIn, services: Services, clock: Clock
) -> None:
    provider.answer(json_answer({"access_token": "CANARY-only", "token_type": "Bearer"}))
    connect()
    clock.advance(10 * 365 * 86_400)
    assert refresh_due(services) == 0
    assert Connection.get().state == State.CONNECTED


@pytest.fixture
def other(ada: Visitor, connect: Connect, provider: StandIn, link_form: dict[str, str]) -> str:
    """The ID of another link than `payroll`; both are connected."""
    connect()
    link_id = new_id()
    ada.post(f"/links/new/outgoing/{link_id}", link_form | {"name": "Other"})
    ada.get(callback_path(link_id, provider.consent(ada.continue_url(ada.post("/links/other/connect")))))
    return link_id


def test_it_survives_what_nobody_thought_of(other: str, services: Services, link_id: str, clock: Clock) -> None:
    """A073: the rest is refreshed, and the one of a provider that this release doesn't know says so."""
    OutgoingLink.update(provider="gone").where(OutgoingLink.link == link_id).execute()
    clock.advance(3000)
    assert refresh_due(services) == 2
    refreshed = Connection.get(Connection.link == other)
    assert refreshed.refreshed_at == int(clock())
    poisoned = Connection.get(Connection.link == link_id)
    assert poisoned.state == State.CHECK_SETTINGS
    assert "knows no provider" in poisoned.words
    assert refresh_due(services) == 0
    clock.advance(3600)
    refresh_due(services)
    assert Connection.get(Connection.link == link_id).failures == 2


def test_it_survives_a_bug(
    connect: Connect,
    services: Services,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A073: it is logged, and tried again when the lease has ended."""
    connect()
    monkeypatch.setattr(services.renewal, "_ask", lambda *_: 1 / 0)
    clock.advance(3000)
    assert refresh_due(services) == 1
    assert "ZeroDivisionError" in caplog.text
    assert refresh_due(services) == 0
    monkeypatch.undo()
    clock.advance(61)
    assert refresh_due(services) == 0  # left alone for a minute of anybody's clock
    monkeypatch.setattr(services.refresher, "_resting", {})
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize("differences", ["", "[]", "{", '{"token_endpoint": 1}'])
def test_it_refreshes_the_rest_beside_a_link_that_cannot_be_read(
    other: str, services: Services, link_id: str, clock: Clock, differences: str
) -> None:
    """A073"""
    OutgoingLink.update(differences=differences).where(OutgoingLink.link == link_id).execute()
    clock.advance(3000)
    assert refresh_due(services) == 2
    assert Connection.get(Connection.link == other).refreshed_at == int(clock())
    assert refresh_due(services) == 0
    assert Connection.get(Connection.link == link_id).refresh_token_enc


def test_it_refreshes_the_rest_beside_a_poisoned_one(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, link_id: str, clock: Clock
) -> None:
    """A073"""
    connect()
    url = ada.continue_url(ada.post("/links/payroll/connect-another", {"label": "poisoned"}))
    ada.get(callback_path(link_id, provider.consent(url)))
    Connection.update(refresh_token_enc="1.garbage").where(Connection.label == "poisoned").execute()
    clock.advance(3000)
    provider.refresh_token = "CANARY-refresh-2"
    assert refresh_due(services) == 2
    states = {row.label: row.state for row in Connection.select()}
    assert states == {"default": State.CONNECTED, "poisoned": State.UNREADABLE}


def test_it_runs_in_a_thread_until_it_is_stopped(
    connect: Connect, provider: StandIn, services: Services, clock: Clock
) -> None:
    connect()
    clock.advance(3000)
    services.refresher.start()
    deadline = threading.Event()
    for _ in range(100):
        if len(provider.token_requests) == 2:
            break
        deadline.wait(0.1)
    services.refresher.stop()
    assert len(provider.token_requests) == 2
    assert Connection.get().refreshed_at == int(clock())


def test_it_stops_where_a_signal_came_before_its_thread_ran(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(thread: threading.Thread) -> None:
        raise SystemExit

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(SystemExit):
        services.refresher.start()
    services.refresher.stop()
