"""Custom by its issuer: *Find endpoints* fills in the form, and stores nothing."""

import re

import pytest
from werkzeug.wrappers import Response

from applinks.crypto import new_id
from applinks.models import ApplicationLink, OutgoingLink
from tests.standin import StandIn, json_answer, raw_answer
from tests.visitor import Visitor, text_of

ALL = {
    "scopes_supported": ["openid", "email", "offline_access", 'no "scope"'],
    "token_endpoint_auth_methods_supported": ["client_secret_post"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
}


@pytest.fixture
def path() -> str:
    return f"/links/new/outgoing/{new_id()}"


def value(page: str, name: str) -> str:
    found = re.search(rf'<input[^>]*\bname="{name}"[^>]*>', page)
    assert found, f"there is no {name}"
    inside = re.search(r'value="([^"]*)"', found[0])
    return inside[1] if inside else ""


def chosen(page: str, name: str) -> str:
    found = re.search(rf'<select[^>]*name="{name}".*?</select>', page, re.DOTALL)
    assert found
    option = re.search(r'<option selected value="([^"]*)"', found[0])
    return option[1] if option else ""


def typed(issuer: str, **more: str) -> dict[str, str]:
    return {"name": "Wiki", "provider": "custom", "issuer": issuer} | more


def publish_all(provider: StandIn) -> str:
    places = {name: f"{provider.base_url}/{name}" for name in ("userinfo_endpoint", "revocation_endpoint")}
    introspection = f"{provider.base_url}/introspect"
    return provider.publish(**places, **ALL, introspection_endpoint=introspection)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_htmx", [True, False])
def test_it_fills_in_what_the_metadata_says(ada: Visitor, provider: StandIn, path: str, by_htmx: bool) -> None:
    form = typed(publish_all(provider))
    page = ada.htmx("POST", f"{path}/discovery", form) if by_htmx else ada.post(f"{path}/discovery", form)
    assert page.status_code == 200
    assert value(page.text, "authorization_endpoint") == f"{provider.base_url}/authorize"
    assert value(page.text, "token_endpoint") == f"{provider.base_url}/token"
    assert value(page.text, "userinfo_endpoint") == f"{provider.base_url}/userinfo_endpoint"
    assert value(page.text, "revocation_endpoint") == f"{provider.base_url}/revocation_endpoint"
    assert chosen(page.text, "client_authentication") == "client_secret_post"
    assert chosen(page.text, "iss_required") == "yes"
    said = text_of(page)
    for words in ("PKCE with S256", "(iss)", "introspection endpoint", "Nothing is saved yet", "offline_access"):
        assert words in said
    assert 'no "scope' not in said
    assert ("<html" in page.text) != by_htmx
    assert "/oauth/callback/" in said, "the form hasn't revealed the Redirect URL"
    assert not ApplicationLink.select().exists()


def test_it_finds_openid_connects_document_behind_the_path(ada: Visitor, provider: StandIn, path: str) -> None:
    issuer = f"{provider.base_url}/realms/staff"
    ends = {name: f"{issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
    provider.documents["/.well-known/oauth-authorization-server/realms/staff"] = raw_answer("", 404)
    provider.documents["/realms/staff/.well-known/openid-configuration"] = json_answer({"issuer": issuer} | ends)
    page = ada.htmx("POST", f"{path}/discovery", typed(issuer))
    assert value(page.text, "token_endpoint") == ends["token_endpoint"]
    assert (
        chosen(page.text, "client_authentication") == "client_secret_basic"
    )  # RFC 8414 §2: what is meant where nothing is said
    assert "says nothing of PKCE" in text_of(page)


def test_it_leaves_the_choice_where_several_client_authentications_work(
    ada: Visitor, provider: StandIn, path: str
) -> None:
    methods = ["private_key_jwt", "client_secret_basic", "client_secret_post"]
    issuer = provider.publish(token_endpoint_auth_methods_supported=methods)
    page = ada.htmx("POST", f"{path}/discovery", typed(issuer))
    assert chosen(page.text, "client_authentication") == ""


def test_it_makes_a_public_client_where_there_is_no_other(ada: Visitor, provider: StandIn, path: str) -> None:
    issuer = provider.publish(token_endpoint_auth_methods_supported=["none"])
    page = ada.htmx("POST", f"{path}/discovery", typed(issuer))
    assert chosen(page.text, "client_authentication") == "none"
    assert 'name="client_secret"' not in page.text


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, "may refuse to connect"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"]}, "private_key_jwt"),
        ({"token_endpoint_auth_methods_supported": ["\ud800", "other"]}, "other"),
    ],
)
def test_it_warns_of_what_wont_work(
    ada: Visitor, provider: StandIn, path: str, metadata: dict[str, object], says: str
) -> None:
    issuer = provider.publish(**metadata)  # type: ignore[arg-type]
    assert says in text_of(ada.htmx("POST", f"{path}/discovery", typed(issuer)))


