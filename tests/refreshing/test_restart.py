"""PostgreSQL goes away in the middle, and comes back: nothing is lost, and nobody has to restart Applinks."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import psycopg
import pytest
from flask import Flask
from peewee import DatabaseError, InterfaceError, OperationalError

from applinks.models import Connection, OutgoingLink, State, base, database
from applinks.services import keeper
from applinks.services.renewal import Outcome
from applinks.services.schedule import Pace
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import ADA, refresh_due
from tests.postgresql import Server
from tests.refreshing.together import LEASE, Instance, MovedClock, keep_grant, make_link, refresh_token, running, until
from tests.rotating import RotatingProvider
from tests.visitor import Visitor, text_of

Begin = Callable[[], "Future[Outcome]"]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """One of this module's own, since it is stopped under whoever uses it."""
    server = Server.start()
    yield server
    server.stop()


@pytest.fixture
def server(own_server: Server) -> Iterator[Server]:
    yield own_server
    own_server.restart()  # also where a test has failed while it was away


@pytest.fixture
def environ(tmp_path: Path, server: Server) -> dict[str, str]:
    return {"APPLINKS_DATA_DIR": str(tmp_path / "data"), "APPLINKS_DATABASE_URL": server.make_database("restart")}


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def app(settings: Settings, clock: MovedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setitem(base.SESSION, "lock_timeout", "300ms")
    with running(settings, clock, Pace(round=0.05, again=0.05, turn=0), call=15) as app:
        yield app


@pytest.fixture
def strict() -> Iterator[RotatingProvider]:
    with RotatingProvider() as provider:
        yield provider


@pytest.fixture
def connection(services: Services, strict: RotatingProvider) -> Connection:
    return keep_grant(services, strict, make_link(services, strict))


@pytest.fixture
def begin(services: Services, strict: RotatingProvider, connection: Connection) -> Iterator[Begin]:
    """Begin a refresh, and come back when the provider has moved the grant on and not answered yet."""

    def renew() -> Outcome:
        try:
            return services.renewal.renew(connection)
        finally:
            database.close()

    def start() -> "Future[Outcome]":
        strict.pause_at("rotated")
        refreshing = pool.submit(renew)
        assert strict.reached.wait(10)
        return refreshing

    with ThreadPoolExecutor(1) as pool:
        yield start


def is_stored(services: Services, strict: RotatingProvider) -> bool:
    """What the provider granted last is what the row holds, and the provider was asked once."""
    assert [request.outcome for request in strict.requests] == ["granted"]
    assert Connection.get().state == State.CONNECTED
    return strict.is_current("default", refresh_token(services))


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_it_stores_what_was_granted_across_a_restart(
    begin: Begin, server: Server, services: Services, strict: RotatingProvider, how: Literal["fast", "immediate"]
) -> None:
    """C4: every connection of the database breaks while the provider answers."""
    refreshing = begin()
    server.restart(how)
    strict.go()
    assert refreshing.result(30) == Outcome.REFRESHED
    assert is_stored(services, strict)
    assert services.renewal.unstored == 0


def test_it_loses_nothing_for_what_it_learns_beside(
    begin: Begin, server: Server, services: Services, strict: RotatingProvider
) -> None:
    """C2: how to authenticate wasn't known, and is to be remembered when the answer comes."""
    detect = {"token_endpoint": f"{strict.base_url}/token", "client_authentication": "detect"}
    OutgoingLink.update(differences=json.dumps(detect)).execute()
    refreshing = begin()
    server.restart("immediate")
    strict.go()
    assert refreshing.result(30) == Outcome.REFRESHED
    assert is_stored(services, strict)


def test_it_keeps_what_was_granted_until_the_database_is_back(
    begin: Begin,
    server: Server,
    services: Services,
    strict: RotatingProvider,
    stranger: Visitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C2, A073: in memory, says so, and hands nothing out meanwhile."""
    monkeypatch.setattr(keeper, "AT_ONCE_SECONDS", 0.3)
    refreshing = begin()
    server.halt("immediate")
    strict.go()
    assert refreshing.result(30) == Outcome.UNSTORED
    assert services.renewal.unstored == 1
    health = stranger.get("/healthz")
    assert health.status_code == 503
    assert health.get_json()["unstored"] == 1
    assert health.get_json()["database"] == "doesn't answer"
    with pytest.raises((DatabaseError, InterfaceError)):
        services.tokens.valid(Connection.get().id)
    server.launch()
    assert services.renewal.finish(30)
    assert is_stored(services, strict)
    token = services.tokens.valid(Connection.get().id).access_token
    assert strict.access_token_is_valid(token)


def test_it_asks_nobody_while_the_database_is_away(
    connection: Connection, server: Server, services: Services, strict: RotatingProvider
) -> None:
    """A073: what would be granted couldn't be stored. The refresher goes on by itself when the database is back."""
    services.refresher.start()
    until(lambda: len(strict.requests) == 1, "refreshed")
    until(lambda: Connection.get().generation == 2, "stored")
    server.halt("immediate")
    for _ in range(3):
        with pytest.raises((DatabaseError, InterfaceError)):
            services.renewal.renew(connection)
    assert len(strict.requests) == 1
    server.launch()
    Connection.update(next_attempt_at=0).execute()
    until(lambda: len(strict.requests) == 2, "refreshed again")
    services.refresher.stop()
    assert strict.is_current("default", refresh_token(services))


def test_it_asks_nobody_where_the_database_goes_before_the_lease_is_stored(
    connection: Connection,
    server: Server,
    services: Services,
    strict: RotatingProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C2: the intent is durable before the provider can see the refresh token."""
    real = services.renewal._leases.take

    def go_away(connection: Connection) -> object:
        server.halt("immediate")
        return real(connection)

    monkeypatch.setattr(services.renewal._leases, "take", go_away)
    assert refresh_due(services) == 1
    assert not strict.requests
    server.launch()
    monkeypatch.undo()
    assert refresh_due(services) == 1
    assert is_stored(services, strict)


def test_it_says_that_the_database_is_away_and_works_again_after(
    connection: Connection, server: Server, ada: Visitor, stranger: Visitor
) -> None:
    """C6: every thread connects anew by itself."""
    ada.csrf_token()
    server.halt()
    for path in ("/links", "/links/payroll", "/settings"):
        away = ada.get(path)
        assert away.status_code == 503
        assert "The database can't be used now" in text_of(away)
        assert away.headers["Retry-After"]
    assert stranger.get("/healthz").get_json()["database"] == "doesn't answer"
    server.launch()
    assert ada.get("/links/payroll").status_code == 200
    assert ada.post("/links/payroll/connections/default/disconnect").status_code == 303
    assert stranger.get("/healthz").get_json()["database"] == "answers"


def test_it_writes_at_once_after_a_restart(connection: Connection, server: Server, services: Services) -> None:
    """C6: also where a transaction is the first thing that a thread asks for."""
    server.restart("immediate")
    services.connections.disconnect(connection.link_id, "default", ADA)
    assert Connection.get().state == State.DISCONNECTED


def test_it_connects_anew_after_one_failure(connection: Connection, server: Server) -> None:
    """C6: a statement that may have been carried out isn't repeated, but the next one has a connection."""
    server.restart("immediate")
    with pytest.raises(OperationalError):
        Connection.update(failures=1).execute()
    Connection.update(failures=2).execute()
    assert Connection.get().failures == 2


def test_it_refuses_to_wait_for_ever_for_another_writer(
    connection: Connection, environ: dict[str, str], services: Services, strict: RotatingProvider, ada: Visitor
) -> None:
    """C6: 503 and nothing changed, no refresh token shown; all works when the other has ended."""
    ada.csrf_token()
    with psycopg.connect(environ["APPLINKS_DATABASE_URL"], autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (base._WRITERS,))
        assert ada.get("/links/payroll").status_code == 200
        refused = ada.post("/links/payroll/connections/default/disconnect")
        assert refused.status_code == 503
        assert "look whether it was stored" in text_of(refused)
        assert refresh_due(services) == 1
        assert not strict.requests
    until(lambda: refresh_due(services) == 1, "due again")
    assert is_stored(services, strict)


def test_it_stores_what_was_granted_after_another_writer(
    begin: Begin, environ: dict[str, str], services: Services, strict: RotatingProvider
) -> None:
    """C6: it tries again and again; the provider isn't asked again."""
    refreshing = begin()
    with psycopg.connect(environ["APPLINKS_DATABASE_URL"], autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (base._WRITERS,))
        strict.go()
        until(lambda: services.renewal.unstored == 1, "unstored")
        assert Connection.get().generation == 1
    assert refreshing.result(30) == Outcome.REFRESHED
    assert is_stored(services, strict)


def test_it_frees_others_from_one_that_stands_still_in_a_transaction(
    services: Services, environ: dict[str, str], clock: MovedClock
) -> None:
    """C4: its session is ended, as the server does after ten seconds; what it was granted is dropped or stored."""
    with RotatingProvider(grace=60) as provider, Instance() as process, process.on(environ, call=15) as holder:
        holder.renew(keep_grant(services, provider, make_link(services, provider)), freeze_at="storing")
        holder.wait_until_frozen()
        with psycopg.connect(environ["APPLINKS_DATABASE_URL"], autocommit=True) as operator:
            ended = operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            ).fetchall()
        assert len(ended) == 1
        clock.advance(LEASE + 2)
        assert refresh_due(services) == 1
        stored = Connection.get()
        holder.thaw()
        assert holder.outcome() == Outcome.OVERTAKEN.name
        assert Connection.get().access_token_enc == stored.access_token_enc
        assert provider.is_usable("default", refresh_token(services))
