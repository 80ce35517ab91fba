"""Where people are sent back to: to a registered address in its own letters, and nowhere else."""

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from applinks.errors import InvalidFieldError
from applinks.models import AuthorizationCode
from applinks.oauth.incoming import REDIRECT_URIS, matches, read_redirect_uris
from applinks.wiring import Services
from tests.application import REDIRECT, REQUEST, Application, make_incoming
from tests.visitor import Visitor, text_of

NATIVE = "http://127.0.0.1/callback"


@pytest.fixture(autouse=True)
def links(services: Services) -> None:
    make_incoming(services, redirect_uris=f"{REDIRECT}\nhttps://app.example/other?tenant=1\n{NATIVE}")
    make_incoming(
        services, "Native", client_secret_digest="", redirect_uris=f"{NATIVE}\nhttp://[::1]:80/cb\n{REDIRECT}"
    )


@pytest.fixture
def application(ada: Visitor) -> Application:
    return Application(ada)


NEAR = [
    *("https://app.example", "https://app.example/", f"{REDIRECT}/", f"{REDIRECT}?", f"{REDIRECT}#", f"{REDIRECT}?x=1"),
    *(
        f"{REDIRECT}#x",
        f"{REDIRECT}&x=1",
        f"{REDIRECT};x",
        f"{REDIRECT}.",
        f"{REDIRECT}%20",
        f"{REDIRECT}%00",
        f"{REDIRECT}%0a",
    ),
    *(
        f"{REDIRECT} ",
        f" {REDIRECT}",
        f"{REDIRECT}\n",
        f"{REDIRECT}\r\n",
        f"{REDIRECT}\t",
        f"{REDIRECT}%2f",
        f"{REDIRECT}\\",
    ),
    *("https://app.example/Callback", "https://APP.example/callback", "HTTPS://app.example/callback", REDIRECT.upper()),
    *("http://app.example/callback", "//app.example/callback", "app.example/callback", "/callback", "callback"),
    *("https://app.example:443/callback", "https://app.example:8443/callback", "https://app.example:/callback"),
    *("https://app.example./callback", "https://sub.app.example/callback", "https://xapp.example/callback"),
    *("https://app.example.evil.example/callback", "https://evil.example/callback", "https://app.exampl/callback"),
    *("https://user@app.example/callback", "https://user:x@app.example/callback", "https://@app.example/callback"),
    *("https://app.example@evil.example/callback", "https://app.example%40evil.example/callback"),
    *("https://evil.example#@app.example/callback", "https://evil.example?@app.example/callback"),
    *("https://app.example\\@evil.example/callback", "https:app.example/callback", "https:/app.example/callback"),
    *("https:///app.example/callback", "https://app.example//callback", "https://app.example/./callback"),
    *("https://app.example/x/../callback", "https://app.example/%63allback", "https://app.example/callback/../evil"),
    *("https://app.example/callback%2f..%2fevil", "https://app.example/other", "https://app.example/other?tenant=2"),
    *("https://app.example/other?tenant=1&x=2", "https://app.example/other?Tenant=1", "https://app.example/other?"),
    *("https://\u0430pp.example/callback", "https://xn--pp-6kc.example/callback", "https://app\u3002example/callback"),
    *("https://app.example/callback\u200b", "https://app.example\x00/callback", "https://[::1]/callback"),
    *(
        "javascript:alert(1)",
        "data:text/html,x",
        "app:/callback",
        "com.example.app:/callback",
        "blob:https://app.example/x",
    ),
    *(
        "http://127.0.0.1:8080/callback",
        "http://127.0.0.1:80/callback",
        "http://localhost/callback",
        "http://127.1/callback",
    ),
]


def test_it_has_sixty_near_misses() -> None:
    assert len(set(NEAR)) >= 60


@pytest.mark.parametrize("redirect_uri", NEAR)
def test_it_sends_nobody_to_an_address_that_is_nearly_registered(application: Application, redirect_uri: str) -> None:
    """A151: an error page, and no way on from it."""
    response = application.authorize(redirect_uri=redirect_uri)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert 'http-equiv="refresh"' not in response.text
    assert "can't be trusted" in text_of(response)
    assert not AuthorizationCode.select().exists()


FAR = [
    *("http://127.0.0.1:0/callback", "http://127.0.0.1:65536/callback", "http://127.0.0.1:080/callback"),
    *("http://127.0.0.1:80:80/callback", "http://127.0.0.1:x/callback", "http://127.0.0.1:/callback"),
    *(
        "http://localhost:80/callback",
        "http://localhost:80@evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
    ),
    *(
        "http://127.0.0.1:80@evil.example/callback",
        "http://127.0.0.2:80/callback",
        "http://127.0.0.1.evil.example/callback",
    ),
    *(
        "https://127.0.0.1:80/callback",
        "http://127.0.0.1:80/callback/",
        "http://127.0.0.1:80/callback?x",
        "http://[::1]:90/callback",
    ),
    *(
        "http://127.0.0.1:80\\@evil.example/callback",
        "http://127.0.0.1:80#/callback",
        "http://[::]:80/cb",
        "http://0:80/callback",
    ),
    *(
        "https://app.example:444/callback",
        "http://127.0.0.1:999999999999/callback",
        "http://127.0.0.1:80",
        "http://[::1]:80",
    ),
]


@pytest.mark.parametrize("redirect_uri", FAR)
def test_it_lets_a_native_application_choose_its_port_alone(application: Application, redirect_uri: str) -> None:
    """A151"""
    assert application.authorize(client_id="native", redirect_uri=redirect_uri).status_code == 400


