"""*Check this link*: set-ups broken on purpose, each with its cause and its mend."""

import re
import socket
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from applinks import create_app
from applinks.crypto import new_id
from applinks.models import ApplicationLink, Connection, Event, OutgoingLink, State
from applinks.oauth.guard import Guard
from applinks.providers import CATALOGUE, Catalogue
from applinks.services.checks import PARTS
from applinks.settings import Settings
from applinks.wiring import Services
from tests.authority import Authority
from tests.conftest import ADA, CLIENT_SECRET, Clock
from tests.providers.conftest import moved
from tests.standin import Answer, QuietHandler, StandIn, json_answer, raw_answer
from tests.visitor import Visitor

DAY = 86_400
PASSED, WARNED, FAILED, SKIPPED, UNKNOWN = "passed", "warned", "failed", "skipped", "unknown"
UNKNOWN_CODE = json_answer({"error": "invalid_grant"}, 400)
UNKNOWN_CLIENT = json_answer({"error": "invalid_client"}, 401)
SIGN_IN = raw_answer("<h1>Sign in</h1>", 200, "text/html")

Check = Callable[..., dict[str, tuple[str, str]]]


def token_endpoint(request: Request) -> Response:
    """A provider that knows one client by its header, and no code."""
    if request.form.get("grant_type") == "refresh_token":
        return json_answer({"access_token": "CANARY-a", "token_type": "Bearer", "expires_in": 3600})(request)
    known = request.authorization and request.authorization.password == CLIENT_SECRET
    return (UNKNOWN_CODE if known else UNKNOWN_CLIENT)(request)


class Unchanged(Response):
    """Sends its headers as they were given, which Werkzeug mends by itself."""

    def get_wsgi_headers(self, environ: object) -> Headers:
        return self.headers


def by_post(request: Request) -> Response:
    """The same by its body alone."""
    return (UNKNOWN_CODE if request.form.get("client_secret") == CLIENT_SECRET else UNKNOWN_CLIENT)(request)


@pytest.fixture
def provider(clock: Clock) -> Iterator[StandIn]:
    provider = StandIn(clock=clock)
    provider.documents = {"/token": token_endpoint, "/authorize": SIGN_IN}
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def catalogue(provider: StandIn) -> Catalogue:
    return {key: moved(drawer, provider.base_url) for key, drawer in CATALOGUE.items()}


@pytest.fixture
def check(ada: Visitor) -> Check:
    """Check the link; returns each step with its result and what the page says of it."""

    def run(slug: str = "payroll") -> dict[str, tuple[str, str]]:
        return steps(ada.post(f"/links/{slug}/checks").text)

    return run


def steps(page: str) -> dict[str, tuple[str, str]]:
    found = re.findall(r'<li class="finding (\w+)" data-key="(\w+)">(.*?)</li>', page, re.DOTALL)
    said = ((key, result, " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())) for result, key, text in found)
    return {key: (result, text) for key, result, text in said}


@pytest.fixture
def make(ada: Visitor, link_form: dict[str, str]) -> Callable[..., str]:
    """Save a link with these fields in place of the usual ones; returns its ID."""

    def save(**fields: str) -> str:
        link_id, form = new_id(), link_form | fields
        if "provider" in fields:
            places = [name for name in form if name.endswith("_endpoint")]
            form = {name: text for name, text in form.items() if name not in (*places, "client_authentication")}
        saved = ada.post(f"/links/new/outgoing/{link_id}", form | {"revealed": form["provider"]})
        assert saved.status_code == 303, saved.text
        return link_id

    return save


@pytest.fixture
def connected(ada: Visitor, provider: StandIn, make: Callable[..., str]) -> Callable[..., None]:
    """A saved link with an account connected, the provider answering so."""

    def run(answer: dict[str, object], **fields: str) -> None:
        link_id = make(**fields)
        usual = provider.documents["/token"]
        tokens = {"access_token": "CANARY-a", "token_type": "Bearer", "expires_in": 3600}
        provider.documents["/token"] = json_answer({name: v for name, v in (tokens | answer).items() if v is not None})
        url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
        assert ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url)).status_code == 303
        provider.documents["/token"] = usual

    return run


def says(found: tuple[str, str], result: str, *words: str) -> None:
    assert found[0] == result, found
    for word in words:
        assert word in found[1], found


