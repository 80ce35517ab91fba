"""What an application was given: how long it lives, who may use it, and what for."""

from collections.abc import Callable
from typing import ClassVar
from urllib.parse import urlencode

import pytest

from applinks.models import TABLES, AuthorizationCode, Event, IncomingLink, IssuedGrant, IssuedToken
from applinks.services import authorization
from applinks.wiring import Services
from tests.application import CHALLENGE, REDIRECT, REQUEST, SECRET, VERIFIER, Application, make_incoming
from tests.conftest import ADA, CLIENT_SECRET, Clock
from tests.visitor import Visitor

DAY = 86_400
ALL = "profile links:read tokens:read links:manage"


@pytest.fixture(autouse=True)
def what_is_given_is_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token in these tests has the word in it that logs, pages and the database are searched for."""
    monkeypatch.setattr(authorization, "ACCESS_PREFIX", "apa_CANARY-")
    monkeypatch.setattr(authorization, "REFRESH_PREFIX", "apr_CANARY-")


@pytest.fixture(autouse=True)
def links(services: Services, ada: Visitor) -> None:
    make_incoming(services, scopes=ALL, grant_types="authorization_code client_credentials", life=3600)
    make_incoming(services, "Other", grant_types="authorization_code client_credentials", scopes="links:read")
    make_incoming(services, "Public", client_secret_digest="")


@pytest.fixture
def application(ada: Visitor) -> Application:
    return Application(ada)


def refused(answer: object, error: str, status: int = 400) -> None:
    assert answer.status_code == status, answer.text  # type: ignore[attr-defined]
    assert answer.json["error"] == error  # type: ignore[attr-defined]
    assert answer.headers["Cache-Control"] == "no-store"  # type: ignore[attr-defined]


class TestGrace:
    def test_it_gives_the_same_pair_to_whoever_lost_the_answer(self, application: Application, clock: Clock) -> None:
        """A160: the same successor, with what is left of its life."""
        first = application.tokens()
        second = application.refresh(first["refresh_token"]).json
        clock.advance(9)
        again = application.refresh(first["refresh_token"]).json
        assert again == second | {"expires_in": second["expires_in"] - 9}
        assert application.refresh(second["refresh_token"]).status_code == 200

    def test_it_ends_the_grant_when_the_moment_is_over(self, application: Application, clock: Clock) -> None:
        first = application.tokens()
        second = application.refresh(first["refresh_token"]).json
        clock.advance(10)
        refused(application.refresh(first["refresh_token"]), "invalid_grant")
        assert not application.alive(second["access_token"])
        refused(application.refresh(second["refresh_token"]), "invalid_grant")
        assert Event.select().where(Event.what == "refresh token used twice").count() == 1

    def test_it_ends_the_grant_when_the_successor_was_used(self, application: Application) -> None:
        """A160: a token before the last one, within the moment"""
        first = application.tokens()
        second = application.refresh(first["refresh_token"]).json
        third = application.refresh(second["refresh_token"]).json
        refused(application.refresh(first["refresh_token"]), "invalid_grant")
        assert not application.alive(third["access_token"])

    @pytest.mark.parametrize(("first", "then"), [("profile", None), (None, "profile"), ("profile", "links:read")])
    def test_it_says_what_the_pair_is_for_whatever_is_asked_the_second_time(
        self, application: Application, first: str | None, then: str | None
    ) -> None:
        """RFC 6749 §5.1: the scope of an answer is that of its access token."""
        token = application.tokens(scope="profile links:read")["refresh_token"]
        given = application.refresh(token, **({"scope": first} if first else {})).json
        again = application.refresh(token, **({"scope": then} if then else {})).json
        assert again == given
        assert application.introspect(again["access_token"])["scope"] == again["scope"]

    def test_it_takes_a_clock_that_was_set_back_for_no_theft(self, application: Application, clock: Clock) -> None:
        token = application.tokens()["refresh_token"]
        given = application.refresh(token).json
        clock.advance(-1)
        assert application.refresh(token).json["refresh_token"] == given["refresh_token"]
        clock.advance(-9)
        refused(application.refresh(token), "invalid_grant")

    def test_it_gives_the_successor_to_nobody_else(self, application: Application) -> None:
        first = application.tokens()
        second = application.refresh(first["refresh_token"]).json
        refused(application.refresh(first["refresh_token"], client="other"), "invalid_grant")
        refused(application.refresh(first["refresh_token"], secret="CANARY-wrong"), "invalid_client", 401)
        assert application.alive(second["access_token"])

    def test_it_keeps_no_pair_after_the_moment(
        self, application: Application, services: Services, clock: Clock
    ) -> None:
        """Sealed meanwhile: the pair stands in no row, and the seal is gone afterwards."""
        second = application.refresh(application.tokens()["refresh_token"]).json
        sealed = [row.successor_enc for row in IssuedToken.select() if row.successor_enc]
        assert len(sealed) == 1
        assert second["refresh_token"] not in str(list(IssuedToken.select().dicts()))
        services.issued.sweep()
        assert IssuedToken.select().where(IssuedToken.successor_enc != "").count() == 1
        clock.advance(10)
        services.issued.sweep()
        assert IssuedToken.select().where(IssuedToken.successor_enc != "").count() == 0

    @pytest.mark.parametrize("name", ["successor", "spent", "grant", "original", "code_found", "user", "scopes"])
    def test_it_takes_nothing_of_its_own_from_a_request(self, application: Application, name: str) -> None:
        """oauthlib finds whatever was sent as an attribute of its request."""
        first = application.tokens()
        second = application.token(grant_type="refresh_token", refresh_token=first["refresh_token"], **{name: "CANARY"})
        assert second.status_code == 200
        code = application.code()
        assert application.exchange(code, **{name: "CANARY"}).status_code == 200
        assert application.token(grant_type="client_credentials", **{name: "CANARY"}).status_code == 200


class TestLife:
    def test_it_ends_what_is_not_used_for_a_month(self, application: Application, clock: Clock) -> None:
        """A161"""
        token = application.tokens()["refresh_token"]
        clock.advance(29 * DAY)
        token = application.refresh(token).json["refresh_token"]
        clock.advance(30 * DAY)
        refused(application.refresh(token), "invalid_grant")

    def test_it_ends_what_is_used_daily_after_three_months(self, application: Application, clock: Clock) -> None:
        """A161"""
        token = application.tokens()["refresh_token"]
        for _ in range(89):
            clock.advance(DAY)
            token = application.refresh(token).json["refresh_token"]
        clock.advance(DAY - 600)
        last = application.refresh(token).json
        assert last["expires_in"] == 600, "an access token outlives its grant"
        clock.advance(600)
        refused(application.refresh(last["refresh_token"]), "invalid_grant")

    def test_it_takes_the_lives_of_its_link(self, application: Application, clock: Clock) -> None:
        IncomingLink.update(access_token_life=60, refresh_idle_life=2 * DAY, refresh_life=3 * DAY).execute()
        tokens = application.tokens()
        assert tokens["expires_in"] == 60
        clock.advance(2 * DAY - 1)
        token = application.refresh(tokens["refresh_token"]).json["refresh_token"]
        clock.advance(DAY + 1)
        refused(application.refresh(token), "invalid_grant")

    @pytest.mark.parametrize("life", ["refresh_life", "refresh_idle_life"])
    def test_it_counts_a_life_that_is_made_shorter_at_once(
        self, application: Application, clock: Clock, life: str
    ) -> None:
        """No answer of 200 with a token that has ended already."""
        tokens = application.tokens()
        clock.advance(10 * DAY)
        IncomingLink.update({life: 11 * DAY}).execute()
        assert application.introspect(tokens["refresh_token"])["exp"] == clock() + DAY
        IncomingLink.update({life: 10 * DAY}).execute()
        assert not application.alive(tokens["refresh_token"])
        refused(application.refresh(tokens["refresh_token"]), "invalid_grant")
        IncomingLink.update({life: 11 * DAY}).execute()
        assert application.refresh(tokens["refresh_token"]).json["expires_in"] > 0, "it cost the client its token"

    def test_it_forgets_what_has_ended(self, application: Application, services: Services, clock: Clock) -> None:
        application.tokens()
        application.code()
        clock.advance(30 * DAY)
        services.issued.sweep()
        assert not IssuedGrant.select().exists()
        assert not IssuedToken.select().exists()
        assert not AuthorizationCode.select().exists()

    def test_it_forgets_old_pairs_of_a_grant_that_lives(self, application: Application, clock: Clock) -> None:
        token = application.tokens()["refresh_token"]
        for _ in range(5):
            clock.advance(16 * DAY)
            token = application.refresh(token).json["refresh_token"]
        assert IssuedToken.select().count() <= 3


class TestRevocation:
    def test_it_ends_a_grant_with_its_refresh_token(self, application: Application) -> None:
        """RFC 7009 §2.1"""
        first = application.tokens()
        second = application.refresh(first["refresh_token"]).json
        assert application.revoke(second["refresh_token"]).status_code == 200
        assert not application.alive(second["access_token"])
        refused(application.refresh(second["refresh_token"]), "invalid_grant")

    def test_it_ends_an_access_token_alone(self, application: Application) -> None:
        tokens = application.tokens()
        assert application.revoke(tokens["access_token"], token_type_hint="refresh_token").status_code == 200
        assert not application.alive(tokens["access_token"])
        assert application.refresh(tokens["refresh_token"]).status_code == 200

    def test_it_ends_a_public_clients_token_by_its_client_id(self, application: Application) -> None:
        tokens = self._public(application)
        form = {"client_id": "public", "token": tokens["refresh_token"]}
        assert application.raw("/oauth/revoke", urlencode(form)).status_code == 200
        assert not IssuedGrant.select().exists()

    def _public(self, application: Application) -> dict[str, str]:
        code = application.decide(application.authorize(client_id="public"))["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        return dict(application.raw_token(urlencode(form | {"code_verifier": VERIFIER, "client_id": "public"})).json)

    @pytest.mark.parametrize("token", ["", "x" * 600])
    def test_it_needs_a_token_to_revoke(self, application: Application, token: str) -> None:
        refused(application.revoke(token), "invalid_request")

    @pytest.mark.parametrize("token", ["nobody", "apr_" + "x" * 43, "é"])
    def test_it_is_content_with_a_token_that_is_not_there(self, application: Application, token: str) -> None:
        """A166, RFC 7009 §2.2"""
        assert application.revoke(token).status_code == 200

    @pytest.mark.sqlite
    @pytest.mark.parametrize("path", ["/oauth/revoke", "/oauth/introspect"])
    @pytest.mark.parametrize(
        ("headers", "form"),
        [
            ({}, {}),
            ({}, {"client_id": "app"}),
            ({}, {"client_id": "app", "client_secret": "CANARY-wrong"}),
            ({}, {"client_id": "nobody", "client_secret": SECRET}),
            ({"Authorization": "Bearer x"}, {}),
            ({"Authorization": "Basic YXBwOng="}, {}),
            ({"Authorization": "Basic YXBwOng="}, {"client_id": "public"}),
            ({}, {"client_id": "public", "client_secret": SECRET}),
        ],
    )
    def test_it_answers_no_stranger(
        self, application: Application, path: str, headers: dict[str, str], form: dict[str, str]
    ) -> None:
        """A166"""
        tokens = application.tokens()
        answer = application.raw(path, urlencode({"token": tokens["access_token"]} | form), headers)
        refused(answer, "invalid_client", 401)
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert application.alive(tokens["access_token"])

    def test_it_introspects_for_no_public_client(self, application: Application) -> None:
        """RFC 7662 §2.1: whoever scans for tokens must authenticate."""
        tokens = self._public(application)
        form = {"client_id": "public", "token": tokens["access_token"]}
        refused(application.raw("/oauth/introspect", urlencode(form)), "invalid_client", 401)


class TestIntrospection:
    def test_it_says_what_a_token_is_for(self, application: Application, clock: Clock) -> None:
        """RFC 7662 §2.2"""
        tokens = application.tokens(scope="links:read profile")
        said = application.introspect(tokens["access_token"])
        assert said.pop("sub")
        assert said == {
            **{"active": True, "scope": "links:read profile", "client_id": "app", "username": "ada"},
            **{"exp": clock() + 3600, "iat": clock(), "token_type": "Bearer"},
        }
        assert application.introspect(tokens["refresh_token"])["exp"] == clock() + 30 * DAY

    def test_it_says_nothing_of_a_token_that_is_dead(self, application: Application, clock: Clock) -> None:
        """A166: all of these alike."""
        tokens = application.tokens()
        newer = application.refresh(tokens["refresh_token"]).json
        own = application.token(client="other", grant_type="client_credentials").json["access_token"]
        clock.advance(3600)
        dead = [tokens["access_token"], tokens["refresh_token"], newer["access_token"], own, "nobody", "é", "x" * 500]
        assert [application.introspect(token) for token in dead] == [{"active": False}] * len(dead)
        assert application.alive(newer["refresh_token"])


CROSS = {
    "code": lambda mine, app: app.exchange(mine["code"], client="other"),
    "code-by-public": lambda mine, app: app.raw_token(
        urlencode(
            {
                "grant_type": "authorization_code",
                "code": mine["code"],
                "redirect_uri": REDIRECT,
                "code_verifier": VERIFIER,
            }
            | {"client_id": "public"}
        )
    ),
    "refresh": lambda mine, app: app.refresh(mine["refresh_token"], client="other"),
    "refresh-by-public": lambda mine, app: app.raw_token(
        urlencode({"grant_type": "refresh_token", "refresh_token": mine["refresh_token"], "client_id": "public"})
    ),
    "refresh-body-id": lambda mine, app: app.refresh(mine["refresh_token"], client="other", client_id="app"),
    "refresh-basic-id": lambda mine, app: app.refresh(mine["refresh_token"], client_id="other"),
    "exchange-body-id": lambda mine, app: app.exchange(mine["code"], client="other", client_id="app"),
    "exchange-no-secret": lambda mine, app: app.raw_token(
        urlencode({"grant_type": "refresh_token", "refresh_token": mine["refresh_token"], "client_id": "app"})
    ),
    "revoke-refresh": lambda mine, app: app.revoke(mine["refresh_token"], client="other"),
    "revoke-access": lambda mine, app: app.revoke(mine["access_token"], client="other"),
    "introspect-access": lambda mine, app: app.ask("/oauth/introspect", client="other", token=mine["access_token"]),
    "introspect-refresh": lambda mine, app: app.ask("/oauth/introspect", client="other", token=mine["refresh_token"]),
    "revoke-body-id": lambda mine, app: app.revoke(mine["refresh_token"], client="other", client_id="app"),
    "introspect-body-id": lambda mine, app: app.ask(
        "/oauth/introspect", client="other", token=mine["access_token"], client_id="app"
    ),
}


@pytest.mark.parametrize("case", CROSS)
def test_it_gives_one_client_nothing_of_another(application: Application, case: str) -> None:
    """A162: twelve ways and two; none of them tells or changes anything."""
    mine = application.tokens() | {"code": application.code()}
    answer = CROSS[case](mine, application)
    if "body-id" in case or "basic-id" in case or "no-secret" in case:
        refused(answer, "invalid_client", 401)
    elif case.startswith("introspect"):
        assert answer.json == {"active": False}
    elif case.startswith("revoke"):
        assert answer.status_code == 200
    else:
        refused(answer, "invalid_grant")
    assert application.alive(mine["access_token"])
    assert application.exchange(mine["code"]).status_code == 200
    assert application.refresh(mine["refresh_token"]).status_code == 200


EXCHANGE = {"grant_type": "authorization_code", "code_verifier": VERIFIER, "redirect_uri": REDIRECT}
GRANTS = [
    *[
        ({"grant_type": kind}, "unsupported_grant_type")
        for kind in ("password", "implicit", "openid", "PASSWORD", "code")
    ],
    *[
        ({"grant_type": f"urn:ietf:params:oauth:grant-type:{kind}"}, "unsupported_grant_type")
        for kind in ("device_code", "jwt-bearer", "saml2-bearer", "token-exchange")
    ],
    *[({"grant_type": kind}, "unsupported_grant_type") for kind in ("Refresh_Token", "authorization_code ", "\x00")],
    *[({"grant_type": kind}, "invalid_request") for kind in ("", "refresh_token", "authorization_code")],
    ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
    ({"grant_type": "refresh_token", "refresh_token": "apr_nobody"}, "invalid_grant"),
    ({"grant_type": "authorization_code", "code": "", "code_verifier": VERIFIER}, "invalid_request"),
    (
        {"grant_type": "authorization_code", "code": "nobody", "code_verifier": VERIFIER, "redirect_uri": REDIRECT},
        "invalid_grant",
    ),
    ({"grant_type": "client_credentials", "scope": "profile"}, "invalid_scope"),
    ({"grant_type": "client_credentials", "scope": "links:read admin"}, "invalid_scope"),
    ({"grant_type": "client_credentials", "scope": "tokens:read,links:read"}, "invalid_scope"),
]


@pytest.mark.sqlite
@pytest.mark.parametrize(("form", "error"), GRANTS)
def test_it_knows_three_grants_alone(application: Application, form: dict[str, str], error: str) -> None:
    """A153, A164, RFC 6749 §5.2"""
    refused(application.token(**form), error)
    assert not IssuedToken.select().exists()


def test_it_has_twenty_of_each_kind() -> None:
    assert len(GRANTS) >= 20
    assert len(PKCE_ASKED) + len(PKCE_SHOWN) >= 20
    assert len(CROSS) >= 12


@pytest.mark.parametrize("grant_type", ["authorization_code", "client_credentials"])
def test_it_gives_only_what_a_link_was_made_for(application: Application, services: Services, grant_type: str) -> None:
    """A153"""
    make_incoming(services, "One", grant_types=grant_type, scopes="links:read")
    if grant_type == "authorization_code":
        refused(application.token(client="one", grant_type="client_credentials"), "unauthorized_client")
    else:
        url = application.visitor.continue_url(application.authorize(client_id="one", scope=None))
        assert "error=unauthorized_client" in url
        refused(application.exchange("x", client="one"), "unauthorized_client")
        refused(application.refresh("x", client="one"), "unauthorized_client")


PKCE_ASKED = [
    *({"code_challenge_method": text} for text in (None, "", "plain", "s256", "S512", "S256 ", "none")),
    *(
        {"code_challenge": text}
        for text in (None, "", CHALLENGE[:-1], f"{CHALLENGE}A", f"{CHALLENGE[:-1]}=", CHALLENGE[:-1] + "+")
    ),
    {"code_challenge": None, "code_challenge_method": None},
    {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
]
PKCE_SHOWN = [
    *(("", "invalid_request"), ("v" * 42, "invalid_request"), ("v" * 129, "invalid_request")),
    *(
        (VERIFIER + " ", "invalid_request"),
        (VERIFIER + "\n", "invalid_request"),
        (VERIFIER[:-1] + "ä", "invalid_request"),
    ),
    *(
        (CHALLENGE, "invalid_grant"),
        (VERIFIER.upper(), "invalid_grant"),
        (VERIFIER + "v", "invalid_grant"),
        ("v" * 128, "invalid_grant"),
    ),
]


@pytest.mark.sqlite
@pytest.mark.parametrize("changed", PKCE_ASKED)
def test_it_asks_for_no_consent_without_pkce(application: Application, changed: dict[str, str | None]) -> None:
    """A154"""
    assert "error=invalid_request" in application.visitor.continue_url(application.authorize(**changed))


@pytest.mark.sqlite
@pytest.mark.parametrize(("verifier", "error"), PKCE_SHOWN)
def test_it_gives_no_token_without_the_verifier(application: Application, verifier: str, error: str) -> None:
    """A154, A155"""
    refused(application.exchange(application.code(), code_verifier=verifier), error)
    assert not IssuedToken.select().exists()


class TestOwnCredentials:
    def test_it_gives_a_token_to_a_service(self, application: Application) -> None:
        """RFC 6749 §4.4: no refresh token, and nobody's name."""
        given = application.token(grant_type="client_credentials").json
        assert "refresh_token" not in given
        assert given["scope"] == "links:read tokens:read links:manage"
        said = application.introspect(given["access_token"])
        assert (said["sub"], "username" in said) == ("app", False)
        answer = application.userinfo(given["access_token"])
        assert answer.status_code == 403
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]

    def test_it_tells_no_user_name_without_the_scope(self, application: Application) -> None:
        answer = application.userinfo(application.tokens(scope="links:read")["access_token"])
        assert answer.status_code == 403
        assert 'scope="profile"' in answer.headers["WWW-Authenticate"]

    def test_it_gives_none_to_a_public_client(self, application: Application) -> None:
        IncomingLink.update(grant_types="client_credentials").execute()
        refused(application.raw_token("grant_type=client_credentials&client_id=public"), "invalid_client", 401)


