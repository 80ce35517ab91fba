"""`python app.py links`: the same links as in the browser, from the console."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from applinks.models import ApplicationLink, Connection, Event, State
from applinks.wiring import Services
from tests.cli.conftest import Run
from tests.conftest import CLIENT_SECRET
from tests.standin import StandIn, raw_answer

Connect = Callable[..., None]


@pytest.fixture
def flags(link_form: dict[str, str]) -> list[str]:
    """What makes the link of the form, but for its secret."""
    flags = []
    for name, value in link_form.items():
        if name in ("name", "provider", "client_id", "scopes"):
            flags += [f"--{name.replace('_', '-')}", value]
        elif name not in ("revealed", "client_secret"):
            flags += ["--set", f"{name}={value}"]
    return flags


def test_it_adds_a_link_with_its_secret_from_standard_input(run: Run, flags: list[str], services: Services) -> None:
    said = run("links", "add", *flags, "--secret-file", "-", typed=f"{CLIENT_SECRET}\n")
    assert (said.status, said.out) == (0, "payroll\n")
    assert "http://127.0.0.1:5000/oauth/callback/" in said.err
    stored = services.links.outgoing("payroll").stored
    assert services.connections._link_client._vault.client_secret(stored) == CLIENT_SECRET
    assert Event.get(Event.what == "created").actor_kind == "command line"


def test_it_adds_a_link_from_a_file(run: Run, link_form: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "link.json"
    file.write_text(json.dumps({name: value for name, value in link_form.items() if name != "revealed"}))
    assert run("links", "add", "--from", str(file), "--name", "Books").out == "books\n"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--set", "client_secret=CANARY"], "Everybody on this machine can read arguments"),
        (["--client-secret", "x"], "unrecognized arguments"),
        (["--set", "colour=red"], "colour: There is no such field."),
        (["--set", "name"], "Write FIELD=VALUE."),
        (["--from", "/nowhere/link.json"], "can't be read"),
        (["--secret-file", "/nowhere/secret"], "can't be read"),
        (["--provider", "nobody"], "Choose one of the providers."),
        ([], "client_secret: Fill in the client secret"),
    ],
)
def test_it_adds_none_out_of_wrong_fields(run: Run, flags: list[str], more: list[str], says: str) -> None:
    said = run("links", "add", *flags, *more)
    assert said.status in (1, 2)
    assert says in said.err
    assert "CANARY" not in said.err
    assert not ApplicationLink.select().exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": 1}', "{}", "[" * 100_000])
def test_it_takes_nothing_but_an_object_of_texts(run: Run, text: str) -> None:
    said = run("links", "add", "--from", "-", typed=text)
    assert (said.status, said.out) == (1, "")
    assert "must hold a JSON object of texts" in said.err


def test_it_lists_links_as_a_table_and_as_json(run: Run, connect: Connect) -> None:
    connect()
    heads, line = run("links", "list").out.splitlines()
    assert heads.split()[:4] == ["LINK", "NAME", "DIRECTION", "STATE"]
    assert line.split()[:5] == ["payroll", "Payroll", "outgoing", "connected", "ada@example.com"]
    rows = json.loads(run("links", "list", "--json").out)
    assert [(row["slug"], row["state"]) for row in rows] == [("payroll", "connected")]
    assert json.loads(run("links", "list", "--json", "--search", "nobody").out) == []


def test_it_shows_a_link_without_its_secrets(run: Run, connect: Connect) -> None:
    connect()
    shown = run("links", "show", "payroll").out
    assert "payroll-client" in shown
    assert "connected" in shown
    whole = run("links", "show", "payroll", "--json").out
    assert json.loads(whole)["connections"][0]["state"] == "connected"
    assert "CANARY" not in shown + whole
    assert run("links", "show", "nobody").status == 1


def test_it_edits_only_what_is_given(run: Run, connect: Connect) -> None:
    connect()
    assert run("links", "edit", "payroll", "--name", "Books").status == 0
    assert ApplicationLink.get().name == "Books"
    assert Connection.get().state == State.CONNECTED


def test_it_asks_for_the_secret_anew_where_it_would_go_elsewhere(run: Run, connect: Connect) -> None:
    connect()
    said = run("links", "edit", "payroll", "--client-id", "another")
    assert (said.status, Connection.get().state) == (1, "connected")
    assert "type the client secret again" in said.err
    said = run("links", "edit", "payroll", "--client-id", "another", "--secret-file", "-", typed="CANARY-new")
    assert (said.status, Connection.get().state) == (0, "disconnected")


def test_it_deletes_only_when_told_twice(run: Run, connect: Connect) -> None:
    connect()
    said = run("links", "delete", "payroll")
    assert said.status == 1
    assert "add --yes" in said.err
    assert ApplicationLink.select().exists()
    assert run("links", "delete", "payroll", "--yes").status == 0
    assert not ApplicationLink.select().exists()


def test_it_says_where_an_account_is_connected(run: Run, link_id: str) -> None:
    assert run("links", "connect", "payroll").out == "http://127.0.0.1:5000/links/payroll\n"


def test_it_checks_a_link(run: Run, link_id: str) -> None:
    said = run("links", "check", "payroll")
    assert "passed   The provider's name leads to an address" in said.out
    assert said.status in (0, 1)
    steps = json.loads(run("links", "check", "payroll", "--json").out)["steps"]
    assert {"address", "credentials", "connection"} <= {step["key"] for step in steps}


def test_it_exits_with_1_where_a_step_fails(run: Run, link_id: str, provider: StandIn) -> None:
    provider.documents["/token"] = raw_answer("<h1>No</h1>", 404, "text/html")
    said = run("links", "check", "payroll")
    assert said.status == 1
    assert "failed   The token endpoint answers as one: It answered HTTP 404 with a web page." in said.out


def test_it_checks_no_link_that_isnt_there(run: Run) -> None:
    said = run("links", "check", "nowhere")
    assert said.status == 1
    assert "no application link here" in said.err


def test_it_lists_those_in_a_state(run: Run, link_id: str) -> None:
    assert "payroll" in run("links", "list", "--state", "disconnected").out
    assert "payroll" not in run("links", "list", "--state", "needs_you").out
    assert run("links", "list", "--state", "happy").status == 2