def test_it_passes_what_is_right(check: Check, make: Callable[..., str], provider: StandIn) -> None:
    make(issuer=provider.publish(scopes_supported=["read", "write"]))
    found = check()
    expected = dict.fromkeys(("address", "clock", "token_endpoint", "credentials", "metadata", "scopes"), PASSED)
    expected |= {"tls": SKIPPED, "base_url": WARNED, "https": WARNED, "redirect_url": WARNED, "connection": SKIPPED}
    expected |= {"redirect_url_registered": UNKNOWN, "offline": UNKNOWN}
    assert {key: result for key, (result, _) in found.items()} == expected


def test_it_sends_no_secret_but_with_a_made_up_code(check: Check, make: Callable[..., str], provider: StandIn) -> None:
    make()
    check()
    tried = [asked for asked in provider.asked if "Authorization" in asked.headers]
    assert [(asked.method, asked.path, asked.form["grant_type"]) for asked in tried] == [
        ("POST", "/token", "authorization_code")
    ]
    assert Event.select().where(Event.what == "checked").count() == 1
    assert not Connection.select().exists()


class TestCredentials:
    def test_it_tells_a_wrong_secret(self, check: Check, make: Callable[..., str]) -> None:
        make(client_secret="CANARY-another")
        says(check()["credentials"], FAILED, "refused the client ID or the client secret", "Check them with Edit")

    def test_it_tells_swapped_id_and_secret(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        refused = json_answer({"error": "incorrect_client_credentials", "error_description": "Wrong."})
        provider.documents["/token"] = refused
        make(provider="github", client_id="40-letters-that-no-id-has", client_secret="0123456789abcdef0123")
        says(check()["credentials"], FAILED, "Client ID and client secret are swapped", "Exchange them with Edit")

    def test_it_guesses_no_swap(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        provider.documents["/token"] = json_answer({"error": "incorrect_client_credentials"})
        make(provider="github", client_id="0123456789abcdef0123")
        says(check()["credentials"], FAILED, "GitHub refused the client ID or the client secret")

    def test_it_tells_a_wrong_client_authentication(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        provider.documents["/token"] = by_post
        make(client_authentication="client_secret_basic")
        wanted = "takes client_secret_post, and not client_secret_basic"
        says(check()["credentials"], FAILED, wanted, "Choose client_secret_post under Advanced")

    def test_it_finds_the_client_authentication_that_works(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        provider.documents["/token"] = by_post
        make(client_authentication="detect")
        says(check()["credentials"], PASSED, "sent as client_secret_post")

    def test_it_tells_an_expired_secret(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        words = "AADSTS7000222: The provided client secret keys for app are expired."
        provider.documents["/token"] = json_answer({"error": "invalid_client", "error_description": words}, 401)
        make(provider="microsoft", tenant="contoso.com")
        says(check()["credentials"], FAILED, "The client secret has expired.", "Make a new client secret")

    def test_it_doesnt_guess_where_the_code_was_refused_first(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        words = "AADSTS9002313: Invalid request. Request is malformed or invalid."
        provider.documents["/token"] = json_answer({"error": "invalid_grant", "error_description": words}, 400)
        make(provider="microsoft", tenant="contoso.com")
        says(check()["credentials"], UNKNOWN, "before it looked at the client")

    @pytest.mark.parametrize("other", [json_answer({"error": "invalid_request"}, 400), json_answer({}, 429)])
    def test_it_tells_a_wrong_secret_whatever_is_said_to_the_other_method(
        self, check: Check, make: Callable[..., str], provider: StandIn, other: Answer
    ) -> None:
        provider.documents["/token"] = lambda request: (UNKNOWN_CLIENT if request.authorization else other)(request)
        make(client_authentication="client_secret_basic")
        says(check()["credentials"], FAILED, "refused the client ID or the client secret")

    def test_it_shows_no_header_that_a_provider_quotes(
        self, ada: Visitor, make: Callable[..., str], provider: StandIn
    ) -> None:
        make()
        basic = b64encode(f"payroll-client:{CLIENT_SECRET}".encode()).decode()
        words = {"error": "invalid_client", "error_description": f"bad header Basic {basic}"}
        quoting = json_answer(words, 401)
        provider.documents["/token"] = lambda request: (quoting if request.authorization else UNKNOWN_CLIENT)(request)
        page = ada.post("/links/payroll/checks").text
        assert basic not in page
        assert "bad header Basic ***" in page

    def test_it_goes_on_to_look_for_the_method_where_one_is_misunderstood(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        missing = json_answer({"error": "invalid_request", "error_description": "client_id is missing"}, 400)
        provider.documents["/token"] = lambda request: (missing if request.authorization else UNKNOWN_CODE)(request)
        make(client_authentication="detect")
        says(check()["credentials"], PASSED, "sent as client_secret_post")

    def test_it_tells_a_secret_that_cant_be_read(self, check: Check, make: Callable[..., str]) -> None:
        make()
        OutgoingLink.update(client_secret_enc="v1.nonsense").execute()
        says(check()["credentials"], FAILED, "can't be opened with the keys", "Type it again with Edit")

    def test_it_tells_that_github_knows_another_redirect_url(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        provider.documents["/token"] = json_answer({"error": "redirect_uri_mismatch"})
        make(provider="github", client_id="0123456789abcdef0123")
        says(check()["credentials"], FAILED, "The Redirect URL isn't registered", "register it at the provider")

    def test_it_asks_for_a_token_where_no_account_is_needed(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        provider.documents["/token"] = json_answer({"error": "invalid_scope"}, 400)
        make(grant_type="client_credentials", revealed_grant="client_credentials")
        found = check()
        says(found["credentials"], UNKNOWN, "invalid_scope")
        assert "redirect_url" not in found


class TestHere:
    @pytest.fixture
    def environ(self, environ: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
        return environ | {"APPLINKS_BASE_URL": getattr(request, "param", "http://127.0.0.1:5000")}

    def test_it_tells_plain_http_where_it_is_refused(self, check: Check, make: Callable[..., str]) -> None:
        make(provider="slack")
        says(check()["https"], FAILED, "plain http, which Slack refuses", "APPLINKS_BASE_URL")

    @pytest.mark.parametrize(
        "environ", ["https://10.0.0.5", "https://192.168.1.9:8443", "https://applinks.corp.local"], indirect=True
    )
    def test_it_tells_a_private_address_that_google_refuses(self, check: Check, make: Callable[..., str]) -> None:
        make(provider="google")
        found = check()
        says(found["redirect_url"], FAILED, "Google refuses it as a Redirect URL", "for example a load balancer's")
        says(found["https"], PASSED)

    @pytest.mark.parametrize("environ", ["https://applinks.example.com"], indirect=True)
    def test_it_tells_nothing_against_a_public_one(
        self, check: Check, make: Callable[..., str], services: Services
    ) -> None:
        services.guard._resolve = lambda host: []
        make(provider="google")
        found = check()
        says(found["redirect_url"], PASSED)
        says(found["base_url"], WARNED, "knows no address of applinks.example.com", "APPLINKS_BASE_URL")

    @pytest.mark.parametrize("environ", ["https://applinks.example.com"], indirect=True)
    def test_it_calls_its_own_address_and_no_other_wherever_it_is(
        self, check: Check, make: Callable[..., str], services: Services
    ) -> None:
        services.guard._resolve = lambda host: ["127.0.0.1"]
        make(provider="google")
        found = check()
        says(found["base_url"], WARNED, "applinks.example.com can't be reached")
        says(found["address"], FAILED, "a loopback address")

    def test_it_tells_that_something_else_answers(
        self, check: Check, make: Callable[..., str], services: Services, provider: StandIn
    ) -> None:
        make()
        services.checks._here._settings = replace(services.settings, base_url=provider.base_url)
        says(check()["base_url"], FAILED, "Something else than this Applinks answers", "APPLINKS_BASE_URL")

    def test_it_tells_that_nobody_answers(self, check: Check, make: Callable[..., str]) -> None:
        make()
        says(check()["base_url"], WARNED, "asked from this machine")

    def test_it_knows_its_own_answer(
        self, app: Flask, check: Check, make: Callable[..., str], services: Services
    ) -> None:
        make()
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
        services.checks._here._settings = replace(services.settings, base_url=f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        found = services.checks.run(services.links.outgoing("payroll"), "here", ADA, reached=True)[0]
        server.shutdown()
        server.server_close()
        thread.join()
        assert found.result == PASSED, found

    @pytest.mark.parametrize("nonce", ["x", "0" * 31, "0" * 33, "G" * 32, "%00" * 32])
    def test_it_proves_itself_to_its_own_nonces_alone(self, stranger: Visitor, nonce: str) -> None:
        assert stranger.get(f"/nonce/{nonce}").status_code == 404

    def test_it_answers_each_nonce_in_its_own_way(self, stranger: Visitor) -> None:
        one, other = stranger.get(f"/nonce/{'0' * 32}"), stranger.get(f"/nonce/{'1' * 32}")
        assert (one.status_code, one.headers["Cache-Control"]) == (200, "no-store")
        assert one.text != other.text
        assert "Set-Cookie" not in one.headers


class TestProvider:
    @pytest.mark.parametrize(
        ("off", "result", "words"),
        [
            (3600, FAILED, "60 minutes behind"),
            (-3600, FAILED, "60 minutes ahead of"),
            (90, WARNED, "90 seconds behind"),
            (20, PASSED, "within a minute"),
        ],
    )
    def test_it_tells_a_clock_that_is_off(
        self, check: Check, make: Callable[..., str], provider: StandIn, clock: Clock, off: int, result: str, words: str
    ) -> None:
        make()
        provider.clock = lambda: clock() + off
        says(check()["clock"], result, words)

    def test_it_tells_a_wrong_tenant(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        words = "AADSTS90002: Tenant 'contoso.example' not found."
        provider.documents["/token"] = json_answer({"error": "invalid_request", "error_description": words}, 400)
        make(provider="microsoft", tenant="contoso.example")
        found = check()
        says(found["token_endpoint"], FAILED, "Correct Tenant with Edit")
        says(found["credentials"], SKIPPED)

    def test_it_tells_swapped_endpoints(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        here = provider.base_url
        make(authorization_endpoint=f"{here}/token", token_endpoint=f"{here}/authorize")
        found = check()
        says(found["token_endpoint"], FAILED, "the two are swapped", "Exchange them with Edit")
        assert not [asked for asked in provider.asked if "Authorization" in asked.headers], "the secret was sent"

    @pytest.mark.parametrize(
        ("answer", "words", "mend"),
        [
            (raw_answer("<h1>Sign in to the internet</h1>", 200, "text/html"), "such as a proxy", "sign-in page"),
            (raw_answer("<h1>Not found</h1>", 404, "text/html"), "HTTP 404", "Correct the token endpoint"),
            (raw_answer("", 302, Location="https://elsewhere.example/token"), "redirect", "Correct the token endpoint"),
            (json_answer({}, 503), "HTTP 503", "Check again in a while"),
            (json_answer({"hello": "world"}), "usable access token", "Correct the token endpoint"),
            (raw_answer("x" * 300_000), "larger than any", "Correct the token endpoint"),
        ],
    )
    def test_it_tells_what_is_no_token_endpoint(
        self, check: Check, make: Callable[..., str], provider: StandIn, answer: Answer, words: str, mend: str
    ) -> None:
        make()
        provider.documents["/token"] = answer
        found = check()
        says(found["token_endpoint"], FAILED, words, mend)
        says(found["credentials"], SKIPPED)
        assert not [asked for asked in provider.asked if "Authorization" in asked.headers], "the secret was sent"

    def test_it_calls_no_failure_what_it_cant_tell(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        make()
        provider.documents["/token"] = json_answer({}, 429)
        says(check()["token_endpoint"], UNKNOWN, "HTTP 429")

    def test_it_tells_a_provider_that_is_down(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            make(token_endpoint=f"http://127.0.0.1:{closed.getsockname()[1]}/token")
            found = check()
        says(found["token_endpoint"], FAILED, "can't be reached", "firewall")
        says(found["tls"], SKIPPED)
        says(found["credentials"], SKIPPED)

    def test_it_tells_a_firewall_that_drops_everything(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            make(token_endpoint=f"http://127.0.0.1:{deaf.getsockname()[1]}/token")
            waiting = [socket.socket() for _ in range(2)]
            for queued in waiting:  # the queue of a listener that takes nobody is full: nothing more is answered
                queued.setblocking(False)
                queued.connect_ex(deaf.getsockname())
            found = check()
            for queued in waiting:
                queued.close()
        says(found["token_endpoint"], FAILED, "firewall lets it call 127.0.0.1 at port")

    @pytest.mark.parametrize(
        ("resolved", "words", "mend"),
        [
            (OSError, "can't be resolved", "Correct the host with Edit"),
            (["10.1.2.3"], "a private address", "APPLINKS_ALLOWED_NETWORKS"),
            (["169.254.169.254"], "never calls", "Correct the host with Edit"),
            ([], "knows no address", "Correct the host with Edit"),
        ],
    )
    def test_it_tells_a_name_that_leads_nowhere(
        self, check: Check, make: Callable[..., str], services: Services, resolved: object, words: str, mend: str
    ) -> None:
        make(token_endpoint="https://login.corp.example/token")

        def resolve(host: str) -> list[str]:
            if resolved is OSError:
                raise OSError
            return resolved if host == "login.corp.example" else ["127.0.0.1"]  # type: ignore[return-value]

        services.guard._resolve = resolve
        found = check()
        says(found["address"], FAILED, words, mend)
        for key in ("tls", "clock", "token_endpoint", "credentials"):
            says(found[key], SKIPPED)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class TestTls:
    @pytest.fixture
    def certificate(self) -> str:
        return "good"

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(time.time())

    @pytest.fixture
    def provider(self, clock: Clock, authority: Authority, certificate: str) -> Iterator[StandIn]:
        provider = StandIn(clock=clock)
        provider.documents = {"/token": token_endpoint, "/authorize": SIGN_IN}
        provider.start(authority.server(certificate))
        yield provider
        provider.stop()

    @pytest.fixture
    def trusted(self, authority: Authority) -> Path | None:
        return authority.ca_file

    @pytest.fixture
    def app(self, settings: Settings, clock: Clock, trusted: Path | None) -> Iterator[Flask]:
        guard = Guard(loopback=True, resolve=lambda host: ["127.0.0.1"], ca_file=trusted)
        app = create_app(settings, clock=clock, guard=guard)
        yield app
        app.extensions["applinks"].counts.stop()

    @pytest.mark.parametrize(
        ("certificate", "words", "mend"),
        [
            ("expired", "certificate has expired", "renewed"),
            ("wrong host", "Hostname mismatch", "renewed"),
            ("self-signed", "APPLINKS_CA_FILE", "renewed"),
        ],
    )
    def test_it_tells_a_certificate_that_cant_be_trusted(
        self, check: Check, make: Callable[..., str], provider: StandIn, words: str, mend: str
    ) -> None:
        make()
        found = check()
        says(found["tls"], FAILED, words, mend)
        says(found["credentials"], SKIPPED)
        assert not provider.asked

    def test_it_warns_of_a_certificate_that_ends_soon(
        self, check: Check, make: Callable[..., str], ada: Visitor
    ) -> None:
        make()
        says(check()["tls"], WARNED, "trusted, and ends tomorrow", "renew")
        assert OutgoingLink.get().certificate_ends_at is not None

    @pytest.mark.parametrize("trusted", [None])
    def test_it_says_how_to_trust_an_authority_of_ones_own(self, check: Check, make: Callable[..., str]) -> None:
        make()
        says(check()["tls"], FAILED, "APPLINKS_CA_FILE")


class TestConsentPage:
    @pytest.mark.parametrize(
        "answer",
        [
            raw_answer("<h1>Error 400: redirect_uri_mismatch</h1>", 400, "text/html"),
            raw_answer("<p>Invalid parameter: redirect_uri</p>", 400, "text/html"),
            raw_answer("<p>The redirect URI is not registered for this client.</p>", 401, "text/html"),
            raw_answer("", 302, Location="https://tenant.example/error?error=invalid_request&error_description=redirect_uri+mismatch"),
            raw_answer("", 302, Location="https://accounts.google.com/signin/oauth/error?authError="
                       + urlsafe_b64encode(b"\n\x15redirect_uri_mismatch\x12").decode().rstrip("=")),
        ],
    )  # fmt: skip
    def test_it_tells_a_redirect_url_that_isnt_registered(
        self, check: Check, make: Callable[..., str], provider: StandIn, answer: Answer
    ) -> None:
        make(provider="google", client_secret=CLIENT_SECRET)
        provider.documents["/authorize"] = answer
        found = check()["redirect_url_registered"]
        says(
            found,
            FAILED,
            "Google doesn't know this Redirect URL",
            "register it at the provider",
            "Google Cloud console",
        )

    @pytest.mark.parametrize(("key", "result"), [("google", PASSED), ("github", UNKNOWN)])
    def test_it_takes_a_sign_in_page_for_no_more_than_it_tells(
        self, check: Check, make: Callable[..., str], key: str, result: str
    ) -> None:
        make(provider=key)
        says(check()["redirect_url_registered"], result)

    def test_it_sees_no_error_in_the_words_of_a_sign_in_page(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        make()
        provider.documents["/authorize"] = raw_answer("<p>Help: redirect URI not registered?</p>", 200, "text/html")
        says(check()["redirect_url_registered"], UNKNOWN)

    def test_it_tells_an_unknown_client(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        make()
        provider.documents["/authorize"] = raw_answer("<p>Client not found.</p>", 400, "text/html")
        says(check()["redirect_url_registered"], FAILED, "doesn't know the client ID", "Correct Client ID with Edit")

    def test_it_tells_an_authorization_endpoint_that_isnt_there(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        make()
        provider.documents["/authorize"] = raw_answer("", 404, "text/html")
        says(check()["redirect_url_registered"], FAILED, "HTTP 404", "Correct the authorization endpoint")

    @pytest.fixture
    def sent_back(self, provider: StandIn) -> Callable[..., None]:
        """The provider answers the request for consent at the Redirect URL, with an error."""

        def set_up(error: str) -> None:
            def back(request: Request) -> Response:
                return Response("", 302, headers={"Location": f"{request.args['redirect_uri']}?error={error}"})

            provider.documents["/authorize"] = back

        return set_up

    def test_it_tells_scopes_that_arent_known(
        self, check: Check, make: Callable[..., str], sent_back: Callable[..., None]
    ) -> None:
        make()
        sent_back("invalid_scope&error_description=No+such+scope")
        found = check()
        says(found["scopes"], FAILED, "doesn't know one of the scopes", "No such scope", "Correct Scopes with Edit")
        says(found["redirect_url_registered"], PASSED)

    def test_it_warns_of_scopes_that_the_metadata_doesnt_name(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        make(issuer=provider.publish(scopes_supported=["read"]))
        says(check()["scopes"], WARNED, "doesn't name write")

    def test_it_tells_a_client_that_may_not_ask(
        self, check: Check, make: Callable[..., str], sent_back: Callable[..., None]
    ) -> None:
        make()
        sent_back("unauthorized_client")
        says(check()["consent_page"], FAILED, "doesn't let this client ID ask", "Client ID with Edit")

    def test_it_leaves_an_unknown_error_in_its_own_words(
        self, check: Check, make: Callable[..., str], sent_back: Callable[..., None]
    ) -> None:
        make()
        sent_back("moon_is_full")
        says(check()["consent_page"], FAILED, "moon_is_full")


class TestMetadata:
    def test_it_tells_an_issuer_with_a_slash_too_many(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        make(issuer=provider.publish("/", issuer=provider.base_url))
        words = f"another issuer than the one that was asked: {provider.base_url}."
        says(check()["metadata"], FAILED, words, "with or without a slash", "Write the issuer with Edit")

    def test_it_tells_what_has_moved_and_changes_nothing(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        make(issuer=provider.publish())
        before = OutgoingLink.get().differences
        provider.publish(token_endpoint=f"{provider.base_url}/v2/token")
        says(check()["metadata"], WARNED, f"token endpoint {provider.base_url}/v2/token", "Find endpoints")
        assert OutgoingLink.get().differences == before

    @pytest.mark.parametrize(
        ("metadata", "words"),
        [
            ({"token_endpoint_auth_methods_supported": ["client_secret_post"]}, "client_secret_post"),
            ({"code_challenge_methods_supported": ["plain"]}, "no PKCE with S256"),
            ({"token_endpoint_auth_methods_supported": ["\ud800", "other"]}, "client authentication , other"),
        ],
    )
    def test_it_tells_what_wont_go_together(
        self, check: Check, make: Callable[..., str], provider: StandIn, metadata: dict[str, object], words: str
    ) -> None:
        make(issuer=provider.publish(**metadata))  # type: ignore[arg-type]
        says(check()["metadata"], WARNED, words)

    def test_it_cant_tell_without_metadata(self, check: Check, make: Callable[..., str], provider: StandIn) -> None:
        provider.documents |= {
            f"/.well-known/{name}": raw_answer("", 404)
            for name in ("oauth-authorization-server", "openid-configuration")
        }
        make(issuer=provider.base_url)
        says(check()["metadata"], UNKNOWN, "no metadata")


class TestOffline:
    def test_it_tells_missing_offline_access(self, check: Check, make: Callable[..., str]) -> None:
        make(provider="microsoft", tenant="contoso.com", scopes="openid")
        says(check()["offline"], FAILED, "the scope offline_access isn't asked for", "Add offline_access to Scopes")

    def test_it_tells_a_parameter_that_takes_it_back(self, check: Check, make: Callable[..., str]) -> None:
        make(provider="google", authorization_parameters="access_type=online")
        says(check()["offline"], FAILED, "access_type is online in place of offline", "Take access_type out")

    def test_it_warns_of_a_scope_that_the_metadata_offers(
        self, check: Check, make: Callable[..., str], provider: StandIn
    ) -> None:
        make(issuer=provider.publish(scopes_supported=["read", "write", "offline_access"]))
        says(check()["offline"], WARNED, "has a scope offline_access", "Add offline_access to Scopes")


class TestConnections:
    def test_it_tells_that_no_refresh_token_was_given(self, check: Check, connected: Callable[..., None]) -> None:
        connected({})
        says(check()["refresh_token"], FAILED, "gave no refresh token", "choose Reconnect")

    def test_it_says_which_scope_was_missing_for_one(self, check: Check, connected: Callable[..., None]) -> None:
        connected({}, provider="atlassian", scopes="read:me")
        says(check()["refresh_token"], FAILED, "since the scope offline_access isn't asked for", "Add offline_access")

    @pytest.mark.parametrize("scopes", ["id refresh_token", "id offline_access"])
    def test_it_knows_every_scope_that_brings_one(self, check: Check, make: Callable[..., str], scopes: str) -> None:
        make(provider="salesforce", scopes=scopes)
        says(check()["offline"], PASSED)

    def test_it_warns_where_the_last_refresh_failed(self, check: Check, connected: Callable[..., None]) -> None:
        connected({"refresh_token": "CANARY-r"})
        Connection.update(state=State.RETRYING, words="The provider answered HTTP 503.").execute()
        says(check()["connection"], WARNED, "The last refresh failed. The provider answered HTTP 503.", "keeps trying")

    def test_it_asks_for_the_keys_of_what_it_cant_read(self, check: Check, connected: Callable[..., None]) -> None:
        connected({"refresh_token": "CANARY-r"})
        Connection.update(state=State.UNREADABLE, words="It can't be opened.").execute()
        says(check()["connection"], FAILED, "It can't be opened.", "Give Applinks the keys")

    def test_it_says_which_connections_it_left_out(self, check: Check, connected: Callable[..., None]) -> None:
        connected({"refresh_token": "CANARY-r"})
        link = Connection.get().link_id
        for number in range(5):
            Connection.create(id=new_id(), link=link, label=f"more-{number}", created_at=2_000_000_000 + number)
        says(check()["connection"], SKIPPED, "since there are many: more-4.")

    def test_it_needs_none_for_a_token_without_an_end(self, check: Check, connected: Callable[..., None]) -> None:
        connected({"expires_in": None}, provider="github")
        says(check()["refresh_token"], PASSED, "no end")

    def test_it_tells_scopes_that_werent_granted(self, check: Check, connected: Callable[..., None]) -> None:
        connected({"refresh_token": "CANARY-r", "scope": "read"})
        says(check()["granted"], WARNED, "Not granted, or written otherwise: write.", "Choose Reconnect")

    def test_it_refreshes_where_the_tokens_survive_it(
        self, check: Check, connected: Callable[..., None], provider: StandIn
    ) -> None:
        connected({"refresh_token": "CANARY-r", "scope": "read write"}, provider="google")
        provider.documents["/token"] = json_answer(
            {"access_token": "CANARY-b", "token_type": "Bearer", "expires_in": 60}
        )
        says(check()["refresh"], PASSED, "A new token was given and stored")
        assert Connection.get().generation == 2

    def test_it_tells_a_refresh_that_is_refused(
        self, check: Check, connected: Callable[..., None], provider: StandIn
    ) -> None:
        connected({"refresh_token": "CANARY-r"}, provider="google")
        provider.documents["/token"] = UNKNOWN_CODE
        says(check()["refresh"], FAILED, "no longer accepts this grant", "Reconnect")
        assert Connection.get().state == State.RECONNECT_NEEDED
        says(check()["connection"], FAILED, "Reconnect")

    @pytest.mark.parametrize("key", ["custom", "atlassian"])
    def test_it_uses_up_no_refresh_token(
        self, check: Check, connected: Callable[..., None], provider: StandIn, key: str
    ) -> None:
        connected({"refresh_token": "CANARY-r"}, **({} if key == "custom" else {"provider": key}))
        says(check()["refresh"], SKIPPED, "replace")
        assert not [asked for asked in provider.token_requests if asked.form.get("grant_type") == "refresh_token"]

    def test_it_tells_that_the_account_is_another(
        self, check: Check, connected: Callable[..., None], provider: StandIn
    ) -> None:
        connected({"refresh_token": "CANARY-r"})
        says(check()["account"], PASSED, "It is ada@example.com")
        provider.userinfo = {"email": "bob@example.com"}
        says(check()["account"], WARNED, "It was ada@example.com and is bob@example.com now", "choose Reconnect")

    def test_it_tells_that_the_provider_doesnt_say_who_it_is(
        self, check: Check, connected: Callable[..., None], provider: StandIn
    ) -> None:
        connected({"refresh_token": "CANARY-r"})
        provider.documents["/userinfo"] = json_answer({}, 403)
        says(check()["account"], WARNED, "doesn't say which account", "Userinfo endpoint")

    def test_it_shows_no_token_to_an_endpoint_that_was_changed_meanwhile(
        self, connected: Callable[..., None], provider: StandIn, services: Services
    ) -> None:
        connected({"refresh_token": "CANARY-r"})
        before = services.links.outgoing("payroll")
        ApplicationLink.update(version=ApplicationLink.version + 1).execute()
        provider.asked.clear()
        findings = services.checks.run(before, "connections", ADA, reached=True)
        assert "account" not in [finding.key for finding in findings]
        assert not provider.asked

    @pytest.mark.parametrize(
        ("later", "result", "words"),
        [(0, PASSED, "in 182 days"), (160, WARNED, "in 22 days"), (183, FAILED, "has ended")],
    )
    def test_it_tells_when_a_consent_dies(
        self, check: Check, connected: Callable[..., None], clock: Clock, later: int, result: str, words: str
    ) -> None:
        connected({"refresh_token": "CANARY-r", "expires_in": None}, provider="spotify")
        Connection.update(connected_at=int(clock()) - later * DAY).execute()
        says(check()["consent"], result, words)

    @pytest.mark.parametrize(
        ("left", "result", "words"), [(100, PASSED, "in 100 days"), (5, WARNED, "in 5 days"), (-1, FAILED, "has ended")]
    )
    def test_it_tells_when_a_secret_dies(
        self, check: Check, make: Callable[..., str], clock: Clock, left: int, result: str, words: str
    ) -> None:
        make()
        OutgoingLink.update(client_secret_ends_at=int(clock()) + left * DAY).execute()
        says(check()["secret"], result, words)

    def test_it_asks_to_note_the_end_of_a_secret_that_has_one(self, check: Check, make: Callable[..., str]) -> None:
        make(provider="microsoft", tenant="contoso.com")
        says(check()["secret"], UNKNOWN, "at most 730 days", "Note when the client secret ends")


class TestPage:
    def test_it_goes_on_part_by_part(self, ada: Visitor, make: Callable[..., str], check: Check) -> None:
        make()
        path, seen = "/links/payroll/checks/here", {}
        for _ in PARTS:
            page = ada.htmx("POST", path).text
            seen |= steps(page)
            following = re.search(r'data-hx-post="([^"]+)"', page)
            path = unescape(following[1]) if following else ""
        assert not path
        assert "nothing has failed" in page
        assert seen.keys() == check().keys()

    def test_it_remembers_that_nobody_answered(self, ada: Visitor, make: Callable[..., str], provider: StandIn) -> None:
        make()
        provider.documents["/token"] = raw_answer("", 404)
        page = ada.htmx("POST", "/links/payroll/checks/provider").text
        following = re.search(r'data-hx-post="([^"]+)"', page)
        assert following
        after = ada.htmx("POST", unescape(following[1])).text
        says(steps(after)["credentials"], SKIPPED)

    @pytest.mark.parametrize("part", ["nothing", "Here", "here/x", ""])
    def test_it_knows_its_own_parts_alone(self, ada: Visitor, make: Callable[..., str], part: str) -> None:
        make()
        assert ada.post(f"/links/payroll/checks/{part}").status_code == 404

    def test_it_offers_the_check_on_the_links_page(self, ada: Visitor, make: Callable[..., str]) -> None:
        make()
        assert 'href="/links/payroll/checks"' in ada.get("/links/payroll").text
        assert ada.get("/links/payroll/checks").status_code == 200

    def test_it_escapes_what_a_provider_says(self, ada: Visitor, make: Callable[..., str], provider: StandIn) -> None:
        make()
        provider.documents["/authorize"] = raw_answer("", 302, Location='/x"><script>alert(1)</script>')
        words = {"error": "<script>", "error_description": "<script>alert(1)</script>"}
        provider.documents["/token"] = json_answer(words, 400)
        assert "<script>alert" not in ada.post("/links/payroll/checks").text

    @pytest.mark.parametrize(
        "location",
        [
            "http://[",
            "http://[::1/x",
            "//",
            "?error=invalid_scope",
            "https://id.example/error?error=x",
            "http://a@b:99999999/",
            "\x80\xff",
            "x" * 9000,
        ],
    )
    def test_it_takes_any_redirect_calmly(
        self, ada: Visitor, make: Callable[..., str], provider: StandIn, location: str
    ) -> None:
        make()
        provider.documents["/authorize"] = lambda request: Unchanged("", 302, headers={"Location": location})
        page = ada.post("/links/payroll/checks")
        assert "HTTP 302" in steps(page.text)["redirect_url_registered"][1]
        assert page.status_code == 200
        says(steps(page.text)["redirect_url_registered"], UNKNOWN)

    @pytest.mark.parametrize(
        ("failed", "said"), [("9" * 30, "100 steps"), ("-7", "nothing has failed"), ("x", "nothing")]
    )
    def test_it_takes_any_count_calmly(self, ada: Visitor, make: Callable[..., str], failed: str, said: str) -> None:
        make()
        page = ada.htmx("POST", f"/links/payroll/checks/connections?failed={failed}")
        assert said in page.text
