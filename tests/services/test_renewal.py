"""One refresh: what is stored before the provider sees a token, and what becomes of the token before it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from peewee import OperationalError
from werkzeug.wrappers import Request, Response

from applinks.models import Connection, Event, OutgoingLink, State
from applinks.services import keeper
from applinks.services.renewal import Outcome
from applinks.services.schedule import EARLY_SECONDS
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due, renew, times
from tests.standin import Answer, StandIn, json_answer, raw_answer
from tests.visitor import Visitor

Connect = Callable[..., None]
REFUSED = json_answer({"error": "invalid_grant"}, 400)


def sent(provider: StandIn) -> list[str]:
    return [asked.form.get("refresh_token", "") for asked in provider.token_requests]


def test_it_stores_what_it_is_about_to_do_before_the_provider_sees_it(
    connect: Connect, provider: StandIn, services: Services
) -> None:
    """C2"""
    connect()
    seen = []

    def look(request: Request) -> Response:
        row = Connection.get()
        seen.append((row.intent_generation, row.generation, bool(row.lease_owner)))
        return json_answer(provider.grant())(request)

    provider.answer(look)
    assert renew(services) == Outcome.REFRESHED
    assert seen == [(1, 1, True)]
    row = Connection.get()
    assert (row.intent_generation, row.generation, row.lease_owner) == (None, 2, "")


def test_it_keeps_the_previous_refresh_token_until_its_successor_has_worked(
    connect: Connect, services: Services, provider: StandIn
) -> None:
    """A072"""
    connect()
    first = Connection.get().refresh_token_enc
    renew(services)
    assert Connection.get().previous_refresh_token_enc == first
    second = Connection.get().refresh_token_enc
    renew(services)
    assert Connection.get().previous_refresh_token_enc == second
    provider.answer(json_answer({"access_token": "CANARY-a", "token_type": "Bearer", "expires_in": 60}))
    renew(services)
    assert Connection.get().previous_refresh_token_enc == ""


def test_it_keeps_no_token_as_its_own_predecessor(connect: Connect, services: Services, provider: StandIn) -> None:
    connect()
    provider.answer(json_answer(provider.grant() | {"refresh_token": sent_at_first(services)}))
    renew(services)
    assert Connection.get().previous_refresh_token_enc == ""


def sent_at_first(services: Services) -> str:
    return services.renewal._vault.refresh_token(Connection.get())


def test_it_tries_the_previous_token_where_the_provider_never_knew_its_successor(
    connect: Connect, services: Services, provider: StandIn
) -> None:
    """I4: a provider that was restored from a backup, say."""
    connect()
    known = provider.refresh_token
    renew(services)
    lost, provider.refresh_token = provider.refresh_token, known
    assert renew(services) == Outcome.REFRESHED
    assert sent(provider)[-2:] == [lost, known]
    assert Connection.get().state == State.CONNECTED
    assert renew(services) == Outcome.REFRESHED


def test_it_tries_the_previous_token_once(connect: Connect, services: Services, provider: StandIn) -> None:
    """I4, I5"""
    connect()
    renew(services)
    before = len(provider.token_requests)
    provider.answer(REFUSED, REFUSED, json_answer(provider.grant()))
    assert renew(services) == Outcome.REFUSED
    connection = Connection.get()
    assert connection.state == State.RECONNECT_NEEDED
    assert connection.words == "invalid_grant"
    assert len(provider.token_requests) == before + 2
    assert refresh_due(services) == 0


def test_it_decides_nothing_while_the_previous_token_is_not_answered(
    connect: Connect, services: Services, provider: StandIn
) -> None:
    """I5"""
    connect()
    renew(services)
    provider.answer(REFUSED, raw_answer("", 503))
    assert renew(services) == Outcome.RETRYING
    assert Connection.get().state == State.RETRYING


def test_it_sends_no_token_twice_to_a_provider_that_may_have_replaced_it(
    connect: Connect, services: Services, provider: StandIn, clock: Clock
) -> None:
    """C2: after an interruption the same token is tried once more, and no older one."""
    connect()
    renew(services)
    provider.answer(lambda request: Response("{", content_type="application/json"), REFUSED)
    assert renew(services) == Outcome.RETRYING
    clock.advance(4)
    before = len(provider.token_requests)
    assert refresh_due(services) == 1
    assert len(provider.token_requests) == before + 1
    connection = Connection.get()
    assert connection.state == State.RECONNECT_NEEDED
    assert "may have been lost on its way" in connection.words


def test_it_does_not_ask_when_it_has_stood_still_for_too_long(
    connect: Connect, services: Services, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A061: somebody else may have the lease by then."""
    connect()
    before = len(provider.token_requests)
    monkeypatch.setattr("applinks.services.leases.Lease.is_young", lambda *_: False)
    planned = Connection.get().next_attempt_at
    assert renew(services) == Outcome.TOO_SLOW
    assert len(provider.token_requests) == before
    row = Connection.get()
    assert (row.lease_owner, row.intent_generation, row.next_attempt_at) == ("", None, planned)


