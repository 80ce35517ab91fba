"""OAuth clients that nobody here wrote, at our own authorization server: nothing about it is made for ours alone."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError
from requests_oauthlib import OAuth2Session

from tests.processes import Process
from tests.thirdparty.browser import SECONDS
from tests.thirdparty.conftest import NODE
from tests.thirdparty.person import Person

REDIRECT = "https://app.example/callback"
SCOPE = "profile links:read"


class Served(NamedTuple):
    base_url: str
    person: Person
    client_id: str
    client_secret: str
    metadata: dict[str, Any]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A demo of its own process, with an incoming link that was made in its form."""
    process = Process(tmp_path_factory.mktemp("incoming") / "data", "demo")
    person = Person(process.wait_until_open(), process.base_url)
    grants = ["authorization_code", "client_credentials"]
    credentials = person.make_incoming(name="Third", redirect_uris=REDIRECT, scopes=SCOPE.split(), grant_types=grants)
    with requests.Session() as session:
        session.trust_env = False
        url = f"{process.base_url}/.well-known/oauth-authorization-server"
        metadata = session.get(url, timeout=SECONDS).json()
    yield Served(process.base_url, person, *credentials, metadata)
    person.close()
    assert process.stop() == 0


@pytest.fixture(autouse=True)
def plain_http_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHLIB_INSECURE_TRANSPORT", "OAUTHLIB_INSECURE_TRANSPORT"):
        monkeypatch.setenv(name, "1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_it_serves_authlib(served: Served, method: str) -> None:
    said = served.metadata
    session = AuthlibSession(
        *(served.client_id, served.client_secret, method),
        scope=SCOPE,
        redirect_uri=REDIRECT,
        code_challenge_method="S256",
        token_endpoint=said["token_endpoint"],
        revocation_endpoint_auth_method=method,
    )
    url, state = session.create_authorization_url(said["authorization_endpoint"], code_verifier="v" * 64)
    back = served.person.allow(url)
    tokens = session.fetch_token(
        said["token_endpoint"], authorization_response=back, state=state, code_verifier="v" * 64
    )
    assert tokens["scope"] == SCOPE
    assert session.get(said["userinfo_endpoint"]).json()["name"] == "demo"
    newer = session.refresh_token(said["token_endpoint"], tokens["refresh_token"])
    assert newer["refresh_token"] != tokens["refresh_token"]
    told = session.introspect_token(said["introspection_endpoint"], newer["access_token"])
    assert told.json() | {"exp": 0, "iat": 0, "sub": ""} == {
        **{"active": True, "scope": SCOPE, "client_id": served.client_id, "username": "demo"},
        **{"token_type": "Bearer", "exp": 0, "iat": 0, "sub": ""},
    }
    assert session.revoke_token(said["revocation_endpoint"], newer["refresh_token"]).status_code == 200
    told = session.introspect_token(said["introspection_endpoint"], newer["access_token"])
    assert told.json() == {"active": False}
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.refresh_token(said["token_endpoint"], newer["refresh_token"])
    own = session.fetch_token(said["token_endpoint"], grant_type="client_credentials", scope="links:read")
    assert "refresh_token" not in own
    assert session.get(f"{served.base_url}/api/v1/links").status_code == 200


def test_it_serves_requests_oauthlib(served: Served) -> None:
    said, auth = served.metadata, (served.client_id, served.client_secret)
    session = OAuth2Session(served.client_id, redirect_uri=REDIRECT, scope=SCOPE, pkce="S256")
    url, _ = session.authorization_url(said["authorization_endpoint"])
    back = served.person.allow(url)
    tokens = session.fetch_token(said["token_endpoint"], authorization_response=back, auth=auth)
    assert session.get(said["userinfo_endpoint"]).json()["name"] == "demo"
    newer = session.refresh_token(said["token_endpoint"], tokens["refresh_token"], auth=auth)
    assert newer["access_token"] != tokens["access_token"]
    form = {"token": newer["refresh_token"], "token_type_hint": "refresh_token"}
    assert requests.post(said["revocation_endpoint"], form, auth=auth, timeout=SECONDS).status_code == 200
    with pytest.raises(InvalidGrantError):
        session.refresh_token(said["token_endpoint"], newer["refresh_token"], auth=auth)
    machine = OAuth2Session(client=BackendApplicationClient(served.client_id, scope="links:read"))
    own = machine.fetch_token(said["token_endpoint"], auth=auth)
    assert own["scope"] == ["links:read"]
    assert machine.get(f"{served.base_url}/api/v1/links").status_code == 200


def test_it_serves_openid_client(served: Served, tmp_path: Path) -> None:
    """On Node.js; it checks state, iss and the metadata itself."""
    if shutil.which("node") is None or not (NODE / "node_modules" / ".installed").exists():
        pytest.skip("openid-client needs Node.js and npm")
    told = {"base_url": served.base_url, "client_id": served.client_id, "client_secret": served.client_secret}
    command = ["node", str(NODE / "client.mjs"), json.dumps(told | {"redirect_uri": REDIRECT, "scope": SCOPE})]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as client:
        assert client.stdout
        url = client.stdout.readline().strip()
        assert url, client.communicate()[1]
        out, err = client.communicate(served.person.allow(url) + "\n", timeout=SECONDS)
    assert client.returncode == 0, err
    found = json.loads(out)
    assert found["active"].pop("active") is True
    assert (found["active"]["username"], found["scope"], found["name"]) == ("demo", SCOPE, "demo")
    assert (found["revoked"], found["own"], found["refused"]) == ({"active": False}, "links:read", "invalid_grant")


def test_it_takes_no_code_without_the_verifier_from_them(served: Served) -> None:
    """A154: a client that leaves PKCE out is told so at once."""
    session = OAuth2Session(served.client_id, redirect_uri=REDIRECT, scope=SCOPE)
    url, _ = session.authorization_url(served.metadata["authorization_endpoint"])
    with pytest.raises(StopIteration):
        served.person.allow(url)
