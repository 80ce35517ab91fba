"""`python app.py links export` and `apply`: links as code."""

import getpass
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from applinks.crypto import new_id
from applinks.errors import ConflictError
from applinks.models import ApplicationLink, Connection, Event, IncomingLink, OutgoingLink, State
from applinks.providers import CATALOGUE
from applinks.services import strict_yaml
from applinks.services.links_document import read_document
from applinks.services.storage import open_storage
from applinks.settings import read_settings
from applinks.wiring import Services
from tests.cli.conftest import Run
from tests.conftest import ADA, CLIENT_SECRET
from tests.processes import ROOT, Process
from tests.providers.test_drawers import BROUGHT, place_of

Connect = Callable[..., None]
SECRET = {"PAYROLL_CLIENT_SECRET": CLIENT_SECRET}
LINKS = """version: 1
links:
- slug: books
  direction: outgoing
  name: no
  provider: google
  client_id: 1-a.apps.googleusercontent.com
  scopes: openid
  client_secret_from: BOOKS_CLIENT_SECRET
- slug: reports
  direction: incoming
  name: Reports
  redirect_uris: [https://reports.example.com/callback]
  scopes: tokens:read
  token_links: [books]
"""
BOOKS = {"BOOKS_CLIENT_SECRET": "CANARY-books"}


def test_it_makes_what_is_missing_and_then_changes_nothing(run: Run, services: Services) -> None:
    made = run("links", "apply", "-", "--yes", typed=LINKS, **BOOKS)
    assert made.status == 0, made.err
    assert "reports: client secret aps_" in made.out
    assert ApplicationLink.get(ApplicationLink.slug == "books").name == "no"
    assert services.links.has_secret(services.links.outgoing("books"), "CANARY-books")
    events, rows = Event.select().count(), list(ApplicationLink.select().order_by(ApplicationLink.slug).dicts())
    again = run("links", "apply", "-", "--yes", typed=LINKS, **BOOKS)
    assert (again.status, again.out) == (0, "= 2 unchanged\n")
    assert Event.select().count() == events
    assert list(ApplicationLink.select().order_by(ApplicationLink.slug).dicts()) == rows


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_it_exports_what_makes_the_same_links_elsewhere(run: Run, link_id: str, form: list[str]) -> None:
    run("links", "apply", "-", "--yes", typed=LINKS, **BOOKS)
    exported = run("links", "export", *form).out
    assert link_id in exported
    assert "CANARY" not in exported
    ApplicationLink.delete().execute()
    made = run("links", "apply", "-", "--yes", typed=exported, **BOOKS, **SECRET)
    assert made.status == 0, made.err
    assert run("links", "export", *form).out == exported


def test_it_shows_a_difference_before_it_changes_anything(run: Run, connect: Connect) -> None:
    connect()
    wanted = run("links", "export").out.replace("payroll-client", "another")
    said = run("links", "apply", "-", "--dry-run", typed=wanted, **SECRET)
    assert said.status == 1
    assert "~ payroll\n    client_id: payroll-client → another\n" in said.out
    assert "WARNING: This disconnects 1 connected account (ada@example.com)." in said.out
    assert Connection.get().state == State.CONNECTED
    assert "add --yes" in run("links", "apply", "-", typed=wanted, **SECRET).err
    assert Connection.get().state == State.CONNECTED
    assert run("links", "apply", "-", "--yes", typed=wanted, **SECRET).status == 0
    assert Connection.get().state == State.DISCONNECTED


def test_it_keeps_a_secret_that_isnt_given_and_stores_one_that_differs(run: Run, link_id: str) -> None:
    exported = run("links", "export").out
    assert run("links", "apply", "-", "--yes", typed=exported).out == "= 1 unchanged\n"
    said = run("links", "apply", "-", "--yes", typed=exported, PAYROLL_CLIENT_SECRET="CANARY-other")
    assert (said.status, said.out) == (0, "~ payroll\n    client_secret: (changed)\n")


