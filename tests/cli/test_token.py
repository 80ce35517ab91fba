"""`python app.py token`: the token and nothing else, or an exit status that a script can act on."""

import base64
from collections.abc import Callable

import pytest

from applinks.models import Connection, Event, State
from applinks.wiring import Services
from tests.cli.conftest import Run
from tests.standin import StandIn, raw_answer

Connect = Callable[..., None]


def test_it_prints_the_token_and_nothing_else(run: Run, connect: Connect, services: Services) -> None:
    connect()
    said = run("token", "payroll")
    assert (said.status, said.err) == (0, "")
    assert said.out == services.tokens.valid(Connection.get().id).access_token + "\n"


def test_it_refreshes_first_and_stores_what_it_got(run: Run, connect: Connect, provider: StandIn) -> None:
    provider.life = 100
    connect()
    asked = len(provider.asked)
    Connection.update(refreshed_at=Connection.refreshed_at - 50).execute()
    said = run("token", "payroll", "--min-ttl", "100")
    assert said.status == 0
    assert len(provider.asked) == asked + 1
    assert Connection.get().generation == 2
    assert Connection.get().lease_owner == ""


def test_it_is_in_the_audit_log(run: Run, connect: Connect) -> None:
    connect()
    run("token", "payroll")
    read = Event.get(Event.what == "token read")
    assert (read.actor_kind, read.slug, read.label) == ("command line", "payroll", "default")


def test_it_prints_what_mail_programs_send(run: Run, connect: Connect) -> None:
    connect()
    said = run("token", "payroll", "--xoauth2", "ada@example.com")
    assert base64.b64decode(said.out).startswith(b"user=ada@example.com\1auth=Bearer CANARY")


@pytest.mark.parametrize("state", [State.RECONNECT_NEEDED, State.DISCONNECTED, State.UNREADABLE])
def test_it_says_with_3_that_a_person_must_act(run: Run, connect: Connect, state: State) -> None:
    connect()
    Connection.update(state=state).execute()
    said = run("token", "payroll")
    assert (said.status, said.out) == (3, "")
    assert "http://127.0.0.1:5000/links/payroll" in said.err


def test_it_says_with_4_that_the_provider_is_away(run: Run, connect: Connect, provider: StandIn) -> None:
    connect()
    Connection.update(expires_at=1, next_attempt_at=1).execute()
    provider.answer(*[raw_answer("", 503)] * 4)
    said = run("token", "payroll")
    assert (said.status, said.out) == (4, "")
    assert "There is no new one yet" in said.err or "no new one yet" in said.err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["nobody"], 1, "There is no application link here"),
        (["payroll", "--connection", "nobody"], 1, "no connection labelled nobody"),
        (["payroll", "--connection", "A B"], 1, "A label is"),
        (["payroll", "--xoauth2", "a\nb"], 1, "A user is"),
        (["payroll", "--min-ttl", "soon"], 2, "invalid int value"),
        ([], 2, "LINK"),
        (["payroll", "--api-key", "x"], 2, "unrecognized arguments"),
    ],
)
def test_it_refuses_what_it_does_not_know(
    run: Run, connect: Connect, arguments: list[str], status: int, says: str
) -> None:
    connect()
    said = run("token", *arguments)
    assert (said.status, said.out) == (status, "")
    assert says in said.err
    assert "Traceback" not in said.err


def test_it_asks_to_name_one_of_several_connections(run: Run, connect: Connect) -> None:
    connect()
    connect("sales")
    assert "Name one of them: default, sales." in run("token", "payroll").err
    assert run("token", "payroll", "--connection", "sales").status == 0


def test_it_makes_nothing_where_there_is_no_applinks(run: Run, tmp_path: object) -> None:
    said = run("token", "payroll", APPLINKS_DATA_DIR=f"{tmp_path}/elsewhere")
    assert (said.status, said.out) == (2, "")
    assert "There is no Applinks in" in said.err
