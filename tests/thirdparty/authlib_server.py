"""A small authorization server that nobody here wrote: Authlib's, with its clients, codes and tokens in memory."""

import threading
import time
from typing import Any

from authlib.common.security import generate_token
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants, list_to_scope, scope_to_list
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin, TokenMixin
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

from tests.standin import QuietHandler

SCOPES = ("read", "write")
CONSENT_PAGE = (
    '<form method="post"><button name="allow" value="yes">Allow</button><button value="Cancel">Cancel</button></form>'
)


class Client(ClientMixin):
    """One that authenticates in one way alone."""

    def __init__(self, client_id: str, secret: str, redirect_uri: str, method: str, *grant_types: str) -> None:
        self.client_id = client_id
        self.secret = secret
        self.redirect_uri = redirect_uri
        self.method = method
        self.grant_types = grant_types

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return list_to_scope([one for one in scope_to_list(scope) or [] if one in SCOPES])

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types


class Code(AuthorizationCodeMixin):
    def __init__(self, code: str, asked: Any) -> None:
        self.code = code
        self.client_id = asked.client.client_id
        self.redirect_uri = asked.payload.redirect_uri
        self.scope = asked.payload.scope
        self.code_challenge = asked.payload.data.get("code_challenge")
        self.code_challenge_method = asked.payload.data.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope)


class Token(TokenMixin):
    """An access token with its refresh token. The refresh token takes the other with it, and not the other way round."""

    def __init__(self, members: dict[str, Any], client: Client) -> None:
        self.members = members
        self.client = client
        self.until = time.time() + members["expires_in"]
        self.alive = {members["access_token"], members.get("refresh_token")}

    def check_client(self, client: Client) -> bool:
        return client is self.client

    def get_scope(self) -> str:
        return str(self.members["scope"])

    def get_expires_in(self) -> int:
        return int(self.members["expires_in"])

    def is_expired(self) -> bool:
        return self.until < time.time()

    def is_revoked(self) -> bool:
        return not self.alive

    def revoke(self, text: str) -> None:
        self.alive -= {text} if text == self.members["access_token"] else self.alive

    def get_user(self) -> str:
        return "ada"

    def get_client(self) -> Client:
        return self.client


class AuthlibServer:
    """The server, running on loopback in a thread; `configuration` is the one of third_party.py."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._clients: dict[str, Client] = {}
        secret, redirect_uri = configuration["secret"], configuration["redirect_uri"]
        for method, client_id in configuration["clients"].items():
            self._register(client_id, secret, redirect_uri, method, "authorization_code", "refresh_token")
        self._register(configuration["machine"], secret, redirect_uri, "client_secret_basic", "client_credentials")
        self._codes: dict[str, Code] = {}
        self._tokens: list[Token] = []
        self._asked: list[str] = []
        self._life = configuration["life"]

    def _register(self, client_id: str, *rest: str) -> None:
        self._clients[client_id] = Client(client_id, *rest)

    def start(self) -> None:
        self._server = make_server("127.0.0.1", 0, self._build(), threaded=True, request_handler=QuietHandler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _find(self, text: str) -> Token | None:
        return next((token for token in self._tokens if text in token.alive), None)

    def _build(self) -> Flask:
        app, third = Flask(__name__), self
        every_method = ["client_secret_basic", "client_secret_post", "none"]
        new_token = lambda *args, **kwargs: f"CANARY-{generate_token(40)}"  # noqa: E731
        app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = new_token
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(
            ("authorization_code", "refresh_token", "client_credentials"), self._life
        )

        class AuthorizationCode(grants.AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = every_method

            def save_authorization_code(self, code: str, request: Any) -> None:
                third._codes[code] = Code(code, request)

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                found = third._codes.get(code)
                return found if found and found.client_id == client.client_id else None

            def delete_authorization_code(self, authorization_code: Code) -> None:
                del third._codes[authorization_code.code]

            def authenticate_user(self, authorization_code: Code) -> str:
                return "ada"

        class RefreshToken(grants.RefreshTokenGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = every_method
            INCLUDE_NEW_REFRESH_TOKEN = True

            def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
                return third._find(refresh_token)

            def authenticate_user(self, refresh_token: Token) -> str:
                return "ada"

            def revoke_old_credential(self, refresh_token: Token) -> None:
                refresh_token.alive.clear()

        class ClientCredentials(grants.ClientCredentialsGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = every_method

        class Revocation(RevocationEndpoint):
            CLIENT_AUTH_METHODS = every_method

            def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
                return third._find(token_string)

            def revoke_token(self, token: Token, request: Any) -> None:
                token.revoke(request.form["token"])

        class Introspection(IntrospectionEndpoint):
            def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
                return third._find(token_string)

            def check_permission(self, token: Token, client: Client, request: Any) -> bool:
                return True

            def introspect_token(self, token: Token) -> dict[str, Any]:
                return {"active": True}

        class Issuer(IssuerParameter):
            def get_issuer(self) -> str:
                return third.base_url

        server = AuthorizationServer(
            app,
            query_client=self._clients.get,
            save_token=lambda token, request: third._tokens.append(Token(token, request.client)),
        )
        server.register_grant(AuthorizationCode, [CodeChallenge(required=True)])
        server.register_grant(RefreshToken)
        server.register_grant(ClientCredentials)
        server.register_endpoint(Revocation)
        server.register_endpoint(Introspection)
        server.register_extension(Issuer())

        @app.get("/authorize")
        def consent_page() -> Any:
            server.get_consent_grant(end_user="ada")
            return CONSENT_PAGE

        @app.post("/authorize")
        def authorize() -> Any:
            grant = server.get_consent_grant(end_user="ada")
            user = "ada" if "allow" in request.form else None
            return server.create_authorization_response(grant=grant, grant_user=user)

        @app.post("/token")
        def token() -> Any:
            in_body = "client_secret_post" if "client_secret" in request.form else "none"
            third._asked.append("client_secret_basic" if request.authorization else in_body)
            return server.create_token_response()

        @app.post("/revoke")
        def revoke() -> Any:
            return server.create_endpoint_response("revocation")

        @app.post("/introspect")
        def introspect() -> Any:
            return server.create_endpoint_response("introspection")

        @app.get("/userinfo")
        def userinfo() -> Any:
            found = third._find(request.headers.get("Authorization", "").removeprefix("Bearer "))
            return jsonify({"sub": "1", "email": "ada@third.example"}) if found else ({}, 401)

        @app.get("/.well-known/oauth-authorization-server")
        def metadata() -> Any:
            return {
                "issuer": third.base_url,
                "authorization_endpoint": f"{third.base_url}/authorize",
                "token_endpoint": f"{third.base_url}/token",
                "response_types_supported": ["code"],
                "token_endpoint_auth_methods_supported": every_method,
                "authorization_response_iss_parameter_supported": True,
            }

        @app.get("/asked")
        def asked() -> Any:
            return jsonify(third._asked)

        return app