def test_it_reads_a_secret_from_a_file(run: Run, link_id: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{CLIENT_SECRET}\n")
    said = run(
        "links",
        "apply",
        "-",
        "--yes",
        typed=run("links", "export").out,
        PAYROLL_CLIENT_SECRET_FILE=str(tmp_path / "secret"),
    )
    assert said.out == "= 1 unchanged\n"


def test_it_deletes_only_when_told_to(run: Run, connect: Connect) -> None:
    connect()
    none = "version: 1\nlinks: []\n"
    assert run("links", "apply", "-", "--yes", typed=none).out == "= 0 unchanged\n"
    said = run("links", "apply", "-", "--prune", typed=none)
    assert (said.status, ApplicationLink.select().count()) == (1, 1)
    assert "- payroll\n    WARNING: This deletes 1 connected account (ada@example.com)" in said.out
    said = run("links", "apply", "-", "--prune", "--yes", typed=none)
    assert (said.status, ApplicationLink.select().count()) == (0, 0)
    assert "The provider" in said.err


def test_it_changes_nothing_where_one_link_cant_be_stored(run: Run, link_id: str) -> None:
    wanted = LINKS.replace("name: Reports", "name: Payroll")
    said = run("links", "apply", "-", "--yes", typed=wanted, **BOOKS)
    assert said.status == 1
    assert "reports: name: Another application link has this name already." in said.err
    assert [link.slug for link in ApplicationLink.select()] == ["payroll"]
    assert not IncomingLink.select().exists()


def test_it_makes_no_link_without_its_secret(run: Run) -> None:
    said = run("links", "apply", "-", "--yes", typed=LINKS)
    assert said.status == 1
    assert "books: it needs its client secret: set BOOKS_CLIENT_SECRET or BOOKS_CLIENT_SECRET_FILE." in said.err
    assert not ApplicationLink.select().exists()


def test_it_says_all_that_is_wrong_at_once(run: Run) -> None:
    wanted = LINKS.replace("provider: google", "provider: goggle").replace("scopes: tokens:read", "scopse: tokens:read")
    said = run("links", "apply", "-", "--yes", typed=wanted, **BOOKS)
    assert said.status == 1
    assert "links[0] books: provider: Choose one of the providers.\n" in said.err
    assert "links[1] reports: 'scopse': There is no such member. Is scopes meant?\n" in said.err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version: 1", "version: 2", "version: Write 1"),
        ("slug: reports", "slug: books", "links[1] books: slug: links[0] books has it already."),
        ("slug: books", "slug: new", "slug: A slug is"),
        ("slug: books", "slug: Books", "slug: A slug is"),
        ("slug: books", "slug: [a]", "slug: Write it as a text."),
        ("slug: books", "slug: books\n  id: x", "id: An ID is 32"),
        ("direction: incoming", "direction: both", "direction: Write outgoing or incoming."),
        ("name: no", "name: null", "Line 5: leave out what has no value"),
        ("name: no", "name: &a no", "Line 5: anchors and aliases"),
        ("name: no", "name: *a", "Line 5: anchors and aliases"),
        ("name: no", "name: !!python/object:os.system no", "Line 5: tags (!)"),
        ("name: no", "name: no\n  name: yes", "Line 6: 'name' stands there twice."),
        ("name: no", 'name: "\\0"', "Line 5: a character that can't be stored"),
        ("name: no", "name: \x07", "This is no YAML"),
        ("name: no", "name: {", "this is no YAML"),
        ("name: no", f"name: {'[' * 5000}", "deeper than anything here is"),
        ("name: no", "name: no\n  client_secret: CANARY", "client_secret: Secrets never stand in this file"),
        ("BOOKS_CLIENT_SECRET", "HOME", "client_secret_from: Name a variable that ends in _CLIENT_SECRET"),
        ("BOOKS_CLIENT_SECRET", "APPLINKS_CLIENT_SECRET", "not APPLINKS_ at its beginning"),
        ("[books]", "[nobody]", "links[1] reports: token_links: There is no outgoing link with the slug nobody."),
        ("[books]", "books", "token_links: Write a list of texts."),
        ("https://reports", "http://reports", "redirect_uris:"),
        ("name: Reports", "name: Reports\n  access_token_life: 1 hour", "access_token_life: Write a number of seconds"),
        ("name: Reports", "name: Reports\n  disabled: maybe", "disabled: Write yes or no."),
        (LINKS, "", "Write one document"),
        (LINKS, f"{LINKS}---\n{LINKS}", "Write one document"),
        (LINKS, "[]", "The file must hold version: 1"),
        (LINKS, "version: 1\nlinks:\n", "links: Write a list of links"),
        (LINKS, "x" * 1_100_000, "The file is longer than"),
    ],
)
def test_it_refuses_what_it_cant_mean(run: Run, old: str, new: str, says: str) -> None:
    said = run("links", "apply", "-", "--yes", typed=LINKS.replace(old, new), **BOOKS)
    assert says in said.err
    assert said.status == 1
    assert "CANARY" not in said.out + said.err
    assert not ApplicationLink.select().exists()