@pytest.mark.parametrize("owner", ["0" * 64, "", "../keys"])
def test_it_waits_for_the_lease_of_somebody_it_does_not_know(
    connect: Connect, services: Services, provider: StandIn, clock: Clock, owner: str
) -> None:
    """A057: another machine, say."""
    connect()
    Connection.update(lease_owner=owner or "another", lease_until=clock() + 30, next_attempt_at=0).execute()
    assert refresh_due(services) == 0
    assert renew(services) == Outcome.CLAIMED
    clock.advance(31)
    assert refresh_due(services) == 1
    assert Connection.get().generation == 2


def test_it_believes_no_lease_from_the_future(connect: Connect, services: Services, clock: Clock) -> None:
    """C5: the clock has gone back since it was taken."""
    connect()
    Connection.update(lease_owner="0" * 64, lease_until=clock() + 3600, next_attempt_at=0).execute()
    assert refresh_due(services) == 1
    assert Connection.get().generation == 2


def test_it_writes_down_every_try(connect: Connect, services: Services, provider: StandIn, clock: Clock) -> None:
    connect()
    provider.answer(*[raw_answer("", 503)] * 3)
    for _ in range(4):
        Connection.update(next_attempt_at=0).execute()
        refresh_due(services)
    lines = [(event.what, times(event)) for event in Event.select().where(Event.label == "default").order_by(Event.id)]
    assert lines[1:] == [("connected", 1), ("refresh failed", 1), ("retry failed", 2), ("refreshed", 1)]


