"""Linear. https://linear.app/developers/oauth-2-0-authentication

Scopes are written with commas between them. Apps made before October 2025 had to be moved to refresh tokens. The account is
told by GraphQL only.
"""

from applinks.providers.profile import Provider, Scope

LINEAR = Provider(
    key="linear",
    name="Linear",
    summary="Issues and projects at linear.app",
    authorization_endpoint="https://linear.app/oauth/authorize",
    token_endpoint="https://api.linear.app/oauth/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.linear.app/graphql",
    userinfo_body='{"query": "{ viewer { email } }"}',
    account="data.viewer.email",
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
    rotates=True,
    guide=(
        "Under OAuth applications choose Create new.",
        "Paste {redirect_url} under Callback URLs and choose Create.",
        "Copy Client ID and Client secret.",
    ),
    documentation_url="https://linear.app/developers/oauth-2-0-authentication",
    checked="2026-11-27",
    unchecked="the revocation endpoint, the query for the account, and whether refresh tokens are replaced",
)
