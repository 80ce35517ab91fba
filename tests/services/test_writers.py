"""One writer at a time on both databases: what a transaction has read stays so until it ends."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from peewee import DatabaseError, OperationalError

from applinks.crypto import new_id
from applinks.errors import InvalidFieldError
from applinks.models import ApplicationLink, Connection, Event, database
from applinks.models.base import SESSION
from applinks.oauth.registration import ClientRegistration
from applinks.providers import CATALOGUE
from applinks.services.events import APPLINKS
from applinks.wiring import Services
from tests.conftest import ADA, times

TOGETHER = 8


def at_once(work: Callable[[int], object]) -> list[object]:
    """What the same work gave in several threads that began together."""
    ready = threading.Barrier(TOGETHER)

    def begin(number: int) -> object:
        try:
            ready.wait(10)
            return work(number)
        except Exception as error:
            return type(error)
        finally:
            database.close()

    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(begin, range(TOGETHER)))


@pytest.fixture
def registration() -> ClientRegistration:
    provider = CATALOGUE["custom"]
    differences = {name: f"https://id.example.com/{name}" for name in ("authorization_endpoint", "token_endpoint")}
    return ClientRegistration(
        "Payroll", provider, provider.profile(differences), differences, "client", "CANARY-secret", "read"
    )


def test_it_gives_a_name_once(services: Services, registration: ClientRegistration) -> None:
    said = at_once(lambda _: services.links.create(new_id(), registration, ADA))
    assert said.count(InvalidFieldError) == TOGETHER - 1
    assert ApplicationLink.select().count() == 1


def test_it_saves_a_link_once_however_often_it_is_sent(services: Services, registration: ClientRegistration) -> None:
    link_id = new_id()
    said = at_once(lambda _: services.links.create(link_id, registration, ADA).id)
    assert said == [link_id] * TOGETHER
    assert Event.select().count() == 1


def test_it_gives_slugs_one_after_another(services: Services, registration: ClientRegistration) -> None:
    names = ["Pay roll" + "!" * number for number in range(TOGETHER)]
    slugs = at_once(lambda number: services.links.create(new_id(), replace(registration, name=names[number]), ADA).slug)
    assert sorted(map(str, slugs)) == ["pay-roll", *(f"pay-roll-{number}" for number in range(2, TOGETHER + 1))]


def test_it_loses_no_count(services: Services, registration: ClientRegistration) -> None:
    link = services.links.create(new_id(), registration, ADA)

    def refreshed(_: int) -> None:
        with database.atomic():
            services.events.record(APPLINKS, "refreshed", link.id)

    at_once(refreshed)
    assert times(Event.get(Event.what == "refreshed")) == TOGETHER


def test_it_stores_all_of_a_transaction_or_nothing(services: Services, registration: ClientRegistration) -> None:
    """A055"""
    link = services.links.create(new_id(), registration, ADA)

    @database.atomic()
    def store() -> None:
        Connection.create(id=new_id(), link=link.id, label="default", created_at=1)
        Connection.create(id=new_id(), link="nowhere", label="default", created_at=1)

    with pytest.raises(DatabaseError):
        store()
    assert not Connection.select().exists()


@pytest.mark.postgresql
def test_it_opens_every_connection_with_its_settings(services: Services) -> None:
    """A192"""

    def look(_: int) -> list[str]:
        return [str(database.execute_sql(f"SHOW {name}").fetchone()[0]) for name in SESSION]

    assert at_once(look) == [list(SESSION.values())] * TOGETHER


@pytest.mark.postgresql
def test_it_waits_for_another_writer_only_so_long(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """C6: and begins nothing then."""
    begun, go = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with database.atomic():
            begun.set()
            go.wait(10)
        database.close()

    other = threading.Thread(target=write_for_long)
    other.start()
    assert begun.wait(10)
    database.execute_sql("SET lock_timeout = '50ms'")
    with pytest.raises(OperationalError, match="lock timeout"), database.atomic():
        pytest.fail("it writes beside another")
    go.set()
    other.join()
    with database.atomic():
        assert not Event.select().exists()


@pytest.mark.postgresql
def test_it_lets_one_find_out_whether_the_database_is_back(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """C6: at a server that has fallen silent, not everybody waits, and nobody for another."""
    asked, go, reach = threading.Event(), threading.Event(), database.obj._reach

    def silent() -> None:
        raise OperationalError("timeout expired")

    def back() -> object:
        asked.set()
        go.wait(10)
        return reach()

    database.close()
    monkeypatch.setattr(database.obj, "_reach", silent)
    with pytest.raises(OperationalError, match="timeout"):
        database.connect()
    monkeypatch.setattr(database.obj, "_reach", back)
    first = threading.Thread(target=lambda: (database.connect(), database.close()))
    first.start()
    assert asked.wait(10)
    with pytest.raises(OperationalError, match="doesn't answer"):
        Event.select().exists()
    go.set()
    first.join()
    assert not Event.select().exists()
