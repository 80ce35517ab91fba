"""The refresher: when it acts, what it takes for final, and who wins when several act at once."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from werkzeug.wrappers import Request, Response

from applinks import create_app
from applinks.crypto import new_id
from applinks.models import Connection, OutgoingLink, State, database
from applinks.services import keeper
from applinks.services.renewal import Outcome
from applinks.services.schedule import LADDER
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due
from tests.standin import Answer, StandIn, callback_path, json_answer, raw_answer
from tests.visitor import Visitor

Connect = Callable[..., None]
AWAY = raw_answer("", 503)


def due_in(services: Services, clock: Clock) -> int:
    """Seconds until the refresher acts."""
    connection = Connection.get()
    assert connection.next_attempt_at is not None
    return int(connection.next_attempt_at - clock())


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


def test_it_asks_as_the_provider_wants_it(connect: Connect, provider: StandIn, services: Services) -> None:
    """F12: the library sends no client authentication with a refresh by itself."""
    connect()
    services.renewal.renew(Connection.get())
    asked = provider.token_requests[-1]
    assert asked.headers["Authorization"].startswith("Basic ")
    assert asked.query == ""
    assert set(asked.form) == {"grant_type", "refresh_token"}


FOR_NOW: list[Answer] = [raw_answer("", status) for status in (408, 425, 429, 500, 502, 503, 504)]
FOR_NOW += [
    json_answer({"error": code}, 400) for code in ("server_error", "temporarily_unavailable", "slow_down", "odd")
]
FOR_NOW += [raw_answer("<html>", content_type="text/html"), raw_answer("", 302, Location="/x"), raw_answer("null")]
FOR_NOW += [raw_answer("", status) for status in (400, 401, 403, 404)] + [json_answer({"access_token": ""})]


@pytest.mark.parametrize("answer", FOR_NOW)
def test_it_takes_trouble_for_passing(connect: Connect, provider: StandIn, services: Services, answer: Answer) -> None:
    """A063: the refresh token is kept, whatever a provider in trouble answers."""
    connect()
    kept = Connection.get().refresh_token_enc
    provider.answer(answer)
    assert services.renewal.renew(Connection.get()) == Outcome.RETRYING
    connection = Connection.get()
    assert connection.state == State.RETRYING
    assert connection.words
    assert connection.refresh_token_enc == kept
    assert services.renewal.renew(connection) == Outcome.REFRESHED
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize("code", ["invalid_grant", "interaction_required", "login_required", "consent_required"])
def test_it_asks_for_a_person_when_the_grant_is_refused(
    connect: Connect, provider: StandIn, services: Services, clock: Clock, code: str
) -> None:
    """A064"""
    connect()
    provider.answer(json_answer({"error": code, "error_description": "Gone."}, 400))
    assert services.renewal.renew(Connection.get()) == Outcome.REFUSED
    connection = Connection.get()
    assert connection.state == State.RECONNECT_NEEDED
    assert connection.words == f"{code}: Gone."
    clock.advance(86_400)
    assert refresh_due(services) == 0


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client", "invalid_scope", "invalid_request"])
def test_it_asks_to_check_the_settings_when_they_are_refused(
    connect: Connect, provider: StandIn, services: Services, clock: Clock, code: str
) -> None:
    """A065: tokens are kept, and it works again without a new consent."""
    connect()
    provider.answer(json_answer({"error": code}, 401))
    services.renewal.renew(Connection.get())
    assert Connection.get().state == State.CHECK_SETTINGS
    assert due_in(services, clock) == 3600
    clock.advance(3600)
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


def test_it_tries_a_new_client_secret_at_once(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, link_form: dict[str, str], clock: Clock
) -> None:
    connect()
    provider.answer(json_answer({"error": "invalid_client"}, 401))
    services.renewal.renew(Connection.get())
    ada.post("/links/payroll/edit", link_form | {"client_secret": "CANARY-fresh", "version": "1"})
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


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


@pytest.mark.parametrize(("retry_after", "wait"), [("300", 300), ("1", 2), ("999999", 3600), ("soon", 2)])
def test_it_waits_as_long_as_the_provider_says(
    connect: Connect, provider: StandIn, services: Services, clock: Clock, retry_after: str, wait: int
) -> None:
    """A066"""
    connect()
    provider.answer(raw_answer("", 429, Retry_After=retry_after))
    services.renewal.renew(Connection.get())
    assert due_in(services, clock) == wait


def test_it_retries_when_nobody_listens(connect: Connect, provider: StandIn, services: Services) -> None:
    connect()
    provider.stop()
    assert services.renewal.renew(Connection.get()) == Outcome.RETRYING
    provider.start()


def test_it_never_asks_an_address_that_is_no_longer_allowed(
    connect: Connect, services: Services, provider: StandIn
) -> None:
    """A081"""
    connect()
    outgoing = OutgoingLink.get()
    outgoing.differences = outgoing.differences.replace("http://127.0.0.1", "https://169.254.169.254")
    outgoing.save()
    assert services.renewal.renew(Connection.get()) == Outcome.REFUSED
    connection = Connection.get()
    assert connection.state == State.CHECK_SETTINGS
    assert "169.254.169.254" in connection.words
    assert len(provider.token_requests) == 1


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


def test_it_has_nothing_to_do_for_what_was_disconnected(connect: Connect, services: Services, ada: Visitor) -> None:
    """*Refresh now* on a page that was opened before."""
    connect()
    ada.post("/links/payroll/connections/default/disconnect")
    assert services.renewal.renew(Connection.get()) == Outcome.NOTHING
    assert Connection.get().state == State.DISCONNECTED


def test_it_does_not_bury_a_token_that_still_lives(connect: Connect, provider: StandIn, services: Services) -> None:
    provider.answer(json_answer({"access_token": "CANARY-only", "token_type": "Bearer", "expires_in": 600}))
    connect()
    assert services.renewal.renew(Connection.get()) == Outcome.NOTHING
    assert Connection.get().state == State.EXPIRING


def test_it_asks_no_more_after_a_final_word(connect: Connect, provider: StandIn, services: Services) -> None:
    """One that had read the row before doesn't turn a refusal into trouble that passes."""
    connect()
    as_read = Connection.get()
    provider.answer(json_answer({"error": "invalid_grant"}, 400))
    services.renewal.renew(Connection.get())
    provider.answer(AWAY)
    assert services.renewal.renew(as_read) == Outcome.CLAIMED
    assert Connection.get().state == State.RECONNECT_NEEDED