@pytest.mark.parametrize(
    ("issuer", "says"),
    [
        ("", "Write the provider's issuer"),
        ("nonsense", "isn't a complete address"),
        ("https://10.1.2.3", "APPLINKS_ALLOWED_NETWORKS"),
        ("http://id.corp.example", "Plain http"),
        ("https://169.254.169.254/", "never calls"),
    ],
)
def test_it_asks_no_address_that_isnt_allowed(ada: Visitor, path: str, issuer: str, says: str) -> None:
    page = ada.post(f"{path}/discovery", typed(issuer, token_endpoint="https://login.corp.example/token"))
    assert page.status_code == 422
    assert says in text_of(page)
    assert value(page.text, "token_endpoint") == "https://login.corp.example/token", "what was typed is gone"


@pytest.mark.parametrize(
    ("published", "says"),
    [
        ({"issuer": "https://evil.example"}, "names another issuer than the one that was asked: https://evil.example."),
        ({"token_endpoint": "https://10.1.2.3/token"}, "an endpoint that can't be called"),
        ({"token_endpoint": None}, "doesn't name its endpoints"),
        ({"userinfo_endpoint": "https://169.254.169.254/"}, "an endpoint that can't be called"),
        ({"introspection_endpoint": "http://id.corp.example/"}, "an endpoint that can't be called"),
    ],
)
def test_it_fills_in_nothing_that_cant_be_believed(
    ada: Visitor, provider: StandIn, path: str, published: dict[str, object], says: str
) -> None:
    issuer = provider.publish(**published)  # type: ignore[arg-type]
    provider.documents["/.well-known/openid-configuration"] = provider.documents[
        "/.well-known/oauth-authorization-server"
    ]
    page = ada.post(f"{path}/discovery", typed(issuer))
    assert page.status_code == 422
    assert says in text_of(page)
    assert value(page.text, "token_endpoint") == ""


def test_it_compares_the_issuer_to_the_byte(ada: Visitor, provider: StandIn, path: str) -> None:
    provider.publish(issuer=f"{provider.base_url}/")
    provider.documents["/.well-known/openid-configuration"] = provider.documents[
        "/.well-known/oauth-authorization-server"
    ]
    said = text_of(ada.post(f"{path}/discovery", typed(provider.base_url)))
    assert f"asked: {provider.base_url}/." in said
    assert "with or without a slash at the end" in said
    assert ada.post(f"{path}/discovery", typed(f"{provider.base_url}/")).status_code == 200


@pytest.mark.parametrize("status", [404, 500, 302])
def test_it_says_where_nothing_was_found(ada: Visitor, provider: StandIn, path: str, status: int) -> None:
    def gone(request: object) -> Response:
        return Response("<h1>Sorry</h1>", status, content_type="text/html")

    for place in ("oauth-authorization-server", "openid-configuration"):
        provider.documents[f"/.well-known/{place}"] = gone
    page = ada.post(f"{path}/discovery", typed(provider.base_url))
    assert page.status_code == 422
    assert "No endpoints were found." in text_of(page)
    assert "Sorry" not in page.text


def test_it_needs_somebody_signed_in(stranger: Visitor, provider: StandIn, path: str) -> None:
    assert stranger.post(f"{path}/discovery", typed(provider.publish())).status_code == 401
    assert not provider.asked


def test_it_changes_no_saved_link_by_itself(ada: Visitor, provider: StandIn, link_id: str) -> None:
    before = OutgoingLink.get().differences
    issuer = provider.publish(token_endpoint=f"{provider.base_url}/moved")
    page = ada.post("/links/payroll/edit/discovery", typed(issuer, version="1"))
    assert value(page.text, "token_endpoint") == f"{provider.base_url}/moved"
    assert OutgoingLink.get().differences == before
    form = {
        "name": "Payroll",
        "provider": "custom",
        "revealed": "custom",
        "version": "1",
        "client_id": "payroll-client",
    }
    form |= {name: value(page.text, name) for name in ("authorization_endpoint", "token_endpoint", "issuer")}
    saved = ada.post("/links/payroll/edit", form | {"userinfo_endpoint": "", "client_secret": "", "scopes": ""})
    assert "type the client secret again" in text_of(saved)
    assert OutgoingLink.get().differences == before