def test_it_refuses_what_never_changes(run: Run, link_id: str) -> None:
    exported = run("links", "export").out
    said = run("links", "apply", "-", "--yes", typed=exported.replace(link_id, "0" * 32), **SECRET)
    assert f"links[0] payroll: id: A link's ID never changes, and this one's is {link_id}." in said.err
    said = run("links", "apply", "-", "--yes", typed=exported.replace("slug: payroll", "slug: other"), **SECRET)
    assert "id: The link payroll has it. A link's slug never changes." in said.err


def test_it_reads_no_file_that_is_no_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "links.yaml").write_bytes(b"\xff\xfe")
    said = run("links", "apply", str(tmp_path / "links.yaml"))
    assert said.status == 1
    assert "can't be read" in said.err


def test_it_exports_json_that_programs_read(run: Run, link_id: str) -> None:
    assert json.loads(run("links", "export", "--json").out)["links"][0]["slug"] == "payroll"


def test_it_writes_down_every_drawer(run: Run) -> None:
    given, secrets = "version: 1\nlinks:\n", {}
    for key in sorted(BROUGHT):
        name = f"{key.upper().replace('-', '_')}_CLIENT_SECRET"
        fields = {"slug": key, "id": new_id(), "direction": "outgoing", "name": CATALOGUE[key].name, "provider": key}
        fields |= place_of(key) | {"client_id": "payroll-client", "client_secret_from": name}
        given += "- " + "\n  ".join(f"{field}: '{text}'" for field, text in fields.items()) + "\n"
        secrets[name] = CLIENT_SECRET
    made = run("links", "apply", "-", "--yes", typed=given, **secrets)
    assert made.status == 0, made.err
    exported = run("links", "export").out
    ApplicationLink.delete().execute()
    assert run("links", "apply", "-", "--yes", typed=exported, **secrets).status == 0
    assert run("links", "export").out == exported
    assert run("links", "apply", "-", "--dry-run", typed=exported, **secrets).out == f"= {len(BROUGHT)} unchanged\n"


@pytest.mark.sqlite
def test_it_makes_the_links_of_one_machine_on_another(run: Run, link_id: str, tmp_path: Path) -> None:
    run("links", "apply", "-", "--yes", typed=LINKS, **BOOKS)
    other = {"APPLINKS_DATA_DIR": str(tmp_path / "other")}
    exported = run("links", "export").out
    open_storage(read_settings(other))
    made = run("links", "apply", "-", "--yes", typed=exported, **SECRET, **BOOKS, **other)
    assert made.status == 0, made.err
    assert (
        f"payroll: register this Redirect URL at the provider: http://127.0.0.1:5000/oauth/callback/{link_id}"
        in made.err
    )
    assert run("links", "export", **other).out == exported


def test_it_applies_the_example_of_the_book(run: Run) -> None:
    example = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "links-as-code.md").read_text(), re.DOTALL)[0]
    said = run("links", "apply", "-", "--yes", typed=example, **SECRET)
    assert said.status == 0, said.err
    assert run("links", "apply", "-", "--dry-run", typed=example, **SECRET).status == 0


