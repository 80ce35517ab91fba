"""What an answer means: trouble that passes, a person who is needed, or settings that are wrong."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from werkzeug.wrappers import Response

from applinks import create_app
from applinks.models import Connection, OutgoingLink, State
from applinks.services.renewal import Outcome
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import Clock, due_in, refresh_due, renew
from tests.standin import Answer, StandIn, json_answer, raw_answer
from tests.visitor import Visitor

Connect = Callable[..., None]
AWAY = raw_answer("", 503)


def test_it_asks_as_the_provider_wants_it(connect: Connect, provider: StandIn, services: Services) -> None:
    """F12: the library sends no client authentication with a refresh by itself."""
    connect()
    renew(services)
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
    assert renew(services) == Outcome.RETRYING
    connection = Connection.get()
    assert connection.state == State.RETRYING
    assert connection.words
    assert connection.refresh_token_enc == kept
    assert services.renewal.renew(connection) == Outcome.REFRESHED
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize(("retry_after", "wait"), [("300", 300), ("1", 2), ("999999", 3600), ("soon", 2)])
def test_it_waits_as_long_as_the_provider_says(
    connect: Connect, provider: StandIn, services: Services, clock: Clock, retry_after: str, wait: int
) -> None:
    """A066"""
    connect()
    provider.answer(raw_answer("", 429, Retry_After=retry_after))
    renew(services)
    assert due_in(services, clock) == wait


def test_it_retries_when_nobody_listens(connect: Connect, provider: StandIn, services: Services) -> None:
    connect()
    provider.stop()
    assert renew(services) == Outcome.RETRYING
    provider.start()


def test_it_retries_when_the_provider_hangs(
    connect: Connect, provider: StandIn, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A063, F14: nobody knows what the provider did, so the refresh token stays."""
    connect()
    release = threading.Event()
    monkeypatch.setattr(services.guard, "_seconds", 0.3)
    provider.answer(lambda request: Response(str(release.wait(10))))
    assert renew(services) == Outcome.RETRYING
    release.set()
    connection = Connection.get()
    assert connection.words == "127.0.0.1 didn't answer in time."
    assert connection.refresh_token_enc


@pytest.mark.parametrize("code", ["invalid_grant", "interaction_required", "login_required", "consent_required"])
def test_it_asks_for_a_person_when_the_grant_is_refused(
    connect: Connect, provider: StandIn, services: Services, clock: Clock, code: str
) -> None:
    """A064"""
    connect()
    provider.answer(json_answer({"error": code, "error_description": "Gone."}, 400))
    assert renew(services) == Outcome.REFUSED
    connection = Connection.get()
    assert connection.state == State.RECONNECT_NEEDED
    assert connection.words == f"{code}: Gone."
    clock.advance(86_400)
    assert refresh_due(services) == 0


def test_it_asks_no_more_after_a_final_word(connect: Connect, provider: StandIn, services: Services) -> None:
    """One that had read the row before doesn't turn a refusal into trouble that passes."""
    connect()
    as_read = Connection.get()
    provider.answer(json_answer({"error": "invalid_grant"}, 400))
    renew(services)
    provider.answer(AWAY)
    assert services.renewal.renew(as_read) == Outcome.CLAIMED
    assert Connection.get().state == State.RECONNECT_NEEDED


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client", "invalid_scope", "invalid_request"])
def test_it_asks_to_check_the_settings_when_they_are_refused(
    connect: Connect, provider: StandIn, services: Services, clock: Clock, code: str
) -> None:
    """A065: tokens are kept, and it works again without a new consent."""
    connect()
    provider.answer(json_answer({"error": code}, 401))
    renew(services)
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
    renew(services)
    ada.post("/links/payroll/edit", link_form | {"client_secret": "CANARY-fresh", "version": "1"})
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


def test_it_never_asks_an_address_that_is_no_longer_allowed(
    connect: Connect, services: Services, provider: StandIn
) -> None:
    """A081"""
    connect()
    outgoing = OutgoingLink.get()
    outgoing.differences = outgoing.differences.replace("http://127.0.0.1", "https://169.254.169.254")
    outgoing.save()
    assert renew(services) == Outcome.REFUSED
    connection = Connection.get()
    assert connection.state == State.CHECK_SETTINGS
    assert "169.254.169.254" in connection.words
    assert len(provider.token_requests) == 1


def test_it_says_which_address_is_no_longer_allowed_away_from_loopback(
    connect: Connect, settings: Settings, clock: Clock
) -> None:
    """F16: the library has a refusal of its own for plain http, which nobody may meet."""
    connect()
    moved = create_app(replace(settings, base_url="https://links.example.com"), clock=clock)
    assert moved.extensions["applinks"].renewal.renew(Connection.get()) == Outcome.REFUSED
    assert Connection.get().state == State.CHECK_SETTINGS
    assert "https://" in Connection.get().words


def test_it_keeps_what_it_cannot_read(connect: Connect, services: Services, provider: StandIn) -> None:
    """A089: a ciphertext of another field doesn't open, and isn't thrown away."""
    connect()
    swapped = Connection.get().access_token_enc
    Connection.update(refresh_token_enc=swapped).execute()
    assert renew(services) == Outcome.REFUSED
    connection = Connection.get()
    assert connection.state == State.UNREADABLE
    assert connection.refresh_token_enc == swapped
    assert len(provider.token_requests) == 1


def test_it_has_nothing_to_do_for_what_was_disconnected(connect: Connect, services: Services, ada: Visitor) -> None:
    """*Refresh now* on a page that was opened before."""
    connect()
    ada.post("/links/payroll/connections/default/disconnect")
    assert renew(services) == Outcome.NOTHING
    assert Connection.get().state == State.DISCONNECTED


def test_it_does_not_bury_a_token_that_still_lives(connect: Connect, provider: StandIn, services: Services) -> None:
    provider.answer(json_answer({"access_token": "CANARY-only", "token_type": "Bearer", "expires_in": 600}))
    connect()
    assert renew(services) == Outcome.NOTHING
    assert Connection.get().state == State.EXPIRING
