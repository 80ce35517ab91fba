"""Signing in and out, setting up, and the sessions in between."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from applinks.errors import NotFoundError, ThrottledError
from applinks.models import Administrator, SignInSession, database
from applinks.services import demo
from applinks.settings import Settings, read_settings
from applinks.wiring import Services
from tests.conftest import ADA, PASSWORD, Clock
from tests.visitor import Visitor, text_of

MakeAdministrator = Callable[[str], Administrator]


@pytest.fixture
def bob(make_administrator: MakeAdministrator) -> Administrator:
    return make_administrator("bob")


def test_it_signs_in(stranger: Visitor, bob: Administrator) -> None:
    assert stranger.sign_in("bob", PASSWORD).headers["Location"] == "/"
    assert "Sign out" in stranger.get("/links").text


@pytest.mark.parametrize(
    ("username", "password"), [("bob", "CANARY wrong"), ("nobody", PASSWORD), ("", ""), ("bob", ""), ("BOB", PASSWORD)]
)
def test_it_says_the_same_about_every_wrong_try(
    stranger: Visitor, bob: Administrator, username: str, password: str
) -> None:
    """A110"""
    response = stranger.sign_in(username, password)
    assert response.status_code == 422
    assert "User name or password is wrong." in text_of(response)
    assert stranger.get("/links").status_code == 303


def test_it_lets_nobody_in_without_a_password(stranger: Visitor, bob: Administrator) -> None:
    Administrator.update(password_hash="").execute()
    assert stranger.sign_in("bob", "").status_code == 422


def test_it_slows_guessing_down(stranger: Visitor, bob: Administrator, clock: Clock) -> None:
    """A109: a thousand guesses in ten minutes, of which about twenty are looked at; nobody is locked out."""
    statuses = []
    for _ in range(200):
        statuses.append(stranger.sign_in("bob", "CANARY wrong").status_code)
        clock.advance(3)
    assert statuses.count(422) <= 20
    assert set(statuses) == {422, 429}
    clock.advance(60)
    assert stranger.sign_in("bob", PASSWORD).status_code == 303


def test_it_looks_at_few_of_many_guesses_at_once(services: Services, bob: Administrator) -> None:
    """Those that come together don't pass one gap together."""

    def guess(_: int) -> bool:
        try:
            services.sign_in.check_password("bob", "CANARY wrong", "198.51.100.7")
        except ThrottledError:
            return False
        finally:
            database.close()
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(guess, range(24))) <= 6


def test_it_says_when_to_try_again(stranger: Visitor, bob: Administrator) -> None:
    for _ in range(5):
        stranger.sign_in("bob", "CANARY wrong")
    response = stranger.sign_in("bob", PASSWORD)
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "1"


def test_it_slows_one_address_over_all_accounts(stranger: Visitor, bob: Administrator) -> None:
    for number in range(5):
        stranger.sign_in(f"somebody-{number}", "CANARY wrong")
    assert stranger.sign_in("bob", PASSWORD).status_code == 429


def test_it_knows_a_name_however_it_was_typed(stranger: Visitor, make_administrator: MakeAdministrator) -> None:
    """Some keyboards send an accent as a character of its own."""
    make_administrator("Zo\u00eb")
    assert stranger.sign_in(" Zoe\u0308 ", PASSWORD).status_code == 303