def test_it_says_which_address_is_no_longer_allowed_away_from_loopback(
    connect: Connect, settings: Settings, clock: Clock
) -> None:
    """F16: the library has a refusal of its own for plain http, which nobody may meet."""
    connect()
    moved = create_app(replace(settings, base_url="https://links.example.com"), clock=clock)
    assert moved.extensions["applinks"].renewal.renew(Connection.get()) == Outcome.REFUSED
    assert Connection.get().state == State.CHECK_SETTINGS
    assert "https://" in Connection.get().words


def test_it_asks_once_however_many_refresh_at_once(connect: Connect, provider: StandIn, services: Services) -> None:
    """A057"""
    connect()
    connection, together = Connection.get(), threading.Barrier(8)

    def refresh(_: int) -> Outcome:
        try:
            together.wait()
            return services.renewal.renew(connection)
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(refresh, range(8)))
    assert outcomes.count(Outcome.REFRESHED) == 1
    assert outcomes.count(Outcome.CLAIMED) == 7
    assert len(provider.token_requests) == 2


def meanwhile(act: Callable[[], object], answer: Answer) -> Answer:
    """An answer that comes after something else has happened."""

    def respond(request: Request) -> Response:
        act()
        database.close()
        return answer(request)

    return respond


def test_it_lets_a_new_consent_win(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, link_id: str
) -> None:
    connect()
    late = json_answer(provider.grant() | {"access_token": "CANARY-late"})
    provider.answer(meanwhile(connect, late))
    assert services.renewal.renew(Connection.get()) == Outcome.OVERTAKEN
    assert services.renewal.renew(Connection.get()) == Outcome.REFRESHED


LATE = json_answer({"access_token": "CANARY-x", "token_type": "Bearer"})


@pytest.mark.parametrize("answer", [json_answer({"error": "invalid_grant"}, 400), AWAY, LATE])
@pytest.mark.parametrize("action", ["disconnect", "remove"])
def test_it_brings_nothing_back(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, action: str, answer: Answer
) -> None:
    """What was disconnected, removed or deleted during the request stays so."""
    connect()
    provider.answer(meanwhile(lambda: ada.post(f"/links/payroll/connections/default/{action}"), answer))
    assert services.renewal.renew(Connection.get()) == Outcome.OVERTAKEN
    assert [row.state for row in Connection.select()] == ([State.DISCONNECTED] if action == "disconnect" else [])


def test_it_survives_the_deletion_of_the_link(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services
) -> None:
    connect()
    provider.answer(meanwhile(lambda: ada.post("/links/payroll/delete"), json_answer(provider.grant())))
    assert services.renewal.renew(Connection.get()) == Outcome.OVERTAKEN
    assert not Connection.select().exists()


@pytest.mark.parametrize("answer", [json_answer({"error": "invalid_grant"}, 400), AWAY, LATE])
def test_it_lets_a_changed_address_win(
    ada: Visitor,
    connect: Connect,
    provider: StandIn,
    services: Services,
    clock: Clock,
    link_form: dict[str, str],
    answer: Answer,
) -> None:
    connect()
    changed = link_form | {"token_endpoint": f"{provider.base_url}/other", "version": "1"}
    provider.answer(meanwhile(lambda: ada.post("/links/payroll/edit", changed), answer))
    assert services.renewal.renew(Connection.get()) == Outcome.OVERTAKEN
    connection = Connection.get()
    assert connection.state == State.DISCONNECTED
    assert not connection.refresh_token_enc
    clock.advance(86_400)
    assert refresh_due(services) == 0


