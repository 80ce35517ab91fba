"""Linear. https://linear.app/developers/oauth-2-0-authentication

Scopes are written with commas between them. Apps made before October 2025 had to be moved to refresh tokens. The account is
told by GraphQL only, so that it isn't shown here; the revocation endpoint was not checked against Linear's pages.
"""

from applinks.providers.profile import Provider, Scope

LINEAR = Provider(
    key="linear",
    name="Linear",
    summary="Issues and projects at linear.app",
    authorization_endpoint="https://linear.app/oauth/authorize",
    token_endpoint="https://api.linear.app/oauth/token",  # noqa: S106 (an address)
    revocation_endpoint="https://api.linear.app/oauth/revoke",
    default_scopes=("read",),
    usual_scopes=(
        Scope("read", "see what the account sees"),
        Scope("write", "change what the account may change"),
        Scope("issues:create", "create issues"),
    ),
    authorization_parameters=(("prompt", "consent"),),
    client_authentication="client_secret_post",
    scope_separator=",",
    console_url="https://linear.app/settings/api",
    console_name="Linear, Settings, API",
    redirect_rule="Paste it under Callback URLs of an OAuth application.",
)