class TestBehindAProxy:
    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return environ | {"APPLINKS_TRUSTED_PROXIES": "127.0.0.1/32"}

    @pytest.mark.parametrize("spelling", ["bob", " {0}bob", "bob{0} ", "BOB"])
    def test_it_slows_one_account_over_all_addresses(
        self, stranger: Visitor, bob: Administrator, spelling: str
    ) -> None:
        """A109: no spelling of a name that finds the account is a fresh start."""
        for number in range(6):
            last = self.guess(stranger, spelling.format(" " * number), f"203.0.113.{number % 3}")
        assert last == 429

    def guess(self, visitor: Visitor, username: str, address: str, password: str = "CANARY wrong") -> int:
        form = {"username": username, "password": password}
        headers = {"Origin": visitor.base_url, "X-Forwarded-For": address}
        return visitor.post("/sign-in", form, headers=headers).status_code

    def test_it_looks_at_few_guesses_from_several_addresses(
        self, stranger: Visitor, bob: Administrator, clock: Clock
    ) -> None:
        """A109"""
        looked_at = 0
        for _ in range(100):
            looked_at += [self.guess(stranger, "bob", f"203.0.113.{number}") for number in range(3)].count(422)
            clock.advance(6)
        assert looked_at <= 20

    def test_it_lets_the_owner_in_while_others_guess(self, stranger: Visitor, bob: Administrator, clock: Clock) -> None:
        """A109: whoever guesses without end keeps nobody out."""
        for _ in range(20):
            for number in range(6):
                self.guess(stranger, "bob", f"203.0.113.{number}")
            clock.advance(10)
        assert self.guess(stranger, "bob", "198.51.100.9", PASSWORD) == 303

    @pytest.mark.parametrize("address", ["2001:db8:1:2::{:x}", "2001:db8:1:2:{:x}::1"])
    def test_it_takes_a_subscribers_addresses_for_one(
        self, stranger: Visitor, bob: Administrator, address: str
    ) -> None:
        """A109: who has one IPv6 address has 2^64 of them."""
        answers = [self.guess(stranger, "bob", address.format(number + 1)) for number in range(8)]
        assert answers[:5] == [422] * 5
        assert 429 in answers[5:7]

    def test_it_knows_an_address_in_both_spellings(self, stranger: Visitor, bob: Administrator) -> None:
        for number in range(5):
            self.guess(stranger, f"somebody-{number}", "203.0.113.9")
        assert self.guess(stranger, "bob", "::ffff:203.0.113.9") == 429

    def test_it_lets_another_subscriber_try(self, stranger: Visitor, bob: Administrator) -> None:
        for number in range(8):
            self.guess(stranger, "bob", f"2001:db8:1:2::{number + 1:x}")
        assert self.guess(stranger, "bob", "2001:db8:1:3::1", PASSWORD) == 303


def test_it_begins_a_new_session_at_every_sign_in(stranger: Visitor, bob: Administrator) -> None:
    """A119, A125: what a stranger's browser held before counts for nothing afterwards."""
    before = stranger.csrf_token()
    stranger.sign_in("bob", PASSWORD)
    assert stranger.post("/settings/appearance", {"appearance": "dark", "csrf_token": before}).status_code == 400
    first = SignInSession.get().id_digest
    stranger.sign_in("bob", PASSWORD)
    assert [row.id_digest for row in SignInSession.select()] != [first]


def test_it_stores_no_session_id(stranger: Visitor, bob: Administrator) -> None:
    """A118: a row copied into a cookie signs nobody in."""
    stranger.sign_in("bob", PASSWORD)
    digest = SignInSession.get().id_digest
    with stranger.client.session_transaction(base_url=stranger.base_url) as session:
        assert session["id"] != digest
        session["id"] = digest
    assert stranger.get("/links").status_code == 303


def test_it_ends_a_session_after_an_hour_idle(ada: Visitor, clock: Clock) -> None:
    """A120"""
    clock.advance(3599)
    assert ada.get("/links").status_code == 200
    clock.advance(3601)
    assert ada.get("/links").headers["Location"] == "/sign-in?next=/links"


def test_it_ends_a_session_after_twelve_hours(ada: Visitor, clock: Clock) -> None:
    for _ in range(23):
        clock.advance(1800)
        assert ada.get("/links").status_code == 200
    clock.advance(1800)
    assert ada.get("/links").status_code == 303


def test_it_kills_the_session_at_sign_out(ada: Visitor) -> None:
    """A121: an old cookie is worth nothing."""
    with ada.client.session_transaction(base_url=ada.base_url) as session:
        kept = dict(session)
    response = ada.post("/sign-out")
    assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
    with ada.client.session_transaction(base_url=ada.base_url) as session:
        session.update(kept)
    assert ada.get("/links").status_code == 303


def test_it_does_not_sign_out_by_get(ada: Visitor) -> None:
    assert ada.get("/sign-out").status_code == 405


STARTS = ["//", "/\\", "\\\\", "///", "/\t/", "/\n/", "/\r/", "\t//", " //", "/ /", "/%09/x\\", "\x00//", "/\x0b/"]
STARTS += ["http://", "https:", "HTTPS://", "javascript:", "data:", "ftp://", "", "?", "#", ".", "..//", "\u2215\u2215"]
STARTS += ["/\u2215", "//%5c", "\\/", "/\\/", "@", "/\\\t", "////", "/\u3000/", "http:\\\\"]


