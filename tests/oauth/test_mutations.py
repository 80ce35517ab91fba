"""Readers and the URL validator on answers and addresses that nobody wrote: the corpus's own, mutated.

Every run makes the same mutations. What is found here belongs into the corpus by hand.
"""

import json
import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from urllib3.util import parse_url

from applinks.oauth.addresses import Kind, kind_of
from applinks.oauth.answers import (
    LONGEST_LIFE,
    LONGEST_WAIT,
    SHORTEST_LIFE,
    Away,
    Granted,
    Metadata,
    Nonsense,
    Refused,
    read_metadata,
    read_token_answer,
)
from applinks.oauth.endpoints import literal
from applinks.oauth.guard import AddressRefusedError, Guard
from tests.corpus.cases import CORPUS, body_of, load

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # it keeps tables of characters, not in this tree
MUTATED = settings(max_examples=300, derandomize=True, database=None, deadline=None)

TOKEN = re.compile(r"[\x20-\x7e]{1,16384}")
SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
ERROR_CODE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,64}")
ERROR_WORDS = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{0,300}")
URL = re.compile(r"https?://[\x21-\x7e]+")
GUARDS = {loopback: Guard(loopback=loopback) for loopback in (True, False)}
ISSUER = "https://auth.example.com"

ANSWERS = [case.input for case in load("token_responses")]
DOCUMENTS = [json.loads(json.dumps(case.input).replace("{base}", ISSUER)) for case in load("metadata_documents")]
GRANT = {
    "access_token": "CANARY-a",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "CANARY-r",
    "scope": "read write",
}
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "token_endpoint_auth_methods_supported": ["client_secret_post"],
    "authorization_response_iss_parameter_supported": True,
}
OBJECTS = [one["json"] for one in ANSWERS + DOCUMENTS if isinstance(one.get("json"), dict)]
BODIES = [
    body for body in map(body_of, filter(lambda one: "answers" not in one, ANSWERS + DOCUMENTS)) if len(body) < 4096
]
ADDRESSES = [
    "https://auth.example.com/authorize",
    "https://auth.example.com:8443/realms/a/token?tenant=x&y=",
    "https://b\u00fccher.example/token",
    "https://93.184.215.14/token",
    "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443/token",
    "http://127.0.0.1:5000/token",
    "http://[::1]:5000/token",
    "http://localhost/token",
    "https://10.0.0.1/token",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://user:password@auth.example.com/",
    "https://auth.example.com/token#fragment",
    "javascript:alert(1)",
]
if (CORPUS / "admin_input.jsonl").exists():
    ADDRESSES += [
        case.input["value"]
        for case in load("admin_input")
        if case.input.get("field", "").endswith("_endpoint") and isinstance(case.input["value"], str)
    ]

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
telling = st.sampled_from(["", "0", "-1", "3600", "bearer", "invalid_grant", "read write", 0, -1, 10**30, 1e300])
names = st.sampled_from([*GRANT, *DOCUMENT, "error", "error_description"]) | st.text(max_size=8)
bytes_put_in = st.binary(max_size=3) | st.sampled_from(
    [b'"', b"{", b"}", b"[", b",", b"\\", b"\\u0000", b"\xed\xa0\x80", b"&", b"%00", b"1e999"]
)
text_put_in = st.text("abc123.-/", max_size=3) | st.sampled_from(
    ["@", "#", "\\", "//", ":", "[", "]", "%00", "%25", "%2e", "?", "&state=", "\t", "127.0.0.1", "xn--"]
    + ["\u3002", "\uff0f", "\u2100", "\u00df", "\u200d", "\u2488"]
)


@st.composite
def bytes_of_answers(draw: st.DrawFn) -> bytes:
    """A body of the corpus with a few bytes taken out and put in."""
    body = bytearray(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 4))] = draw(bytes_put_in)
    return bytes(body)


