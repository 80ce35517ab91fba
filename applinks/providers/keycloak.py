"""Keycloak. https://www.keycloak.org/securing-apps/oidc-layers

Without `offline_access` a refresh token ends with the account's session. An offline one must be used every thirty days.
Replacing refresh tokens is a setting of the realm. Telling Keycloak that a grant has ended drops the consent as well.
"""

from applinks.providers.places import Place, host, path
from applinks.providers.profile import Provider, Scope

KEYCLOAK = Provider(
    key="keycloak",
    name="Keycloak",
    summary="Accounts of a realm of your own",
    authorization_endpoint="https://{host}{path}/realms/{realm}/protocol/openid-connect/auth",
    token_endpoint="https://{host}{path}/realms/{realm}/protocol/openid-connect/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{host}{path}/realms/{realm}/protocol/openid-connect/userinfo",
    revocation_endpoint="https://{host}{path}/realms/{realm}/protocol/openid-connect/revoke",
    issuer="https://{host}{path}/realms/{realm}",
    places=(
        host("id.example.com"),
        Place(
            "realm", "As it stands in the address of its sign-in page.", "Write the realm's name as its address has it."
        ),
        path("Of an old Keycloak it is /auth."),
    ),
    default_scopes=("openid", "email", "offline_access"),
    usual_scopes=(
        Scope("openid", "who the account is"),
        Scope("email", "its e-mail address"),
        Scope("offline_access", "a refresh token that outlives the account's session"),
    ),
    client_authentication="client_secret_basic",
    refresh_idle_life=30 * 86_400,
    tells_redirect=True,
    guide=(
        "In the realm open Clients and choose Create client, with the type OpenID Connect and a client ID.",
        "Switch Client authentication on and tick Standard flow.",
        "Paste {redirect_url} under Valid redirect URIs and choose Save.",
        "Under Credentials copy Client Secret.",
        "Under Client scopes see that {scopes} are assigned.",
    ),
    documentation_url="https://www.keycloak.org/securing-apps/oidc-layers",
    checked="2026-11-27",
)