class TestTheApi:
    @pytest.fixture
    def payroll(self, connect: Callable[..., None], services: Services, link_id: str) -> str:
        """A connected link, whose tokens the application may read."""
        connect()
        IncomingLink.update(token_links=link_id).where(IncomingLink.client_id == "app").execute()
        return link_id

    def test_it_takes_an_access_token_beside_api_keys(self, application: Application, payroll: str) -> None:
        token = application.tokens(scope="links:read tokens:read")["access_token"]
        assert [row["slug"] for row in application.api("GET", "/links", token).json["links"]] == [
            "app",
            "other",
            "payroll",
            "public",
        ]
        assert application.api("GET", "/links/payroll", token).status_code == 200
        for path in ("/links/payroll/token", "/links/payroll/token?min_ttl=1"):
            assert application.api("GET", path, token).json["token_type"] == "Bearer"
        assert application.api("GET", "/links/payroll/xoauth2?user=a@b.example", token).status_code == 200

    MAY: ClassVar = {
        ("GET", "/links"): "links:read",
        ("GET", "/links/payroll"): "links:read",
        ("GET", "/links/payroll/connections"): "links:read",
        ("GET", "/links/payroll/connections/default"): "links:read",
        ("GET", "/links/payroll/token"): "tokens:read",
        ("GET", "/links/payroll/token?min_ttl=1"): "tokens:read",
        ("GET", "/links/payroll/xoauth2?user=a@b.example"): "tokens:read",
        ("GET", "/events"): "links:manage",
        ("GET", "/links/payroll/events"): "links:manage",
        ("POST", "/links"): "links:manage",
        ("PATCH", "/links/payroll"): "links:manage",
        ("DELETE", "/links/payroll"): "links:manage",
        ("POST", "/links/payroll/checks"): "links:manage",
        ("POST", "/links/payroll/connections/default/refresh"): "links:manage",
        ("POST", "/links/payroll/connections/default/disconnect"): "links:manage",
        ("DELETE", "/links/payroll/connections/default"): "links:manage",
    }

    @pytest.mark.parametrize("scope", ["profile", "links:read", "tokens:read"])
    def test_it_does_nothing_that_was_not_consented(self, application: Application, payroll: str, scope: str) -> None:
        """A167, RFC 6750 §3.1"""
        token = application.tokens(scope=scope)["access_token"]
        for (method, path), needed in self.MAY.items():
            if needed != scope:
                answer = application.api(method, path, token, json={} if method in ("POST", "PATCH") else None)
                assert answer.status_code == 403, (method, path)
                assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]
        assert application.api(
            "POST", "/links/payroll/token/rejected", token, json={"digest": "0" * 64}
        ).status_code == (200 if scope == "tokens:read" else 403)

    def test_it_manages_where_that_was_consented(self, application: Application, payroll: str) -> None:
        token = application.tokens(scope="links:manage")["access_token"]
        assert application.api("GET", "/events", token).status_code == 200
        assert application.api("GET", "/links/payroll/token", token).status_code == 403, "managing reads no token"
        assert application.api("DELETE", "/links/payroll", token).status_code == 200
        assert Event.get(Event.what == "deleted").actor == "App for ada"

    def test_it_reads_tokens_of_chosen_links_alone(
        self, application: Application, services: Services, payroll: str
    ) -> None:
        """Others are hidden, as they are from an API key."""
        token = application.tokens(scope="tokens:read")["access_token"]
        assert application.api("GET", "/links/payroll/token", token).status_code == 200
        assert application.api("GET", "/links/other/token", token).status_code == 404
        IncomingLink.update(token_links="").execute()
        assert application.api("GET", "/links/payroll/token", token).status_code == 403

    def test_it_reads_no_tokens_of_links_that_were_chosen_after_the_consent(
        self, application: Application, payroll: str
    ) -> None:
        """A163: what was shown is what was allowed."""
        IncomingLink.update(token_links="").where(IncomingLink.client_id == "app").execute()
        token = application.tokens(scope="tokens:read")["access_token"]
        IncomingLink.update(token_links=payroll).where(IncomingLink.client_id == "app").execute()
        assert application.api("GET", "/links/payroll/token", token).status_code == 403

    def test_it_reads_no_tokens_with_a_token_that_was_refreshed_for_less(
        self, application: Application, payroll: str
    ) -> None:
        """RFC 6749 §6: the grant is for more than this token."""
        tokens = application.tokens(scope="links:read tokens:read")
        less = application.refresh(tokens["refresh_token"], scope="links:read").json
        assert application.api("GET", "/links", less["access_token"]).status_code == 200
        assert application.api("GET", "/links/payroll/token", less["access_token"]).status_code == 403
        assert application.introspect(less["access_token"])["scope"] == "links:read"
        assert application.introspect(less["refresh_token"])["scope"] == "links:read tokens:read"
        assert application.refresh(less["refresh_token"]).json["scope"] == "links:read tokens:read"

    def test_it_counts_what_is_taken_from_the_link_at_once(self, application: Application) -> None:
        token = application.tokens(scope="links:read profile")["access_token"]
        IncomingLink.update(scopes="profile").execute()
        assert application.api("GET", "/links", token).status_code == 403
        assert application.introspect(token)["scope"] == "profile"

    @pytest.mark.parametrize("own", [True, False])
    def test_it_counts_a_grant_type_that_is_taken_from_the_link_at_once(
        self, application: Application, own: bool
    ) -> None:
        ask = {"grant_type": "client_credentials", "scope": "links:read"}
        token = (application.token(**ask).json if own else application.tokens(scope="links:read"))["access_token"]
        left, all_of_them = (
            ("authorization_code", "client_credentials")[:: 1 if own else -1],
            IncomingLink.get().grant_types,
        )
        IncomingLink.update(grant_types=left[0]).execute()
        assert application.api("GET", "/links", token).status_code == 401
        assert not application.alive(token)
        IncomingLink.update(grant_types=all_of_them).execute()
        assert application.api("GET", "/links", token).status_code == 200

    def test_it_says_that_a_token_has_expired(self, application: Application, clock: Clock) -> None:
        """RFC 6750 §3.1; nobody is slowed for it, however often."""
        token = application.tokens(scope="links:read")["access_token"]
        clock.advance(3600)
        for _ in range(20):
            answer = application.api("GET", "/links", token)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Applinks", error="invalid_token"'

    @pytest.mark.parametrize("made", ["refresh_token", "code", "client_secret"])
    def test_it_takes_nothing_else_for_an_access_token(self, application: Application, made: str) -> None:
        shown = application.tokens(scope="links:read") | {"code": application.code(), "client_secret": SECRET}
        assert application.api("GET", "/links", shown[made]).status_code == 401

    def test_it_takes_no_cookie_or_query_for_one(self, application: Application) -> None:
        token = application.tokens(scope="links:read")["access_token"]
        assert application.visitor.get(f"/api/v1/links?access_token={token}").status_code == 401

    def test_it_shows_no_secret_of_an_outgoing_link(self, application: Application, payroll: str) -> None:
        token = application.tokens(scope="links:read")["access_token"]
        assert CLIENT_SECRET not in application.api("GET", "/links/payroll", token).text

    def test_it_counts_reading_for_the_audit_log(
        self, application: Application, services: Services, payroll: str
    ) -> None:
        token = application.tokens(scope="tokens:read")["access_token"]
        for _ in range(3):
            application.api("GET", "/links/payroll/token", token)
        services.counts.flush()
        line = Event.get(Event.what == "token read")
        assert (line.actor, line.actor_kind, line.slug) == ("App for ada", "application", "payroll")
        assert IssuedGrant.get().last_used_at is not None


