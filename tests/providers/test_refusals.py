"""The table of refusals: what a code means, for whom, and what is said of one that isn't in it."""

import re

import pytest

from applinks.models import Connection, State
from applinks.oauth.answers import Refused
from applinks.providers.refusals import REFUSALS, explain
from applinks.services.verdict import judge

RFC6749 = "access_denied invalid_client unauthorized_client invalid_scope invalid_grant unsupported_grant_type"
RFC6749 += " unsupported_response_type invalid_request server_error temporarily_unavailable"


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.code} {row.words}")
def test_it_gives_one_sentence_of_cause_and_one_of_mend_with_a_source(row) -> None:  # type: ignore[no-untyped-def]
    assert re.fullmatch(r"[A-Z].*[^ ]\.", row.cause), row.cause
    assert re.fullmatch(r"[A-Z].*[^ ]\.", row.mend), row.mend
    assert re.match(r"https://|RFC |OpenID ", row.source), row.source


def test_it_knows_every_code_of_rfc_6749_and_twenty_of_microsofts() -> None:
    known = {row.code for row in REFUSALS}
    assert not set(RFC6749.split()) - known
    assert len([code for code in known if code.startswith("AADSTS")]) >= 20


def test_it_has_no_two_rows_for_the_same() -> None:
    keys = [(row.code, row.words, row.stages, row.provider) for row in REFUSALS]
    assert len(set(keys)) == len(keys)


def test_it_takes_the_number_in_microsofts_words_over_the_code() -> None:
    row = explain("refresh", "invalid_client", "AADSTS7000222: The provided client secret keys are expired.")
    assert row
    assert row.cause == "The client secret has expired."


def test_it_tells_googles_causes_of_one_code_apart() -> None:
    ended = explain("refresh", "invalid_grant", "Token has been expired or revoked.")
    assert ended
    assert "seven days" in ended.cause
    policy = explain("refresh", "invalid_grant", "reauth related error (invalid_rapt)")
    assert policy
    assert "session policy" in policy.cause


def test_it_says_of_googles_test_users_to_google_alone() -> None:
    google, other = (
        explain("authorization", "access_denied", provider="google"),
        explain("authorization", "access_denied"),
    )
    assert google
    assert "test users" in google.mend
    assert other
    assert "test users" not in other.mend


@pytest.mark.parametrize(
    ("stage", "code", "words"),
    [
        ("refresh", "no_such_code", ""),
        ("refresh", "", ""),
        ("refresh", "AADSTS", "AADSTS1: x"),
        ("authorization", "invalid_grant", "something else"),
        ("code", "INVALID_CLIENT", ""),
        ("refresh", "no_such_code", "AADSTS99999999999"),
    ],
)
def test_it_explains_no_code_that_it_doesnt_know(stage, code, words) -> None:  # type: ignore[no-untyped-def]
    assert explain(stage, code, words) is None


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("bad_refresh_token", State.RECONNECT_NEEDED),
        ("invalid_refresh_token", State.RECONNECT_NEEDED),
        ("token_revoked", State.RECONNECT_NEEDED),
        ("incorrect_client_credentials", State.CHECK_SETTINGS),
        ("bad_client_secret", State.CHECK_SETTINGS),
        ("deleted_client", State.CHECK_SETTINGS),
        ("admin_policy_enforced", State.CHECK_SETTINGS),  # a policy may be changed back: the grant is kept and tried
        ("org_internal", State.CHECK_SETTINGS),
        ("unverified_user_email", State.CHECK_SETTINGS),
        ("account_inactive", State.CHECK_SETTINGS),
        ("bad_verification_code", State.RETRYING),  # it says nothing of a refresh token
        ("ratelimited", State.RETRYING),
    ],
)
def test_it_judges_a_refresh_by_a_providers_own_codes(code: str, state: State) -> None:
    assert judge(Refused(code, ""), Connection(id="c", generation=1), 0).state == state