@pytest.mark.parametrize("start", STARTS)
def test_it_leads_nowhere_else(stranger: Visitor, ada: Visitor, start: str) -> None:
    """A133"""
    for end in ("evil.example", "evil.example/%2f..", "user@evil.example"):
        path = {"next": start + end}
        assert 'name="next" value="/"' in stranger.get("/sign-in", query_string=path).text
        assert ada.get("/sign-in", query_string=path).headers["Location"] == "/"


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example"])
def test_it_leads_nowhere_else_by_a_changed_form(stranger: Visitor, bob: Administrator, path: str) -> None:
    assert stranger.sign_in("bob", PASSWORD, next=path).headers["Location"] == "/"


def test_it_leads_back_to_the_page_that_was_asked_for(stranger: Visitor, bob: Administrator) -> None:
    asked = stranger.get("/links/new?direction=incoming").headers["Location"]
    assert asked == "/sign-in?next=/links/new?direction%3Dincoming"
    assert (
        stranger.sign_in("bob", PASSWORD, next="/links/new?direction=incoming").headers["Location"].endswith("incoming")
    )


class TestSettingUp:
    @pytest.fixture
    def code(self, services: Services) -> str:
        return services.sign_in.new_setup_code()

    def set_up(self, visitor: Visitor, code: str, **changed: str) -> int:
        fields = {"username": "ada", "password": PASSWORD} | changed
        return visitor.post(f"/setup/{code}", fields).status_code

    def test_it_makes_the_first_administrator_once(self, stranger: Visitor, code: str) -> None:
        assert stranger.get(f"/setup/{code}").status_code == 200
        assert self.set_up(stranger, code) == 303
        assert stranger.get("/links").status_code == 200
        assert stranger.get(f"/setup/{code}").status_code == 404
        assert self.set_up(stranger, code, username="eve") == 404
        assert Administrator.select().count() == 1

    def test_it_is_good_for_half_an_hour(self, stranger: Visitor, code: str, clock: Clock) -> None:
        clock.advance(1801)
        assert self.set_up(stranger, code) == 404

    @pytest.mark.parametrize("code", ["x", "A" * 43, "%00"])
    def test_it_knows_no_other_code(self, stranger: Visitor, code: str) -> None:
        assert stranger.get(f"/setup/{code}").status_code == 404

    def test_it_replaces_an_earlier_code(self, stranger: Visitor, code: str, services: Services) -> None:
        services.sign_in.new_setup_code()
        assert self.set_up(stranger, code) == 404

    def test_it_makes_one_administrator_however_many_try_at_once(self, services: Services, code: str) -> None:
        """A106"""

        def make(number: int) -> bool:
            try:
                services.sign_in.set_up(code, f"eve-{number}", PASSWORD, "127.0.0.1")
            except NotFoundError:
                return False
            finally:
                database.close()
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(make, range(6))) == 1
        assert Administrator.select().count() == 1

    @pytest.mark.parametrize(
        "password",
        [
            "",
            "short",
            "eleven char",
            "x" * 129,
            "aaaaaaaaaaaa",
            "abababababab",
            "password1234",
            "PassWord2026!",
            "applinks-2026",
        ]
        + ["123456789012", "qwertyuiop[]", "ada123456789", "administrator1", "letmein-letmein", "passwordpassword"],
    )
    def test_it_refuses_a_password_that_is_guessed(self, stranger: Visitor, code: str, password: str) -> None:
        """A107"""
        assert self.set_up(stranger, code, password=password) == 422
        assert not Administrator.select().exists()

    @pytest.mark.parametrize("password", ["plum lantern orbit", "ünïcödé 🔑 passt gut", "p1q " + "xyz" * 41 + "!"])
    def test_it_accepts_any_other_password_whole(self, stranger: Visitor, code: str, password: str) -> None:
        assert self.set_up(stranger, code, password=password) == 303
        stranger.post("/sign-out")
        assert stranger.sign_in("ada", password[:-1] + "?").status_code == 422
        assert stranger.sign_in("ada", password).status_code == 303

    @pytest.mark.parametrize("username", ["", " ", "x" * 61, "a\x00b", "a\nb"])
    def test_it_refuses_a_name_that_is_none(self, stranger: Visitor, code: str, username: str) -> None:
        assert self.set_up(stranger, code, username=username) == 422

    def test_it_tells_nobody_the_address(self, stranger: Visitor, code: str) -> None:
        assert stranger.get(f"/setup/{code}").headers["Referrer-Policy"] == "strict-origin"