class TestTheEnd:
    @pytest.mark.parametrize("how", ["consent", "all", "disabled", "deleted", "administrator"])
    def test_it_ends_codes_and_tokens_at_once(self, application: Application, services: Services, how: str) -> None:
        """A159"""
        tokens, code = application.tokens(scope="links:read profile"), application.code()
        incoming = services.incoming.find("app")
        if how == "consent":
            services.consents.revoke(services.consents.of_link(incoming.link.id)[0], ADA)
        elif how == "all":
            services.incoming.revoke_all(incoming, ADA)
        elif how == "disabled":
            services.incoming.switch(incoming, ADA, on=False)
        elif how == "deleted":
            services.links.delete(incoming.link, ADA)
        else:
            services.sign_in.disable("ada", ADA)
        gone = how in ("disabled", "deleted")
        refused(application.exchange(code), *(("invalid_client", 401) if gone else ("invalid_grant",)))
        refused(
            application.refresh(tokens["refresh_token"]), *(("invalid_client", 401) if gone else ("invalid_grant",))
        )
        assert application.api("GET", "/links", tokens["access_token"]).status_code == 401
        assert (
            application.visitor.client.get(
                "/oauth/userinfo",
                headers={"Authorization": f"Bearer {tokens['access_token']}"},
                base_url=application.visitor.base_url,
            ).status_code
            == 401
        )

    def test_it_takes_up_again_what_was_disabled(self, application: Application, services: Services) -> None:
        tokens = application.tokens(scope="links:read")
        for on in (False, True):
            services.incoming.switch(services.incoming.find("app"), ADA, on=on)
        assert application.api("GET", "/links", tokens["access_token"]).status_code == 200


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "path", ["/oauth/authorize?" + urlencode(REQUEST), "/oauth/token", "/oauth/revoke", "/oauth/introspect"]
)
def test_it_writes_no_row_for_strangers(stranger: Visitor, services: Services, path: str) -> None:
    """A170: 10,000 hits over the four of them."""
    before = {table: table.select().count() for table in TABLES}
    application, basic = Application(stranger), {"Authorization": "Basic YXBwOng="}
    for number in range(2500):
        if "authorize" in path:
            stranger.client.get(f"{path}&x{number}=1", base_url=stranger.base_url)
        else:
            application.raw(
                path, "grant_type=refresh_token&refresh_token=x&token=x&client_id=app", basic if number % 2 else None
            )
    services.counts.flush()
    assert {table: table.select().count() for table in TABLES} == before


@pytest.mark.parametrize(
    "path",
    [
        "/oauth/register",
        "/oauth/device_authorization",
        "/oauth/device",
        "/oauth/jwks",
        "/.well-known/openid-configuration",
    ],
)
def test_it_has_no_other_endpoints(application: Application, path: str) -> None:
    """A153, A168"""
    assert application.visitor.get(path).status_code == 404


def test_it_describes_itself(application: Application, stranger: Visitor) -> None:
    """A165, RFC 8414 §2, §3.2"""
    answer = stranger.get("/.well-known/oauth-authorization-server")
    said, base_url = answer.json, stranger.base_url
    assert answer.content_type == "application/json"
    assert said["issuer"] == base_url
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["response_types_supported"] == ["code"]
    assert set(said["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    assert "registration_endpoint" not in said
    for name, path in {"token": "token", "revocation": "revoke", "introspection": "introspect"}.items():
        assert said[f"{name}_endpoint"] == f"{base_url}/oauth/{path}"
        assert application.raw(f"/oauth/{path}", "").status_code in (400, 401)
    assert "Access-Control-Allow-Origin" not in answer.headers