def test_it_tries_a_secret_at_once_that_came_while_the_old_one_was_refused(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, link_form: dict[str, str], clock: Clock
) -> None:
    connect()
    fresh = link_form | {"client_secret": "CANARY-fresh", "version": "1"}
    refusal = json_answer({"error": "invalid_client"}, 401)
    provider.answer(meanwhile(lambda: ada.post("/links/payroll/edit", fresh), refusal))
    assert services.renewal.renew(Connection.get()) == Outcome.REFUSED
    assert due_in(services, clock) == 0
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


def test_it_retries_when_the_provider_hangs(
    connect: Connect, provider: StandIn, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A063, F14: nobody knows what the provider did, so the refresh token stays."""
    connect()
    release = threading.Event()
    monkeypatch.setattr(services.guard, "_seconds", 0.3)
    provider.answer(lambda request: Response(str(release.wait(10))))
    assert services.renewal.renew(Connection.get()) == Outcome.RETRYING
    release.set()
    connection = Connection.get()
    assert connection.words == "127.0.0.1 didn't answer in time."
    assert connection.refresh_token_enc


def test_it_survives_what_nobody_thought_of(
    ada: Visitor,
    connect: Connect,
    provider: StandIn,
    services: Services,
    link_form: dict[str, str],
    link_id: str,
    clock: Clock,
) -> None:
    """A073: the rest is refreshed, and the one of a provider that this release doesn't know says so."""
    connect()
    other = new_id()
    ada.post(f"/links/new/outgoing/{other}", link_form | {"name": "Other"})
    url = ada.continue_url(ada.post("/links/other/connect"))
    ada.get(callback_path(other, provider.consent(url)))
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
    ada: Visitor,
    connect: Connect,
    provider: StandIn,
    services: Services,
    link_form: dict[str, str],
    link_id: str,
    clock: Clock,
    differences: str,
) -> None:
    """A073"""
    connect()
    other = new_id()
    ada.post(f"/links/new/outgoing/{other}", link_form | {"name": "Other"})
    ada.get(callback_path(other, provider.consent(ada.continue_url(ada.post("/links/other/connect")))))
    OutgoingLink.update(differences=differences).where(OutgoingLink.link == link_id).execute()
    clock.advance(3000)
    assert refresh_due(services) == 2
    assert Connection.get(Connection.link == other).refreshed_at == int(clock())
    assert refresh_due(services) == 0
    assert Connection.get(Connection.link == link_id).refresh_token_enc


def test_it_holds_no_transaction_while_it_waits(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services
) -> None:
    """A059"""
    connect()
    answer = json_answer(provider.grant())
    provider.answer(meanwhile(lambda: ada.post("/settings/appearance", {"appearance": "dark"}), answer))
    assert services.renewal.renew(Connection.get()) == Outcome.REFRESHED


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


def test_it_keeps_what_it_cannot_read(connect: Connect, services: Services, provider: StandIn) -> None:
    """A089: a ciphertext of another field doesn't open, and isn't thrown away."""
    connect()
    swapped = Connection.get().access_token_enc
    Connection.update(refresh_token_enc=swapped).execute()
    assert services.renewal.renew(Connection.get()) == Outcome.REFUSED
    connection = Connection.get()
    assert connection.state == State.UNREADABLE
    assert connection.refresh_token_enc == swapped
    assert len(provider.token_requests) == 1


@pytest.mark.sqlite
class TestWithALockedDatabase:
    """Another program begins to write while the provider answers, and takes longer than anybody waits."""

    @pytest.fixture
    def other(
        self, connect: Connect, provider: StandIn, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[sqlite3.Connection]:
        connect()
        database.execute_sql("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(settings.database_file, isolation_level=None, check_same_thread=False)) as other:

            def lock_meanwhile(request: Request) -> Response:
                other.execute("begin immediate")
                return json_answer({"access_token": "CANARY-new", "token_type": "Bearer", "expires_in": 60})(request)

            provider.answer(lock_meanwhile)
            yield other

    def test_it_stores_what_was_granted_as_soon_as_it_can(
        self, other: sqlite3.Connection, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A073: the provider may have replaced the refresh token, and says the new one once."""
        monkeypatch.setattr(keeper.log, "critical", lambda *_: other.execute("rollback"))
        assert services.renewal.renew(Connection.get()) == Outcome.REFRESHED
        assert Connection.get().generation == 2
        assert services.renewal.unstored == 0

    def test_it_keeps_what_was_granted_in_memory_meanwhile(
        self, other: sqlite3.Connection, services: Services, monkeypatch: pytest.MonkeyPatch, stranger: Visitor
    ) -> None:
        """C2: and says so, but hands nothing out that isn't stored."""
        monkeypatch.setattr(keeper, "AT_ONCE_SECONDS", 0)
        assert services.renewal.renew(Connection.get()) == Outcome.UNSTORED
        assert services.renewal.unstored == 1
        assert Connection.get().generation == 1
        health = stranger.get("/healthz")
        assert health.status_code == 503
        assert health.get_json()["unstored"] == 1
        other.execute("rollback")
        assert services.renewal.finish(10)
        assert Connection.get().generation == 2


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
