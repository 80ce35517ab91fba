"""Three authorization servers that nobody here wrote. Each runs once, for all of its tests."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from applinks.crypto import KeyRing, Place
from applinks.models import Connection
from applinks.settings import Settings
from tests.thirdparty.authlib_server import AuthlibServer
from tests.thirdparty.third_party import CONFIGURATION, ThirdParty, served

NODE = Path(__file__).parent / "node"
ACCOUNT = "ada@third.example"


@contextmanager
def authlib() -> Iterator[ThirdParty]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        server = AuthlibServer(CONFIGURATION)
        server.start()
        try:
            yield ThirdParty("authlib", server.base_url, account=ACCOUNT, scopes="read write")
        finally:
            server.stop()


@contextmanager
def django_oauth_toolkit() -> Iterator[ThirdParty]:
    with served(sys.executable, "-m", "tests.thirdparty.django_server", cwd=NODE.parents[2]) as base_url:
        yield ThirdParty(
            "django-oauth-toolkit",
            base_url,
            account=ACCOUNT,
            scopes="read write",
            authorization="/authorize/",
            token="/token/",
            revocation="/revoke_token/",
            # It doesn't say who it is when it refuses, as RFC 9207 §2 wants it to.
            extra={"iss_required": ""},
        )


@contextmanager
def oidc_provider() -> Iterator[ThirdParty]:
    if shutil.which("node") is None:
        pytest.skip("oidc-provider needs Node.js, and there is no node here")
    if not (NODE / "node_modules" / ".installed").exists():
        pytest.skip("oidc-provider isn't installed: `make test` does it where npm is")
    # Not every Node.js has it.
    needed = subprocess.run(["node", "-p", "typeof URL.parse"], capture_output=True, text=True, check=True).stdout
    if needed.strip() != "function":
        pytest.skip("oidc-provider needs a newer Node.js than the one here")
    with served("node", str(NODE / "server.mjs")) as base_url:
        yield ThirdParty(
            "oidc-provider",
            base_url,
            account=ACCOUNT,
            scopes="openid email offline_access",
            # It gives offline_access, and with it a refresh token, to those who ask for consent (OpenID Connect §11).
            extra={"authorization_parameters": "prompt=consent"},
        )


@pytest.fixture(scope="session")
def authlib_server() -> Iterator[ThirdParty]:
    with authlib() as server:
        yield server


@pytest.fixture(scope="session")
def django_server() -> Iterator[ThirdParty]:
    with django_oauth_toolkit() as server:
        yield server


@pytest.fixture(scope="session")
def oidc_server() -> Iterator[ThirdParty]:
    with oidc_provider() as server:
        yield server


@pytest.fixture(params=["authlib", "django", "oidc"])
def third(request: pytest.FixtureRequest) -> ThirdParty:
    """Each of them in turn."""
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(app: Flask, compiled_templates: FileSystemBytecodeCache) -> Flask:
    """The same application, which compiles each template once for all of these tests."""
    app.jinja_env.bytecode_cache = compiled_templates
    return app


@pytest.fixture
def keys(app: Flask, settings: Settings) -> KeyRing:
    return KeyRing.parse(settings.keys_file.read_text("ascii"))


@pytest.fixture
def stored(keys: KeyRing) -> Callable[[str], str]:
    """The `access_token` or `refresh_token` that Applinks keeps at this moment."""

    def read(field: str) -> str:
        connection = Connection.get()
        return keys.open(getattr(connection, f"{field}_enc"), Place("connection", connection.id, field))

    return read


@pytest.fixture(autouse=True)
def what_authlib_logs_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """It runs in this process, and writes its tokens at DEBUG."""
    caplog.set_level(logging.WARNING, logger="authlib")
