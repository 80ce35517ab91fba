"""Many at once: a code gives one pair, and a refresh token one successor, however many ask."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import pytest
from werkzeug.test import TestResponse

from applinks.models import AuthorizationCode, Consent, IssuedGrant, IssuedToken, SignInSession, database
from applinks.services.events import Actor
from applinks.wiring import Services
from tests.application import Application, make_incoming
from tests.conftest import ADA, Clock
from tests.visitor import Visitor

TIMES = 50


@pytest.fixture
def application(ada: Visitor, services: Services) -> Application:
    make_incoming(services)
    return Application(ada)


def at_once(ask: Callable[[], TestResponse]) -> list[TestResponse]:
    """The answers to as many requests, in as many threads."""

    def one(_: int) -> TestResponse:
        try:
            return ask()
        finally:
            database.close()

    with ThreadPoolExecutor(TIMES) as pool:
        return list(pool.map(one, range(TIMES)))


def test_it_gives_one_pair_for_a_code(application: Application) -> None:
    """A157, A158: and takes it back, since whoever sends a code twice may have stolen it."""
    code = application.code()
    answers = at_once(lambda: application.exchange(code))
    given = [answer.json for answer in answers if answer.status_code == 200]
    assert len(given) == 1
    assert {answer.json["error"] for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    assert not application.alive(given[0]["access_token"])


def test_it_gives_one_successor_for_a_refresh_token(application: Application) -> None:
    """A160: within the moment, everybody gets the same."""
    token = application.tokens()["refresh_token"]
    answers = at_once(lambda: application.refresh(token))
    assert {answer.status_code for answer in answers} == {200}
    assert len({(answer.json["access_token"], answer.json["refresh_token"]) for answer in answers}) == 1
    assert (IssuedGrant.select().count(), IssuedToken.select().count()) == (1, 2)
    assert application.refresh(answers[0].json["refresh_token"]).status_code == 200


def test_it_ends_the_grant_for_a_refresh_token_that_was_used_before(application: Application, clock: Clock) -> None:
    """A160: after the moment, nobody gets anything, and nothing lives."""
    token = application.tokens()["refresh_token"]
    newer = application.refresh(token).json
    clock.advance(10)
    answers = at_once(lambda: application.refresh(token))
    assert {(answer.status_code, answer.json["error"]) for answer in answers} == {(400, "invalid_grant")}
    assert not application.alive(newer["access_token"])
    assert not IssuedGrant.select().exists()


@pytest.mark.parametrize("how", ["disabled", "password", "signed out"])
def test_it_takes_no_consent_of_a_session_that_ends_meanwhile(
    application: Application, services: Services, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A115, A159: the form was let in, and waits for the database while the administrator is sent away."""
    page = application.authorize()
    decide = services.authorization.decide

    def late(ticket: str, session: SignInSession, actor: Actor, *, allow: bool) -> str:
        if how == "disabled":
            services.sign_in.disable("ada", ADA)
        elif how == "password":
            services.sign_in.set_password("ada", "CANARY three other words", ADA)
        else:
            services.sign_in.end_session(session, ADA)
        return decide(ticket, session, actor, allow=allow)

    monkeypatch.setattr(services.authorization, "decide", late)
    ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
    assert ticket
    form = {"ticket": unescape(ticket[1]), "decision": "allow"}
    assert application.visitor.post("/oauth/authorize", form).status_code == 400
    assert not Consent.select().exists()
    assert not AuthorizationCode.select().exists()
