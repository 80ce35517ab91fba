"""What real providers need beyond RFC 6749's letter: each option of a link changes what is sent, and nothing else does."""

import base64
from collections.abc import Callable

import pytest
from flask import Flask

from applinks.crypto import new_id
from applinks.forms.link import OutgoingForm
from applinks.models import Connection, OutgoingLink, State
from applinks.oauth.options import WORDS
from applinks.services.renewal import Outcome
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due, renew
from tests.standin import Asked, StandIn, callback_path, json_answer, raw_answer
from tests.visitor import Visitor, text_of

Connect = Callable[..., StandIn]

BASIC = "Basic " + base64.b64encode(b"payroll-client:CANARY-client-secret").decode()


@pytest.fixture
def connect_with(ada: Visitor, provider: StandIn, link_form: dict[str, str]) -> Connect:
    """Save `payroll` with some options and connect an account."""

    def dance(**options: str) -> StandIn:
        link_id = new_id()
        saved = ada.post(f"/links/new/outgoing/{link_id}", link_form | options)
        assert saved.status_code == 303, text_of(saved)
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        back = ada.get(callback_path(link_id, provider.consent(url)))
        assert back.status_code == 303, text_of(back)
        return provider

    return dance


def refresh(services: Services, provider: StandIn) -> Asked:
    assert renew(services) == Outcome.REFRESHED
    return provider.token_requests[-1]


def test_it_sends_nothing_extra_unless_told_to(connect_with: Connect, services: Services) -> None:
    provider = connect_with()
    exchanged, refreshed = provider.token_requests[0], refresh(services, provider)
    assert set(exchanged.form) == {"grant_type", "code", "code_verifier", "redirect_uri"}
    assert set(refreshed.form) == {"grant_type", "refresh_token"}


def test_it_sends_extra_parameters_each_where_it_belongs(connect_with: Connect, services: Services) -> None:
    provider = connect_with(
        authorization_parameters="audience=api.example.com\nprompt=consent",
        token_parameters="resource=https://api.example.com/ a",
        refresh_parameters="timeout=5\nauth=x",
    )
    query = provider.authorization_query
    assert (query["audience"], query["prompt"]) == (["api.example.com"], ["consent"])
    assert provider.token_requests[0].form["resource"] == "https://api.example.com/ a"
    form = refresh(services, provider).form
    # Names that are arguments of the library's functions are parameters all the same.
    assert (form["timeout"], form["auth"]) == ("5", "x")
    assert "resource" not in form


@pytest.mark.parametrize("name", ["redirect_uri", "CODE", "client_secret", "grant_type", "state", "code_verifier"])
@pytest.mark.parametrize("field", ["authorization_parameters", "token_parameters", "refresh_parameters"])
def test_it_lets_nobody_override_what_it_sends_itself(
    ada: Visitor, link_form: dict[str, str], field: str, name: str
) -> None:
    """A028"""
    saved = ada.post(f"/links/new/outgoing/{new_id()}", link_form | {field: f"x=1\n{name}=evil"})
    assert saved.status_code == 422
    assert f'id="{field}-error"' in saved.text
    assert '<details class="advanced" id="advanced" open>' in saved.text
    assert not OutgoingLink.select().exists()


def test_it_sends_scopes_and_redirect_url_on_refresh_where_told_to(connect_with: Connect, services: Services) -> None:
    provider = connect_with(scope_on_refresh="yes", redirect_uri_on_refresh="yes", scope_separator="comma")
    assert provider.authorization_query["scope"] == ["read,write"]
    form = refresh(services, provider).form
    assert form["scope"] == "read,write"
    assert form["redirect_uri"] == provider.token_requests[0].form["redirect_uri"]


