"""What a provider is: data. A drawer is one `Provider`; with a link's differences it becomes a `ProviderProfile`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from applinks.providers.places import Place

GrantType = Literal["authorization_code", "client_credentials"]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "none"]
"""How the client authenticates itself (RFC 6749 §2.3, RFC 7591 §2)."""

Detect = Literal["detect"]
DETECT: Detect = "detect"

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scope:
    """One usual scope and what it permits, in a few words."""

    name: str
    permits: str


@dataclass(frozen=True)
class Provider:
    """One drawer of the catalogue: the facts about one kind of authorization server.

    `places` are filled into its endpoints from the link. `None` as an endpoint means that the administrator gives it.
    `application_scopes` take the place of the default and usual ones with client credentials.

    What it wants: `client_authentication` may be `detect`: try, and remember what works. `refresh_scopes` are
    those of which one must be asked for if a refresh token is to be given. `json_body` is
    for token requests in JSON. `client_id_form` is a regular expression for its client IDs.

    What it answers: `answer_separator` is what it writes between scopes, where that isn't what it wants to read;
    `token_types` what it calls a bearer token; `nested` the member that holds the token where the answer itself doesn't.
    `account` is the path, with dots, to the account's name in what userinfo answers; `userinfo_body` makes the question a
    POST, of JSON where it isn't empty.

    How long things live, in seconds, None where that isn't known: `refresh_idle_life` without a refresh,
    `consent_life` from the consent on, whatever is refreshed, `secret_life` at most. `rotates`
    says whether a refresh replaces the refresh token, None where that isn't known.

    Its console: `guide` are the steps of a registration, with `{redirect_url}` and `{scopes}`. `tells_redirect` is for a
    provider that refuses an unregistered Redirect URL before it asks anybody to sign in. `checked` is the day on which
    its facts were last looked at, `unchecked` what of them couldn't be read in its own documentation.
    """

    key: str
    name: str
    summary: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    issuer: str = ""
    grant_types: tuple[GrantType, ...] = ("authorization_code",)
    default_scopes: tuple[str, ...] = ()
    usual_scopes: tuple[Scope, ...] = ()
    application_scopes: tuple[Scope, ...] = ()
    authorization_parameters: Parameters = ()
    client_authentication: ClientAuthentication | Detect = DETECT
    scope_separator: str = " "
    answer_separator: str = ""
    token_types: tuple[str, ...] = ("bearer",)
    nested: str = ""
    json_body: bool = False
    scope_on_refresh: bool = False
    redirect_uri_on_refresh: bool = False
    default_life: int | None = None
    refresh_scopes: tuple[str, ...] = ()
    client_id_form: str = ""
    account: str = ""
    userinfo_body: str | None = None
    userinfo_headers: Parameters = ()
    places: tuple[Place, ...] = ()
    rotates: bool | None = None
    refresh_idle_life: int | None = None
    consent_life: int | None = None
    secret_life: int | None = None
    console_url: str | None = None
    console_name: str = ""
    guide: tuple[str, ...] = ()
    refuses_private_redirects: bool = False
    refuses_http_redirects: bool = False
    one_redirect: bool = False
    tells_redirect: bool = False
    documentation_url: str = ""
    checked: str = ""
    unchecked: str = ""

    def usual(self, grant_type: GrantType) -> tuple[Scope, ...]:
        """The scopes to offer."""
        return self.application_scopes if grant_type == "client_credentials" else self.usual_scopes

    def default(self, grant_type: GrantType) -> str:
        """The scopes to begin with."""
        if grant_type == "client_credentials":
            return " ".join(scope.name for scope in self.application_scopes)
        return " ".join(self.default_scopes)

    def place(self, name: str) -> Place | None:
        """What it asks for under this name, None for nothing."""
        return next((place for place in self.places if place.name == name), None)

    @property
    def brings_endpoints(self) -> bool:
        return self.authorization_endpoint is not None

    def profile(self, differences: Mapping[str, str]) -> "ProviderProfile":
        """Merge a link's differences, as they are stored, into this drawer's facts."""

        def endpoint(name: str, own: str | None) -> str:
            return self._placed(own, differences) if own else differences.get(name, "")

        def yes(name: str, *, usually: bool = False) -> bool:
            return {"yes": True, "no": False}.get(differences.get(name, ""), usually)

        authentication = differences.get("client_authentication") or self.client_authentication
        chosen = {"space": " ", "comma": ","}.get(differences.get("scope_separator", ""), "")
        return ProviderProfile(
            provider=self.key,
            grant_type=cast(GrantType, differences.get("grant_type", "authorization_code")),
            authorization_endpoint=endpoint("authorization_endpoint", self.authorization_endpoint),
            token_endpoint=endpoint("token_endpoint", self.token_endpoint),
            userinfo_endpoint=endpoint("userinfo_endpoint", self.userinfo_endpoint),
            revocation_endpoint=endpoint("revocation_endpoint", self.revocation_endpoint),
            issuer=differences.get("issuer", "") or self._placed(self.issuer, differences),
            iss_required=yes("iss_required"),
            client_authentication=cast(ClientAuthentication, authentication) if authentication != DETECT else None,
            refresh_client_authentication=cast(
                ClientAuthentication | None, differences.get("refresh_client_authentication")
            ),
            authorization_parameters=_merged(self.authorization_parameters, differences, "authorization_parameters"),
            token_parameters=_merged((), differences, "token_parameters"),
            refresh_parameters=_merged((), differences, "refresh_parameters"),
            scope_separator=chosen or self.scope_separator,
            answer_separator=chosen or self.answer_separator or self.scope_separator,
            scope_on_refresh=yes("scope_on_refresh", usually=self.scope_on_refresh),
            redirect_uri_on_refresh=yes("redirect_uri_on_refresh", usually=self.redirect_uri_on_refresh),
            form_encoded_answers=yes("form_encoded_answers"),
            default_life=int(differences["default_life"]) if "default_life" in differences else self.default_life,
            token_types=self.token_types,
            nested=self.nested,
            json_body=self.json_body,
            account=self.account,
            userinfo_body=self.userinfo_body,
            userinfo_headers=self.userinfo_headers,
        )

    def _placed(self, template: str, differences: Mapping[str, str]) -> str:
        for place in self.places:
            template = place.fill(template, differences)
        return template


@dataclass(frozen=True)
class ProviderProfile:
    """Drawer and differences merged: all that the OAuth client reads about the other side.

    An endpoint or issuer is empty where there is none. `client_authentication` is None where it has to be found out,
    `refresh_client_authentication` where a refresh needs no other. `default_life` is in seconds.
    """

    provider: str
    grant_type: GrantType
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    revocation_endpoint: str
    issuer: str
    iss_required: bool
    client_authentication: ClientAuthentication | None
    refresh_client_authentication: ClientAuthentication | None
    authorization_parameters: Parameters
    token_parameters: Parameters
    refresh_parameters: Parameters
    scope_separator: str
    answer_separator: str
    scope_on_refresh: bool
    redirect_uri_on_refresh: bool
    form_encoded_answers: bool
    default_life: int | None
    token_types: tuple[str, ...]
    nested: str
    json_body: bool
    account: str
    userinfo_body: str | None
    userinfo_headers: Parameters

    def authenticated_by(self, method: str) -> "ProviderProfile":
        """This profile with the client authentication that was found to work."""
        return replace(self, client_authentication=cast(ClientAuthentication, method))

    @property
    def without_account(self) -> bool:
        """Whether the client asks for tokens of its own (RFC 6749 §4.4), so that nobody has to consent."""
        return self.grant_type == "client_credentials"

    @property
    def has_client_secret(self) -> bool:
        """Whether the client is a confidential one (RFC 6749 §2.1)."""
        return self.client_authentication != "none"

    @property
    def destinations(self) -> tuple[str, ...]:
        """Who is on the other side: what a client secret and tokens are bound to."""
        return (
            self.provider,
            self.grant_type,
            self.authorization_endpoint,
            self.token_endpoint,
            self.userinfo_endpoint,
            self.revocation_endpoint,
            self.issuer,
        )


def _merged(own: Parameters, differences: Mapping[str, str], name: str) -> Parameters:
    """A drawer's parameters with a link's, one `name=value` a line, in their place or after them."""
    pairs = (line.partition("=") for line in differences.get(name, "").splitlines())
    return tuple({**dict(own), **{key: value for key, _, value in pairs}}.items())
