"""The strict reader: which answers of a token endpoint are accepted, and what the others are taken for."""

import json

import pytest
import requests

from applinks.oauth.answers import (
    Away,
    Granted,
    Nonsense,
    Refused,
    Revoked,
    read_account,
    read_revocation_answer,
    read_token_answer,
    safe_text,
)

GOOD = {"access_token": "CANARY-a", "token_type": "Bearer", "expires_in": 3600}
DEEP = "[" * 100_000


def response(
    body: object, status: int = 200, content_type: str = "application/json", **headers: str
) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    made.headers.update(
        {"Content-Type": content_type} | {name.replace("_", "-"): text for name, text in headers.items()}
    )
    return made


def granted(**changed: object) -> Granted | Refused | Away | Nonsense:
    return read_token_answer(response(GOOD | changed))


def test_it_reads_a_whole_grant() -> None:
    answer = granted(refresh_token="CANARY-r", scope="read write", unknown=[1])
    assert answer == Granted("CANARY-a", "CANARY-r", 3600, "read write")


def test_it_shows_no_token_when_it_is_printed() -> None:
    """A098"""
    assert "CANARY" not in f"{granted(refresh_token='CANARY-r')!r}"


@pytest.mark.parametrize("token_type", ["bearer", "BEARER", "Bearer"])
def test_it_reads_the_token_type_in_any_case(token_type: str) -> None:
    assert isinstance(granted(token_type=token_type), Granted)


@pytest.mark.parametrize("token_type", ["mac", "pop", "dpop", "n_a", "", 7, None, ["bearer"], "bearer "])
def test_it_refuses_another_type_of_token(token_type: object) -> None:
    """A047"""
    assert isinstance(granted(token_type=token_type), Nonsense)


@pytest.mark.parametrize("token", [None, "", {}, [], 1, True, "a\r\nb", "a\x00b", "\ud800", "é", "x" * 16_385])
def test_it_refuses_what_is_no_access_token(token: object) -> None:
    """F5"""
    assert isinstance(granted(access_token=token), Nonsense)


@pytest.mark.parametrize("token", [{}, [], 1, True, "a\nb", "é", "x" * 16_385])
def test_it_refuses_what_is_no_refresh_token(token: object) -> None:
    assert isinstance(granted(refresh_token=token), Nonsense)


@pytest.mark.parametrize("token", [None, ""])
def test_it_takes_an_empty_refresh_token_for_none(token: object) -> None:
    """F8, A070"""
    assert granted(refresh_token=token) == Granted("CANARY-a", None, 3600, None)


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        (1, 30),
        (0, 30),
        (-5, 30),
        (120, 120),
        (3599.0, 3599),
        ("3600", 3600),
        ("-1", 30),
        (None, None),
        (10**30, 366 * 86_400),
        ("9" * 18, 366 * 86_400),
    ],
)
def test_it_holds_a_life_within_sense(expires_in: object, life: int | None) -> None:
    """F6, A050"""
    assert granted(expires_in=expires_in) == Granted("CANARY-a", None, life, None)


@pytest.mark.parametrize("expires_in", [True, False, "abc", "", "1.5", 1.5, [1], {}, "9" * 5000, " 1", "+1", "1e3"])
def test_it_takes_what_is_no_number_for_a_life_that_is_not_told(expires_in: object) -> None:
    """F6, but for a token that must not be lost: the refresh token that came with it may be the only one."""
    assert granted(expires_in=expires_in) == Granted("CANARY-a", None, None, None)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_it_refuses_numbers_that_json_does_not_have(number: str) -> None:
    body = json.dumps(GOOD).replace("3600", number)
    assert isinstance(read_token_answer(response(body)), Nonsense)


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("read write", "read write"),
        (" read  write ", "read write"),
        (["read", "write", 1, "a b"], "read write"),
        ('read a"b', "read"),
        ("read,write", "read,write"),
        (None, None),
        ("", None),
        (1, ""),
        ({}, ""),
        ([], ""),
        ("é", ""),
        ("x" * 4097, ""),
    ],
)
def test_it_throws_no_token_away_for_its_scope(scope: object, told: str | None) -> None:
    """F7: the refresh token that came with it may be the only one."""
    assert granted(scope=scope) == Granted("CANARY-a", None, 3600, told)


def test_it_splits_scopes_as_this_provider_writes_them() -> None:
    answer = read_token_answer(response(GOOD | {"scope": "repo,user:email"}), separator=",")
    assert answer == Granted("CANARY-a", None, 3600, "repo user:email")


@pytest.mark.parametrize("sent", ["CANARY-refresh-1", 'CANARY "quoted" \\ token'])
def test_it_repeats_nothing_that_was_sent(sent: str) -> None:
    """Some providers quote it in their description, where the length of a page would cut it."""
    body = {"error": "invalid_grant", "error_description": "x" * 295 + sent}
    answer = read_token_answer(response(body, 400), secrets=("CANARY-secret", sent))
    assert isinstance(answer, Refused)
    assert "CANARY" not in answer.words
    assert answer.words.startswith("x" * 295)


FORM = "application/x-www-form-urlencoded"


def test_it_reads_a_form_encoded_answer_where_it_is_told_to() -> None:
    body = "access_token=CANARY-a&token_type=bearer&expires_in=28800&scope=repo%2Cuser"
    assert read_token_answer(response(body, content_type=FORM), form_encoded=True, separator=",") == Granted(
        "CANARY-a", None, 28800, "repo user"
    )
    assert isinstance(read_token_answer(response(body, content_type=FORM)), Nonsense)