@pytest.mark.parametrize(
    ("asked", "granted", "sent"),
    [
        ("read write", "read", "read"),
        ("read write", "write read", "read write"),
        ("read offline_access", "read", "read offline_access"),
        ("https://graph.example/Mail.Read", "Mail.Read", "https://graph.example/Mail.Read"),
        ("read", "read more", "read"),
    ],
)
def test_it_asks_for_nothing_on_refresh_that_was_not_granted(
    connect_with: Connect, provider: StandIn, services: Services, asked: str, granted: str, sent: str
) -> None:
    """RFC 6749 §6; where a provider writes its scopes in another way, what was asked for is known to work."""
    provider.answer(json_answer(provider.grant() | {"scope": granted}))
    connect_with(scopes=asked, scope_on_refresh="yes")
    assert refresh(services, provider).form["scope"] == sent


def test_it_reads_form_encoded_answers_where_told_to(connect_with: Connect, provider: StandIn) -> None:
    body = "access_token=CANARY-a&token_type=bearer&scope=read%2Cwrite&expires_in=100"
    provider.answer(raw_answer(body, content_type="application/x-www-form-urlencoded"))
    connect_with(form_encoded_answers="yes", scope_separator="comma")
    assert Connection.get().scopes_granted == "read write"


def test_it_takes_a_default_lifetime_where_the_provider_names_none(
    connect_with: Connect, provider: StandIn, clock: Clock
) -> None:
    provider.life = None
    connect_with(default_life="7200")
    connection = Connection.get()
    assert connection.expires_at == int(clock()) + 7200
    assert connection.words == ""


def test_it_believes_the_provider_before_the_default(connect_with: Connect, clock: Clock) -> None:
    connect_with(default_life="7200")
    assert Connection.get().expires_at == int(clock()) + 3600


