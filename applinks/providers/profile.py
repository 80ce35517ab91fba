"""What a provider is: data. A drawer is one `Provider`; with a link's differences it becomes a `ProviderProfile`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True)
class Scope:
    """One usual scope and what it permits, in a few words."""

    name: str
    permits: str


@dataclass(frozen=True)
class Provider:
    """One drawer of the catalogue: the facts about one kind of authorization server.

    A `{tenant}` in an endpoint is filled in from the link. `None` as an endpoint means that the administrator
    gives it. `send_scope_on_refresh` is for servers that refuse a refresh without a scope.
    """

    key: str
    name: str
    summary: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    default_scopes: tuple[str, ...] = ()
    usual_scopes: tuple[Scope, ...] = ()
    authorization_parameters: tuple[tuple[str, str], ...] = ()
    client_authentication: ClientAuthentication = "client_secret_basic"
    send_scope_on_refresh: bool = False
    needs_tenant: bool = False
    console_url: str | None = None
    console_name: str = ""
    refuses_private_redirects: bool = False
    redirect_rule: str = ""

    @property
    def brings_endpoints(self) -> bool:
        return self.authorization_endpoint is not None

    def profile(self, differences: Mapping[str, str]) -> "ProviderProfile":
        """Merge a link's differences (endpoints, tenant) into this drawer's facts."""

        def endpoint(name: str, own: str | None) -> str:
            return (own or differences.get(name, "")).replace("{tenant}", differences.get("tenant", ""))

        return ProviderProfile(
            provider=self.key,
            authorization_endpoint=endpoint("authorization_endpoint", self.authorization_endpoint),
            token_endpoint=endpoint("token_endpoint", self.token_endpoint),
            userinfo_endpoint=endpoint("userinfo_endpoint", self.userinfo_endpoint),
            authorization_parameters=self.authorization_parameters,
            client_authentication=self.client_authentication,
            send_scope_on_refresh=self.send_scope_on_refresh,
        )


@dataclass(frozen=True)
class ProviderProfile:
    """Drawer and differences merged: all that the OAuth client reads about the other side.

    `userinfo_endpoint` is empty where there is none.
    """

    provider: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    authorization_parameters: tuple[tuple[str, str], ...]
    client_authentication: ClientAuthentication
    send_scope_on_refresh: bool