@pytest.mark.parametrize(
    "body",
    ["access_token=a&access_token=b&token_type=bearer", "access_token=%ff&token_type=bearer", "", "&".join("abc")],
)
def test_it_refuses_a_form_that_can_be_read_in_two_ways(body: str) -> None:
    assert isinstance(read_token_answer(response(body, content_type=FORM), form_encoded=True), Nonsense)


@pytest.mark.parametrize("levels", [21, 900, 100_000])
def test_it_refuses_what_is_nested_too_deep(levels: int) -> None:
    body = json.dumps(GOOD)[:-1] + ', "x": ' + "[" * levels + "]" * levels + "}"
    assert isinstance(read_token_answer(response(body)), Nonsense)


def test_it_refuses_more_members_than_any_answer_has() -> None:
    assert isinstance(granted(**{f"m{number}": 1 for number in range(100)}), Nonsense)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (response("", 200), Revoked()),
        (response("<html>", 200, "text/html"), Revoked()),
        (response({"error": "invalid_client"}, 401), Refused("invalid_client", "")),
        (response({"error": "unsupported_token_type"}, 400), Refused("unsupported_token_type", "")),
        (response("", 503, Retry_After="7"), Away("The provider answered HTTP 503.", 7)),
        (response("", 204), None),
        (response("", 404), None),
        (response("", 302), None),
    ],
)
def test_it_reads_what_became_of_a_revocation(answer: requests.Response, expected: object) -> None:
    """A103, RFC 7009 §2.2"""
    read = read_revocation_answer(answer)
    assert read == expected if expected else isinstance(read, Nonsense)


@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 302, 303, 307, 308, 400, 401, 403, 404])
def test_it_believes_a_grant_at_200_only(status: int) -> None:
    """F1, A044"""
    assert isinstance(read_token_answer(response(GOOD, status)), Nonsense)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_it_takes_trouble_at_the_provider_for_trouble(status: int) -> None:
    """A063: even a perfect grant at 500 is none, and nothing is final."""
    assert isinstance(read_token_answer(response(GOOD, status)), Away)


@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_it_believes_an_error_at_any_status(status: int) -> None:
    """A048"""
    body = GOOD | {"error": "invalid_grant", "error_description": "Token was revoked."}
    assert read_token_answer(response(body, status)) == Refused("invalid_grant", "Token was revoked.")


@pytest.mark.parametrize("code", ["temporarily_unavailable", "server_error", "slow_down"])
def test_it_takes_a_passing_error_for_passing(code: str) -> None:
    assert isinstance(read_token_answer(response({"error": code}, 400)), Away)


@pytest.mark.parametrize("error", [1, {}, [], True, ""])
def test_it_takes_an_odd_error_for_an_error(error: object) -> None:
    assert read_token_answer(response(GOOD | {"error": error})) == Refused("unknown_error", "")


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "1", '"x"', "true", "{", DEEP, '{"a":' * 50_000, "access_token=EVIL&token_type=bearer"]
    + [json.dumps(GOOD).encode("utf-16"), b"\xff\xfe", json.dumps(GOOD)[:-1] + ', "access_token": "EVIL"}'],
)
def test_it_refuses_what_is_no_json_object(body: str | bytes) -> None:
    """F3, F4, A046"""
    assert isinstance(read_token_answer(response(body)), Nonsense)


@pytest.mark.parametrize(
    "kind", ["text/html", "text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"]
)
def test_it_reads_json_only_where_it_is_called_so(kind: str) -> None:
    assert isinstance(read_token_answer(response(GOOD, content_type=kind)), Nonsense)


@pytest.mark.parametrize("kind", ["application/json", "application/json;charset=UTF-8", "Application/JSON"])
def test_it_knows_the_name_of_json(kind: str) -> None:
    assert isinstance(read_token_answer(response(GOOD, content_type=kind)), Granted)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("120", 120), ("999999", 3600), ("-1", None), ("soon", None), ("", None)]
    + [("Fri, 01 Jan 2027 00:02:00 GMT", 120), ("Fri, 01 Jan 2027 09:00:00 GMT", 3600)]
    + [("Thu, 31 Dec 2026 00:00:00 GMT", 0), ("Fri, 99 Jan 2027 00:00:00 GMT", None)]
    + [("Tue, 1 Jan 2030 00:00:00 +9999999999999", None)],
)
def test_it_reads_how_long_to_wait(text: str, seconds: int | None) -> None:
    """A066"""
    answer = read_token_answer(response("", 503, Retry_After=text, Date="Fri, 01 Jan 2027 00:00:00 GMT"))
    assert answer == Away("The provider answered HTTP 503.", seconds)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a\r\nb", "ab"),
        ("\x1b[31mred", "[31mred"),
        ('"quoted"', "quoted"),
        ("a\\b", "ab"),
        ("é‮x", "x"),
        (None, ""),
        (7, ""),
    ],
)
def test_it_keeps_only_the_letters_of_an_error(text: object, safe: str) -> None:
    """A049"""
    assert safe_text(text) == safe


def test_it_cuts_a_long_error() -> None:
    assert len(safe_text("x" * 10_000)) == 300


@pytest.mark.parametrize(
    ("body", "account"),
    [
        ({"sub": "1", "email": "ada@example.com"}, "ada@example.com"),
        ({"login": "ada"}, "ada"),
        ({"email": None, "name": "Ada"}, "Ada"),
        ({"email": ["x"], "sub": 7}, None),
        ({"email": "a\nb"}, None),
        ({"email": "x" * 256}, None),
        ({}, None),
        ([], None),
    ],
)
def test_it_finds_the_account(body: object, account: str | None) -> None:
    assert read_account(response(body)) == account


def test_it_finds_no_account_in_an_error() -> None:
    assert read_account(response({"email": "ada@example.com"}, 401)) is None