def test_it_asks_at_a_terminal(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "CANARY-typed" if "books" in prompt else "")
    (tmp_path / "links.yaml").write_text(LINKS)
    for answer in ("n\n", "\n", "yes, but\n", ""):
        said = run("links", "apply", str(tmp_path / "links.yaml"), typed=answer, at_terminal=True)
        assert (said.status, said.err) == (1, "Nothing was changed.\n")
        assert not ApplicationLink.select().exists()
    said = run("links", "apply", str(tmp_path / "links.yaml"), typed="y\n", at_terminal=True)
    assert (said.status, ApplicationLink.select().count()) == (0, 2)


def test_it_makes_nothing_of_an_empty_secret(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda _: "")
    (tmp_path / "links.yaml").write_text(LINKS)
    said = run("links", "apply", str(tmp_path / "links.yaml"), "--yes", at_terminal=True)
    assert (said.status, ApplicationLink.select().count()) == (1, 0)
    assert "Fill in the client secret" in said.err


def test_it_changes_nothing_over_somebody_elses_change(run: Run, link_id: str, services: Services) -> None:
    exported = run("links", "export").out
    content = strict_yaml.read(exported.replace("name: Payroll", "name: Wages"))
    entries = read_document(services.guard, services.catalogue, content, lambda _: "")
    plan = services.applying.plan(entries, prune=False)
    ApplicationLink.update(version=2).execute()
    with pytest.raises(ConflictError, match="somebody else has changed it"):
        services.applying.apply(plan, ADA)
    assert ApplicationLink.get().name == "Payroll"


def test_it_makes_links_once_when_two_apply_at_the_same_time(run: Run, environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "links.yaml").write_text(LINKS)
    command = f"links apply {tmp_path / 'links.yaml'} --yes"
    both = [Process(tmp_path / "data", command, **{**environ, **BOOKS}) for _ in range(2)]
    statuses = [process.wait() for process in both]
    said = ["\n".join(process.lines) for process in both]
    assert 0 in statuses
    for status, text in zip(statuses, said, strict=True):
        assert status == 0 or "somebody else has changed it since" in text, text
    assert sum("shown this once" in text for text in said) == 1
    assert Event.select().where(Event.what == "created").count() == 2


def test_it_disables_an_incoming_link_and_gives_it_a_secret(run: Run, services: Services) -> None:
    run("links", "apply", "-", "--yes", typed=LINKS, **BOOKS)
    wanted = LINKS.replace("name: Reports", "name: Reports\n  disabled: yes\n  client_secret_from: R_CLIENT_SECRET")
    short = run("links", "apply", "-", "--yes", typed=wanted, R_CLIENT_SECRET="CANARY")
    assert "has 32 characters or more" in short.err
    assert IncomingLink.get().disabled_at is None
    said = run("links", "apply", "-", "--yes", typed=wanted, R_CLIENT_SECRET="CANARY" * 6)
    assert said.status == 0, said.err
    assert IncomingLink.get().disabled_at
    assert services.incoming.has_secret(services.incoming.find("reports"), "CANARY" * 6)
    again = run("links", "apply", "-", "--yes", typed=wanted, R_CLIENT_SECRET="CANARY" * 6)
    assert again.out == "= 2 unchanged\n"


def test_it_leaves_the_secret_alone_where_only_something_else_differs(
    run: Run, link_id: str, services: Services
) -> None:
    OutgoingLink.update(client_secret_set_at=7).execute()
    wanted = run("links", "export").out.replace("name: Payroll", "name: Wages")
    said = run("links", "apply", "-", "--yes", typed=wanted, **SECRET)
    assert said.out == "~ payroll\n    name: Payroll → Wages\n"
    assert OutgoingLink.get().client_secret_set_at == 7
    assert services.links.has_secret(services.links.outgoing("payroll"), CLIENT_SECRET)