@pytest.mark.parametrize(
    "redirect_uri",
    [
        NATIVE,
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:65535/callback",
        "http://[::1]/cb",
        "http://[::1]:8080/cb",
    ],
)
def test_it_takes_a_native_application_back_to_any_port(application: Application, redirect_uri: str) -> None:
    """RFC 8252 §7.3"""
    page = application.authorize(client_id="native", redirect_uri=redirect_uri)
    assert urlsplit(redirect_uri).netloc in text_of(page)
    assert "on the machine that your browser runs on" in text_of(page)


UNTRUSTED = [
    {name: text} | more
    for name, texts in {
        "client_id": (None, "", "nobody", "APP", "app ", "app\x00", "other"),
        "redirect_uri": (None, "", "https://evil.example/cb", f"{REDIRECT}/x"),
    }.items()
    for text in texts
    for more in ({}, {"response_type": "token"}, {"code_challenge": None})
]


@pytest.mark.parametrize("changed", UNTRUSTED)
def test_it_never_leads_on_from_what_it_does_not_know(application: Application, changed: dict[str, str | None]) -> None:
    """A152"""
    response = application.authorize(**changed)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert 'http-equiv="refresh"' not in response.text


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_it_names_itself_in_every_answer(application: Application, decision: str) -> None:
    """A165, RFC 9207 §2"""
    assert application.decide(application.authorize(), decision)["iss"] == [application.visitor.base_url]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": "none"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": "profile links:manage"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_it_names_itself_in_every_refusal(application: Application, changed: dict[str, str], error: str) -> None:
    """A152, A165, RFC 6749 §4.1.2.1: by a page of our own, since a form's answer may not redirect elsewhere."""
    url = application.visitor.continue_url(application.authorize(**changed))
    told = parse_qs(urlsplit(url).query)
    assert url.startswith(f"{REDIRECT}?")
    assert (told["error"], told["iss"], told["state"]) == ([error], [application.visitor.base_url], [REQUEST["state"]])


def test_it_keeps_the_query_of_a_registered_address(application: Application) -> None:
    page = application.authorize(redirect_uri="https://app.example/other?tenant=1", scope="admin")
    assert application.visitor.continue_url(page).startswith("https://app.example/other?tenant=1&error=invalid_scope")


@pytest.mark.parametrize("uri", ["http://[" + ":" * 8000, "http://[" + "1:" * 4000, "https://" + "a." * 4000 + "!"])
def test_it_reads_a_monstrous_address_in_no_time(application: Application, uri: str) -> None:
    """A169: refused for its length before any pattern sees it."""
    began = time.process_time()
    assert not matches(uri * 8, [REDIRECT, NATIVE], any_port=True)
    assert application.authorize(redirect_uri=uri * 8).status_code in (400, 414)
    assert time.process_time() - began < 1


REFUSED = [
    *(
        "http://app.example/cb",
        "http://10.0.0.5/cb",
        "http://intranet/cb",
        "ftp://app.example/cb",
        "app:/cb",
        "javascript:alert(1)",
    ),
    *(
        "com.example.app:/cb",
        "data:text/html,x",
        "//app.example/cb",
        "/cb",
        "app.example/cb",
        "https://",
        "https:///cb",
    ),
    *(
        "https://app.example/cb#x",
        "https://app.example/cb#",
        "https://user@app.example/cb",
        "https://u:p@app.example/cb",
    ),
    *("https://*.app.example/cb", "https://app.example/*", "https://APP.example/cb", "https://app.example./cb"),
    *(
        "https://app..example/cb",
        "https://app.example:0/cb",
        "https://app.example:65536/cb",
        "https://app.example:x/cb",
    ),
    *("https://app.example:/cb", "https://app.example/a/../cb", "https://app.example/./cb", "https://app.example/a b"),
    *('https://app.example/"', "https://app.example/<x>", "https://app.example/\\x", "https://\u0430pp.example/cb"),
    *(
        "https://[::1/cb",
        "https://app.example/\x00",
        "https://app.example/{x}",
        "https://app.example/`",
        "HTTPS://app.example/cb",
    ),
    *(
        "http://127.0.0.1@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "https://app.example/" + "x" * 2048,
        "https:app.example/cb",
    ),
    *("http://[::ffff:10.0.0.1]/cb", "blob:https://app.example/x", "file:///etc/passwd", "https://-app.example/cb"),
]


@pytest.mark.parametrize("uri", REFUSED)
def test_it_registers_no_such_address(uri: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        read_redirect_uris(uri, needed=True)
    assert refused.value.field == "redirect_uris"


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "https://app.example/cb",
            "https://app.example",
            "https://app.example:8443/cb?x=%20y&z=1",
            "https://xn--pp-6kc.example/cb",
        ),
        *(
            "http://127.0.0.1/cb",
            "http://127.0.0.1:8080/cb",
            "http://[::1]:8080/cb",
            "http://localhost:3000/cb",
            "https://10.0.0.5/cb",
        ),
    ],
)
def test_it_registers_a_proper_one(uri: str) -> None:
    assert read_redirect_uris(f"\n  {uri}  \n{uri}\r\n{uri}", needed=True) == (uri,)


def test_it_registers_a_few_alone() -> None:
    with pytest.raises(InvalidFieldError):
        read_redirect_uris(
            "\n".join(f"https://app.example/{number}" for number in range(REDIRECT_URIS + 1)), needed=True
        )
