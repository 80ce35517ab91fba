"""`api-keys`, `admin` and `events`."""

import json
from collections.abc import Callable

import pytest

from applinks.models import Administrator, ApiKey, Event, Instance, SignInSession, Tally
from applinks.services.api_keys import id_of
from applinks.wiring import Services
from tests.cli.conftest import Run
from tests.conftest import PASSWORD

Connect = Callable[..., None]


def test_it_makes_a_key_and_prints_it_once(run: Run, link_id: str, services: Services) -> None:
    said = run("api-keys", "make", "backup", "--link", "payroll", "--expires", "7")
    key = said.out.strip()
    access = services.api_keys.authenticate(key, "127.0.0.1")
    assert (access.link_ids, access.manages) == (frozenset([link_id]), False)
    listed = run("api-keys", "list").out + run("api-keys", "list", "--json").out
    assert "backup" in listed
    assert key not in listed + said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["backup"], "one of the arguments --link --all-links --no-links is required"),
        (["backup", "--link", "payroll", "--all-links"], "not allowed with"),
        (["backup", "--link", "nobody"], "There is no application link here"),
        (["backup", "--all-links", "--expires", "366"], "1 to 365 days"),
        (["", "--all-links"], "name"),
    ],
)
def test_it_makes_no_key_out_of_wrong_words(run: Run, link_id: str, arguments: list[str], says: str) -> None:
    said = run("api-keys", "make", *arguments)
    assert said.status in (1, 2)
    assert says in said.err
    assert not ApiKey.select().exists()


def test_it_tells_typo_revoked_and_expired_apart(run: Run, services: Services) -> None:
    key = run("api-keys", "make", "backup", "--all-links", "--manage").out.strip()
    good = run("api-keys", "check", typed=f"{key}\n")
    assert (good.status, good.out.split(",")[0]) == (0, "backup: good")
    assert run("api-keys", "check", typed=key[:-1]).out == "mistyped\n"
    assert run("api-keys", "check", typed="").out == "mistyped\n"
    assert run("api-keys", "revoke", id_of(key)).status == 0
    revoked = run("api-keys", "check", typed=key)
    assert (revoked.status, revoked.out) == (1, "backup: revoked\n")
    ApiKey.update(revoked_at=None, expires_at=1).execute()
    assert run("api-keys", "check", typed=key).out == "backup: expired\n"
    ApiKey.delete().execute()
    assert run("api-keys", "check", typed=key).out == "not a key of this Applinks\n"
    assert run("api-keys", "revoke", "nobody").status == 1


def test_it_makes_disables_and_brings_back_an_administrator(run: Run, services: Services) -> None:
    assert run("admin", "create", "bob", typed=f"{PASSWORD}\n").status == 0
    bob = services.sign_in.check_password("bob", PASSWORD, "127.0.0.1")
    assert bob
    session = services.sign_in.begin_session(bob)
    assert run("admin", "disable", "bob").status == 0
    assert services.sign_in.session(session, active=True) is None
    assert services.sign_in.check_password("bob", PASSWORD, "127.0.0.1") is None
    assert run("admin", "password", "bob", typed=f"{PASSWORD} anew\n").status == 0
    assert services.sign_in.check_password("bob", f"{PASSWORD} anew", "127.0.0.1")
    what = [event.what for event in Event.select().order_by(Event.id)]
    for line in ("administrator made", "administrator disabled", "password changed"):
        assert line in what


@pytest.mark.parametrize(
    ("arguments", "typed", "says"),
    [
        (["create", "bob"], "short\n", "12 or more"),
        (["create", ""], f"{PASSWORD}\n", "user name"),
        (["create", "ada"], f"{PASSWORD}\n", "already"),
        (["password", "nobody"], f"{PASSWORD}\n", "no administrator called nobody"),
        (["disable", "nobody"], "", "no administrator called nobody"),
    ],
)
def test_it_refuses_what_is_no_administrator(
    run: Run, make_administrator: Callable[[str], Administrator], arguments: list[str], typed: str, says: str
) -> None:
    make_administrator("ada")
    said = run("admin", *arguments, typed=typed)
    assert said.status == 1
    assert says in said.err
    assert "CANARY" not in said.err
    assert Administrator.select().count() == 1
    assert not SignInSession.select().exists()


class TestEvents:
    def test_it_prints_them_newest_last(self, run: Run, connect: Connect) -> None:
        connect()
        lines = run("events", "--link", "payroll").out.splitlines()
        assert [line.split("127.0.0.1")[1].split("  ")[1].strip() for line in lines[1:]] == [
            *("created", "connect begun", "connected")
        ]
        found = json.loads(run("events", "--json", "--what", "connected", "--who", "ada").out)
        assert [(event["what"], event["link"]) for event in found] == [("connected", "payroll")]
        assert json.loads(run("events", "--json", "--until", "2020-01-01").out) == []
        assert run("events", "--since", "yesterday").status == 2

    def test_it_finds_the_log_whole(self, run: Run, connect: Connect) -> None:
        connect()
        kept = run("events", "--head").out.strip()
        run("token", "payroll")
        said = run("events", "--verify", kept)
        assert (said.status, said.err) == (0, "")
        assert ", whole. It ends with" in said.out

    @pytest.mark.parametrize(
        ("harm", "says"),
        [
            (lambda: Event.update(actor="eve").where(Event.id == 2).execute(), "Line 2 was changed"),
            (lambda: Event.update(at=1).where(Event.id == 2).execute(), "Line 2 was changed"),
            (lambda: Event.update(mac="0" * 64).where(Event.id == 2).execute(), "Line 2 was changed"),
            (lambda: Event.delete().where(Event.id == 2).execute(), "Line 2 is missing"),
            (lambda: Event.delete().where(Event.id <= 2).execute(), "Lines 1 to 2 are missing"),
            (lambda: Event.delete().where(Event.id == newest()).execute(), "Lines are missing after line"),
            (lambda: Event.delete().execute(), "Every line is missing"),
            (lambda: Event.update(id=100).where(Event.id == 2).execute(), "Line 2 is missing"),
            (lambda: swap(1, 2), "Line 1 was changed, or isn't where it was written"),
            (lambda: Tally.update(count=1).execute(), "How often line"),
            (lambda: Tally.update(last_at=1).execute(), "How often line"),
            (lambda: Tally.delete().execute(), "How often line"),
            (lambda: Instance.update(events_end="").execute(), "Lines are missing after"),
        ],
    )
    def test_it_finds_what_was_changed(self, run: Run, connect: Connect, harm: Callable[[], object], says: str) -> None:
        """A173"""
        connect()
        for _ in range(2):
            run("token", "payroll")
        harm()
        said = run("events", "--verify")
        assert said.status == 1
        assert says in said.err

    def test_it_finds_an_earlier_state_by_a_head_that_was_kept(self, run: Run, connect: Connect) -> None:
        connect()
        assert run("events", "--verify", "7:" + "0" * 64).status == 1
        assert "The end that was kept isn't in it" in run("events", "--verify", "7:" + "0" * 64).err


def newest() -> int:
    return int(Event.select(Event.id).order_by(Event.id.desc()).get().id)


def swap(one: int, other: int) -> None:
    """Let two lines change places, with all that is in them."""
    for before, after in ((one, -1), (other, one), (-1, other)):
        Event.update(id=after).where(Event.id == before).execute()