def test_it_keeps_a_grant_though_nothing_else_can_be_stored(
    connect: Connect, services: Services, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2: which client authentication works is a convenience; what was granted comes first."""
    connect()
    OutgoingLink.update(differences=OutgoingLink.get().differences.replace("client_secret_basic", "detect")).execute()

    def full(*_: object, **__: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr("applinks.services.link_client.OutgoingLink.update", full)
    with suppress(OperationalError):
        renew(services)
    assert Connection.get().generation == 2


def test_it_asks_for_nothing_while_a_grant_waits_to_be_stored(
    connect: Connect, services: Services, provider: StandIn, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1: even when the lease is over."""
    connect()
    store, stuck = services.renewal._vault.store, [True]

    def full(*arguments: Any, **named: Any) -> bool:
        if stuck:
            raise OperationalError("database or disk is full")
        return store(*arguments, **named)

    monkeypatch.setattr(keeper, "AT_ONCE_SECONDS", 0)
    monkeypatch.setattr(services.renewal._vault, "store", full)
    assert renew(services) == Outcome.UNSTORED
    asked = len(provider.token_requests)
    clock.advance(3600)
    assert renew(services) == Outcome.CLAIMED
    refresh_due(services)
    assert len(provider.token_requests) == asked
    stuck.clear()
    assert services.renewal.finish(10)
    assert Connection.get().generation == 2
    assert services.renewal.unstored == 0


def test_it_does_not_overtake_who_has_the_lease_by_now(
    connect: Connect, services: Services, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: what comes late is stored when the other's refresh has come to nothing."""
    connect()
    monkeypatch.setattr(keeper, "AT_ONCE_SECONDS", 0)

    def somebody_else_takes_over(request: Request) -> Response:
        Connection.update(lease_owner="0" * 64).execute()
        return json_answer(provider.grant())(request)

    provider.answer(somebody_else_takes_over)
    assert renew(services) == Outcome.UNSTORED
    assert Connection.get().generation == 1
    Connection.update(lease_owner="", state=State.RECONNECT_NEEDED, next_attempt_at=None, failures=1).execute()
    assert services.renewal.finish(10)
    row = Connection.get()
    assert (row.generation, row.state, row.previous_refresh_token_enc) == (2, State.CONNECTED, "")
    assert refresh_due(services) == 1
    assert Connection.get().generation == 3


def test_it_ends_what_came_late_for_a_connection_that_has_ended(
    ada: Visitor,
    connect: Connect,
    services: Services,
    provider: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C4: the provider would keep a grant that nobody has. How it knows the client is found by trying, as ever."""
    connect()
    differences = OutgoingLink.get().differences.replace("client_secret_basic", "detect")
    endpoint = f'{{"revocation_endpoint": "{provider.base_url}/revoke", '
    OutgoingLink.update(differences=endpoint + differences[1:]).execute()
    monkeypatch.setattr(keeper, "AT_ONCE_SECONDS", 0)
    store, stuck = services.renewal._store, [True]

    def locked(*arguments: Any) -> Outcome:
        if stuck:
            raise OperationalError("database is locked")
        return store(*arguments)

    monkeypatch.setattr(services.renewal, "_store", locked)
    granted = provider.grant()
    unrecognised = json_answer({"error": "invalid_client"}, 401)
    provider.answer(unrecognised, json_answer(granted), unrecognised, raw_answer(""))
    assert renew(services) == Outcome.UNSTORED
    Connection.delete().execute()
    stuck.clear()
    assert services.renewal.finish(10)
    revoked = [asked.form for asked in provider.asked if asked.path == "/revoke"]
    assert [form["token"] for form in revoked] == [granted["refresh_token"]] * 2
    assert [form.get("client_secret") for form in revoked] == [None, "CANARY-client-secret"]


@pytest.mark.parametrize("answer", [raw_answer("", 503), REFUSED])
def test_it_stores_no_failure_over_somebody_elses_lease(
    connect: Connect, services: Services, provider: StandIn, answer: Answer
) -> None:
    """A061: whoever has the lease by now may be luckier."""
    connect()

    def somebody_else_takes_over(request: Request) -> Response:
        Connection.update(lease_owner="0" * 64).execute()
        return answer(request)

    provider.answer(somebody_else_takes_over)
    assert renew(services) == Outcome.OVERTAKEN
    row = Connection.get()
    assert (row.state, row.failures, row.lease_owner) == (State.CONNECTED, 0, "0" * 64)


def test_it_comes_back_at_once_when_an_answer_was_lost(
    connect: Connect, services: Services, provider: StandIn, clock: Clock
) -> None:
    """C1: many providers forgive the second use of a refresh token for a few seconds; but it does so once."""
    connect()
    away, lost = raw_answer("", 503), raw_answer("", 504)
    provider.answer(away, away, away, away, lost, lost)
    waits = []
    for _ in range(6):
        renew(services)
        waits.append(int((Connection.get().next_attempt_at or 0) - clock()))
        clock.advance(waits[-1])
    assert waits[3] > 90
    assert waits[4] == EARLY_SECONDS
    assert waits[5] > 1000
