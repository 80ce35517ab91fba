"""Auth0. https://auth0.com/docs/get-started/authentication-and-authorization-flow/authorization-code-flow

Without `offline_access` no refresh token comes, and without `audience` (an extra authorization parameter) no token for an
API. Replacing refresh tokens is a setting of the application: then using an older one than the last ends the whole family.
"""

from applinks.providers.places import host
from applinks.providers.profile import Provider, Scope

AUTH0 = Provider(
    key="auth0",
    name="Auth0",
    summary="Accounts and APIs of an Auth0 tenant",
    authorization_endpoint="https://{host}/authorize",
    token_endpoint="https://{host}/oauth/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{host}/userinfo",
    revocation_endpoint="https://{host}/oauth/revoke",
    issuer="https://{host}/",
    places=(host("company.eu.auth0.com"),),
    default_scopes=("openid", "email", "offline_access"),
    usual_scopes=(
        Scope("openid", "who the account is"),
        Scope("email", "its e-mail address"),
        Scope("offline_access", "a refresh token, so that the link stays connected"),
    ),
    client_authentication="client_secret_post",
    refresh_scopes=("offline_access",),
    client_id_form="[A-Za-z0-9]{32}",
    tells_redirect=True,
    console_url="https://manage.auth0.com/",
    console_name="Auth0 dashboard",
    guide=(
        "Under Applications choose Create Application, Regular Web Application.",
        "Under Settings paste {redirect_url} into Allowed Callback URLs and choose Save Changes.",
        "Under Settings, Advanced, Grant Types, tick Authorization Code and Refresh Token.",
        "For an API of yours tick Allow Offline Access there, and add audience= with its identifier under Advanced, Extra "
        "authorization parameters, below.",
        "Copy Client ID and Client Secret from Settings.",
    ),
    documentation_url="https://auth0.com/docs/get-started/authentication-and-authorization-flow/authorization-code-flow",
    checked="2026-11-27",
    unchecked="the form of client IDs",
)