class TestClientAuthentication:
    def test_it_may_be_another_one_when_refreshing(self, connect_with: Connect, services: Services) -> None:
        provider = connect_with(refresh_client_authentication="client_secret_post")
        refreshed = refresh(services, provider)
        assert provider.token_requests[0].headers["Authorization"] == BASIC
        assert "Authorization" not in refreshed.headers
        assert refreshed.form["client_secret"] == "CANARY-client-secret"

    def test_it_needs_no_secret_for_a_public_client(
        self, connect_with: Connect, services: Services, ada: Visitor
    ) -> None:
        provider = connect_with(client_authentication="none", client_secret="")
        refresh(services, provider)
        for asked in provider.token_requests:
            assert "Authorization" not in asked.headers
            assert "client_secret" not in asked.form
            assert asked.form["client_id"] == "payroll-client"
        assert provider.token_requests[0].form["code_verifier"]
        assert "Client secret" not in ada.get("/links/payroll").text

    def test_it_asks_for_a_secret_when_a_public_client_becomes_a_confidential_one(
        self, connect_with: Connect, ada: Visitor, link_form: dict[str, str]
    ) -> None:
        connect_with(client_authentication="none", client_secret="")
        edit = link_form | {"client_secret": "", "version": "1"}
        refused = ada.post("/links/payroll/edit", edit)
        assert refused.status_code == 422
        assert 'id="client_secret-error"' in refused.text
        assert ada.post("/links/payroll/edit", edit | {"client_secret": "CANARY-new"}).status_code == 303
        assert Connection.get().state == State.CONNECTED

    @pytest.mark.parametrize(
        "unrecognised",
        [
            json_answer({"error": "invalid_client"}, 401),
            json_answer({"error": "invalid_request"}, 400),
            json_answer({"error": "unauthorized"}, 401),
            json_answer({"message": "Unauthorized"}, 401),
            raw_answer("<html>", 401, "text/html"),
        ],
    )
    def test_it_finds_out_which_one_works_and_remembers(
        self, connect_with: Connect, provider: StandIn, services: Services, ada: Visitor, unrecognised: object
    ) -> None:
        provider.answer(unrecognised)  # type: ignore[arg-type]
        connect_with(client_authentication="detect")
        basic, post = provider.token_requests
        assert basic.headers["Authorization"] == BASIC
        assert post.form["client_secret"] == "CANARY-client-secret"
        assert basic.form["code"] == post.form["code"]
        assert "client_secret_post (found by trying)" in text_of(ada.get("/links/payroll"))
        assert refresh(services, provider).form["client_secret"] == "CANARY-client-secret"
        assert len(provider.token_requests) == 3

    def test_it_asks_no_second_time_when_the_first_way_works(self, connect_with: Connect) -> None:
        assert len(connect_with(client_authentication="detect").token_requests) == 1
        assert OutgoingLink.get().found_authentication == "client_secret_basic"

    @pytest.mark.parametrize(
        "answer",
        [
            json_answer({"error": "invalid_grant"}, 400),
            raw_answer("away", 503),
            raw_answer("", 307, Location="http://127.0.0.1:1/"),
            raw_answer("<html>", 200, "text/html"),
        ],
    )
    def test_it_tries_no_other_way_when_that_was_not_the_cause(
        self, ada: Visitor, provider: StandIn, link_form: dict[str, str], answer: object
    ) -> None:
        link_id = new_id()
        ada.post(f"/links/new/outgoing/{link_id}", link_form | {"client_authentication": "detect"})
        provider.answer(answer)  # type: ignore[arg-type]
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        assert ada.get(callback_path(link_id, provider.consent(url))).status_code == 400
        assert len(provider.token_requests) == 1

    def test_it_remembers_nothing_where_no_way_works(
        self, ada: Visitor, provider: StandIn, link_form: dict[str, str]
    ) -> None:
        link_id = new_id()
        ada.post(f"/links/new/outgoing/{link_id}", link_form | {"client_authentication": ""})
        provider.answer(*[json_answer({"error": "invalid_client"}, 401)] * 2)
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        refused = ada.get(callback_path(link_id, provider.consent(url)))
        assert "refused the client ID or the client secret" in text_of(refused)
        assert OutgoingLink.get().found_authentication == ""

    def test_it_remembers_nothing_of_a_refresh_that_has_a_method_of_its_own(
        self, connect_with: Connect, services: Services
    ) -> None:
        provider = connect_with(client_authentication="detect", refresh_client_authentication="client_secret_post")
        OutgoingLink.update(found_authentication="").execute()
        assert refresh(services, provider).form["client_secret"] == "CANARY-client-secret"
        assert OutgoingLink.get().found_authentication == ""
        provider.answer(json_answer({"error": "invalid_client"}, 401))
        assert renew(services) == Outcome.REFUSED
        assert len(provider.token_requests) == 3

    def test_it_asks_the_metadata_first(self, ada: Visitor, provider: StandIn, link_form: dict[str, str]) -> None:
        """RFC 8414 §2"""
        document = {
            "issuer": provider.base_url,
            "authorization_endpoint": f"{provider.base_url}/authorize",
            "token_endpoint": f"{provider.base_url}/token",
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
        }
        link_id = new_id()
        detect = {"client_authentication": "detect", "issuer": provider.base_url}
        ada.post(f"/links/new/outgoing/{link_id}", link_form | detect)
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        provider.answer(json_answer(document))
        assert ada.get(callback_path(link_id, provider.consent(url))).status_code == 303
        assert provider.asked[0].path == "/.well-known/oauth-authorization-server"
        assert [asked.form["client_secret"] for asked in provider.token_requests] == ["CANARY-client-secret"]

    def test_it_believes_no_metadata_of_another_token_endpoint(
        self, ada: Visitor, provider: StandIn, link_form: dict[str, str]
    ) -> None:
        document = {
            "issuer": provider.base_url,
            "authorization_endpoint": f"{provider.base_url}/authorize",
            "token_endpoint": f"{provider.base_url}/other",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
        link_id = new_id()
        detect = {"client_authentication": "detect", "issuer": provider.base_url}
        ada.post(f"/links/new/outgoing/{link_id}", link_form | detect)
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        provider.answer(json_answer(document))
        assert ada.get(callback_path(link_id, provider.consent(url))).status_code == 303
        assert provider.token_requests[0].headers["Authorization"] == BASIC

    def test_it_forgets_what_it_found_when_another_method_is_chosen(
        self, connect_with: Connect, ada: Visitor, link_form: dict[str, str]
    ) -> None:
        connect_with(client_authentication="detect")
        edit = link_form | {"client_authentication": "", "client_secret": "", "version": "1"}
        assert ada.post("/links/payroll/edit", edit).status_code == 303
        assert OutgoingLink.get().found_authentication == ""

    def test_it_remembers_only_what_has_worked(
        self, ada: Visitor, provider: StandIn, link_form: dict[str, str]
    ) -> None:
        """That a server says something else to the second try needn't mean that it knew the client."""
        link_id = new_id()
        ada.post(f"/links/new/outgoing/{link_id}", link_form | {"client_authentication": "detect"})
        provider.answer(json_answer({"error": "invalid_request"}, 400), json_answer({"error": "invalid_grant"}, 400))
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        assert ada.get(callback_path(link_id, provider.consent(url))).status_code == 400
        assert OutgoingLink.get().found_authentication == ""

    def test_it_forgets_what_works_no_more(self, connect_with: Connect, provider: StandIn, services: Services) -> None:
        connect_with(client_authentication="detect")
        provider.answer(json_answer({"error": "invalid_client"}, 401))
        renew(services)
        assert OutgoingLink.get().found_authentication == ""

    def test_it_finds_out_anew_for_a_new_secret(
        self, connect_with: Connect, ada: Visitor, link_form: dict[str, str]
    ) -> None:
        connect_with(client_authentication="detect")
        edit = link_form | {"client_authentication": "detect", "client_secret": "CANARY-new", "version": "1"}
        assert ada.post("/links/payroll/edit", edit).status_code == 303
        assert OutgoingLink.get().found_authentication == ""


@pytest.mark.parametrize(
    "options",
    [
        {"scope_separator": "comma"},
        {"client_authentication": "client_secret_post"},
        {"token_parameters": "a=b"},
        {"default_life": "60"},
        {"scope_on_refresh": "yes"},
    ],
)
def test_it_changes_an_option_without_the_secret_and_keeps_accounts(
    connect_with: Connect, ada: Visitor, link_form: dict[str, str], options: dict[str, str]
) -> None:
    connect_with()
    edit = link_form | options | {"client_secret": "", "version": "1"}
    assert ada.post("/links/payroll/edit", edit).status_code == 303
    assert Connection.get().state == State.CONNECTED
    name, value = next(iter(options.items()))
    shown = ada.get("/links/payroll/edit").text
    assert f'value="{value}"' in shown or f">\r\n{value}</textarea>" in shown, name


def test_it_tries_a_mended_option_at_once(
    connect_with: Connect, ada: Visitor, link_form: dict[str, str], provider: StandIn, services: Services, clock: Clock
) -> None:
    connect_with()
    provider.answer(json_answer({"error": "invalid_client"}, 401))
    renew(services)
    assert Connection.get().state == State.CHECK_SETTINGS
    edit = link_form | {"client_authentication": "client_secret_post", "client_secret": "", "version": "1"}
    ada.post("/links/payroll/edit", edit)
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize("field", ["revocation_endpoint", "issuer", "userinfo_endpoint", "token_endpoint"])
def test_it_asks_for_the_secret_again_when_somebody_else_is_at_the_other_end(
    connect_with: Connect, ada: Visitor, link_form: dict[str, str], provider: StandIn, field: str
) -> None:
    """A096"""
    connect_with()
    edit = link_form | {field: f"{provider.base_url}/other", "client_secret": "", "version": "1"}
    assert ada.post("/links/payroll/edit", edit).status_code == 422
    assert Connection.get().state == State.CONNECTED
    assert ada.post("/links/payroll/edit", edit | {"client_secret": "CANARY-new"}).status_code == 303
    assert Connection.get().state == State.DISCONNECTED


def test_it_leaves_out_what_a_provider_brings_itself(ada: Visitor) -> None:
    form = {"name": "Mail", "provider": "google", "revealed": "google"}
    page = ada.post(f"/links/new/outgoing/{new_id()}", form).text
    assert 'id="client_authentication"' in page
    for field in ("issuer", "revocation_endpoint", "grant_type"):
        assert f'id="{field}"' not in page


def test_it_offers_the_words_that_it_reads(app: Flask) -> None:
    with app.test_request_context():
        form = OutgoingForm()
        for name, words in WORDS.items():
            assert set(form[name].choices) - {""} == set(words), name