@st.composite
def objects_of_answers(draw: st.DrawFn) -> bytes:
    """A good object with members that are changed, added or left out."""
    members = draw(st.sampled_from([GRANT, DOCUMENT]) | st.sampled_from(OBJECTS)) | draw(
        st.dictionaries(names, values | telling, max_size=2)
    )
    if draw(st.booleans()):
        members.pop(draw(names), None)
    return json.dumps(members).encode()


@st.composite
def responses(draw: st.DrawFn) -> requests.Response:
    response = requests.Response()
    response.status_code = draw(st.sampled_from([200] * 24 + [101, 201, 302, 400, 401, 429, 503, 999]))
    response._content = draw(bytes_of_answers() | objects_of_answers())
    response.headers["Content-Type"] = draw(
        st.sampled_from(["application/json"] * 16 + ["application/x-www-form-urlencoded", "text/html", ";", "\u00e9"])
    )
    response.headers["Retry-After"] = draw(
        st.text(max_size=12) | st.integers().map(str) | st.datetimes().map("{:%a, %d %b %Y %H:%M:%S GMT}".format)
    )
    response.headers["Date"] = draw(st.sampled_from(["Fri, 01 Jan 2027 00:00:00 GMT", "", "Fri, 01 Jan 2027 00:00:00"]))
    return response


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """An address of the corpus with a few characters taken out and put in."""
    text = draw(st.sampled_from(ADDRESSES))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, min(len(text), 40)))
        text = text[:at] + draw(text_put_in) + text[at + draw(st.integers(0, 2)) :]
    return text


@MUTATED
@given(response=responses(), form_encoded=st.booleans(), separator=st.sampled_from([" ", ","]))
def test_it_takes_any_answer_for_something(response: requests.Response, form_encoded: bool, separator: str) -> None:
    answer = read_token_answer(response, form_encoded=form_encoded, separator=separator)
    assert isinstance(answer, Granted | Refused | Away | Nonsense)
    if isinstance(answer, Granted):
        assert response.status_code == 200
        assert TOKEN.fullmatch(answer.access_token)
        assert answer.refresh_token is None or TOKEN.fullmatch(answer.refresh_token)
        assert answer.life is None or SHORTEST_LIFE <= answer.life <= LONGEST_LIFE
        assert answer.scope in (None, "") or (SCOPES.fullmatch(answer.scope) and len(answer.scope) <= 4096)
    elif isinstance(answer, Refused):
        assert response.status_code in (200, 201, 400, 401)
        assert ERROR_CODE.fullmatch(answer.code)
        assert ERROR_WORDS.fullmatch(answer.words)
    elif isinstance(answer, Away):
        assert answer.retry_after is None or 0 <= answer.retry_after <= LONGEST_WAIT
    else:
        assert "CANARY" not in answer.words


@MUTATED
@given(response=responses())
def test_it_takes_any_document_for_something(response: requests.Response) -> None:
    answer = read_metadata(response, ISSUER)
    assert isinstance(answer, Metadata | Away | Nonsense)
    if isinstance(answer, Metadata):
        assert response.status_code == 200
        assert answer.issuer == ISSUER
        texts = [answer.authorization_endpoint, answer.token_endpoint, answer.revocation_endpoint]
        assert all(isinstance(text, str) for text in [*texts, *answer.client_authentications])


@MUTATED
@given(text=addresses(), loopback=st.booleans())
def test_it_accepts_an_address_that_reads_in_one_way(text: str, loopback: bool) -> None:
    guard = GUARDS[loopback]
    try:
        url = guard.endpoint(text)
    except AddressRefusedError:
        return
    parts = urlsplit(url)
    host = parts.hostname or ""
    assert guard.endpoint(url) == url
    assert URL.fullmatch(url)
    assert len(url) <= 2048
    assert not {"#", "\\"} & set(url)
    assert "@" not in parts.netloc
    assert (parse_url(url).host or "").strip("[]") == host  # whoever calls it reads the same host
    address = literal(host)
    assert address is None or kind_of(address) in ({Kind.PUBLIC, Kind.LOOPBACK} if loopback else {Kind.PUBLIC})
    if parts.scheme != "https":
        assert loopback
        assert host == "localhost" or (address and address.is_loopback)