class TestSettings:
    def change(self, visitor: Visitor, current: str, new: str) -> int:
        return visitor.post("/settings/password", {"current_password": current, "password": new}).status_code

    def test_it_changes_the_password_and_ends_other_sessions(self, ada: Visitor, stranger: Visitor) -> None:
        """A108"""
        stranger.sign_in("ada", PASSWORD)
        assert self.change(ada, PASSWORD, "CANARY another lantern") == 303
        assert ada.get("/links").status_code == 200
        assert stranger.get("/links").status_code == 303
        assert stranger.sign_in("ada", "CANARY another lantern").status_code == 303

    @pytest.mark.parametrize(("current", "new"), [("CANARY wrong", PASSWORD + "!"), (PASSWORD, "short"), ("", "")])
    def test_it_refuses_a_wrong_change(self, ada: Visitor, current: str, new: str) -> None:
        assert self.change(ada, current, new) == 422
        assert ada.sign_in("ada", PASSWORD).status_code == 303

    def test_it_slows_guessing_here_too(self, ada: Visitor) -> None:
        for _ in range(5):
            self.change(ada, "CANARY wrong", PASSWORD + "!")
        assert self.change(ada, PASSWORD, PASSWORD + "!") == 429

    @pytest.mark.parametrize("appearance", ["system", "light", "dark"])
    def test_it_remembers_the_appearance(self, ada: Visitor, appearance: str) -> None:
        ada.post("/settings/appearance", {"appearance": appearance})
        assert ('data-theme="' + appearance in ada.get("/links").text) == (appearance != "system")

    @pytest.mark.parametrize("appearance", ["", "blue", '"><script>'])
    def test_it_refuses_another_appearance(self, ada: Visitor, appearance: str) -> None:
        response = ada.post("/settings/appearance", {"appearance": appearance})
        assert response.status_code == 422
        assert "<script>" not in response.text.replace("<script src", "")


@pytest.mark.sqlite
class TestTheDemosAddress:
    """The one change by GET: it signs its visitor in, once."""

    @pytest.fixture
    def settings(self, environ: dict[str, str]) -> Settings:
        return read_settings(environ, demo=True)

    @pytest.fixture
    def path(self, services: Services, settings: Settings, clock: Clock) -> str:
        demo.seed(services.links, services.incoming, settings.base_url, int(clock()))
        return f"/setup/{services.sign_in.new_setup_code()}"

    def test_it_signs_in_the_first_that_opens_it(
        self, app: Flask, stranger: Visitor, settings: Settings, path: str
    ) -> None:
        assert stranger.get(path).headers["Location"] == "/"
        assert "Demo provider" in stranger.get("/links").text
        assert stranger.get(path).headers["Location"] == "/"
        assert Visitor(app.test_client(), settings.base_url).get(path).status_code == 404

    @pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
    def test_it_is_not_spent_by_anything_but_opening_it(self, stranger: Visitor, path: str, method: str) -> None:
        token = stranger.csrf_token()
        stranger.client.open(path, method=method, data={"csrf_token": token}, base_url=stranger.base_url)
        assert not SignInSession.select().exists()
        assert stranger.get(path).status_code == 303

    def test_it_is_good_for_half_an_hour(self, stranger: Visitor, path: str, clock: Clock) -> None:
        clock.advance(1800)
        assert stranger.get(path).status_code == 404

    @pytest.mark.parametrize("password", ["", PASSWORD, "demo"])
    def test_it_has_no_password_to_guess(self, stranger: Visitor, path: str, password: str) -> None:
        assert stranger.sign_in("demo", password).status_code == 422


@pytest.mark.parametrize("how", ["disabled", "password"])
def test_it_signs_nobody_in_who_is_sent_away_meanwhile(
    stranger: Visitor, services: Services, bob: Administrator, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A108, A115: the right password was shown, and hashing it takes its time."""
    check = services.sign_in.check_password

    def slow(username: str, password: str, address: str) -> Administrator | None:
        found = check(username, password, address)
        if how == "disabled":
            services.sign_in.disable("bob", ADA)
        else:
            services.sign_in.set_password("bob", "CANARY three other words", ADA)
        return found

    monkeypatch.setattr(services.sign_in, "check_password", slow)
    assert stranger.sign_in("bob", PASSWORD).status_code == 400
    assert not SignInSession.select().exists()
