"""A small authorization server that nobody here wrote: Authlib's, with its clients, codes and tokens in memory."""

import threading
import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants, list_to_scope, scope_to_list
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin, TokenMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

from tests.standin import QuietHandler

CLIENT_ID = "payroll-client"
LIFE = 60


class Client(ClientMixin):
    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.redirect_uri = ""

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return list_to_scope([one for one in scope_to_list(scope) or [] if one in ("read", "write")])

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


class Code(AuthorizationCodeMixin):
    def __init__(self, code: str, asked: Any) -> None:
        self.code = code
        self.redirect_uri = asked.payload.redirect_uri
        self.scope = asked.payload.scope
        self.code_challenge = asked.payload.data.get("code_challenge")
        self.code_challenge_method = asked.payload.data.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope)


class Token(TokenMixin):
    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members
        self.until = time.time() + members["expires_in"]
        self.revoked = False

    def check_client(self, client: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return str(self.members["scope"])

    def get_expires_in(self) -> int:
        return int(self.members["expires_in"])

    def is_expired(self) -> bool:
        return self.until < time.time()

    def is_revoked(self) -> bool:
        return self.revoked

    def get_user(self) -> str:
        return "ada"

    def get_client(self) -> None:
        return None


class ThirdParty:
    """The server, running on loopback. `allow` is what the person at its consent page decides."""

    def __init__(self, secret: str) -> None:
        self.client, self.codes, self.tokens = Client(secret), {}, []  # type: ignore[var-annotated]
        self.allow = True
        self._app = self._build()

    def start(self) -> None:
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True, request_handler=QuietHandler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def revoke_everything(self) -> None:
        for token in self.tokens:
            token.revoked = True

    def _build(self) -> Flask:
        app, third = Flask(__name__), self
        app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": LIFE, "refresh_token": LIFE}

        class AuthorizationCode(grants.AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]  # noqa: RUF012 (as Authlib wants it)

            def save_authorization_code(self, code: str, request: Any) -> None:
                third.codes[code] = Code(code, request)

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                return third.codes.get(code)

            def delete_authorization_code(self, authorization_code: Code) -> None:
                del third.codes[authorization_code.code]

            def authenticate_user(self, authorization_code: Code) -> str:
                return "ada"

        class RefreshToken(grants.RefreshTokenGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]  # noqa: RUF012 (as Authlib wants it)
            INCLUDE_NEW_REFRESH_TOKEN = True

            def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
                alive = (token for token in third.tokens if not token.revoked)
                return next((token for token in alive if token.members["refresh_token"] == refresh_token), None)

            def authenticate_user(self, refresh_token: Token) -> str:
                return "ada"

            def revoke_old_credential(self, refresh_token: Token) -> None:
                refresh_token.revoked = True

        server = AuthorizationServer(
            app,
            query_client=lambda client_id: third.client if client_id == CLIENT_ID else None,
            save_token=lambda token, request: third.tokens.append(Token(token)),
        )
        server.register_grant(AuthorizationCode, [CodeChallenge(required=True)])
        server.register_grant(RefreshToken)

        @app.get("/authorize")
        def authorize() -> Any:
            grant = server.get_consent_grant(end_user="ada")
            return server.create_authorization_response(grant=grant, grant_user="ada" if third.allow else None)

        @app.post("/token")
        def token() -> Any:
            return server.create_token_response()

        @app.get("/userinfo")
        def userinfo() -> Any:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            known = any(token.members["access_token"] == given for token in third.tokens if not token.revoked)
            return jsonify({"sub": "1", "email": "ada@third.example"}) if known else (jsonify({}), 401)

        return app
