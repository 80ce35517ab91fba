"""Box. https://developer.box.com/guides/authentication/tokens/refresh/

A code is valid for 30 seconds; a refresh token for 60 days and for one use. Which endpoints there are was read in public
catalogues, not on Box's pages.
"""

from applinks.providers.profile import Provider, Scope

BOX = Provider(
    key="box",
    name="Box",
    summary="Files and folders at box.com",
    authorization_endpoint="https://account.box.com/api/oauth2/authorize",
    token_endpoint="https://api.box.com/oauth2/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.box.com/2.0/users/me",
    account="login",
    revocation_endpoint="https://api.box.com/oauth2/revoke",
    usual_scopes=(
        Scope("root_readonly", "read files and folders"),
        Scope("root_readwrite", "read and write files and folders"),
    ),
    client_authentication="client_secret_post",
    console_url="https://app.box.com/developers/console",
    console_name="Box developer console",
    rotates=True,
    refresh_idle_life=60 * 86_400,
    guide=(
        "Choose Create Platform App, Custom App, and User Authentication (OAuth 2.0).",
        "Under Configuration, OAuth 2.0 Redirect URIs, paste {redirect_url} and choose Save Changes.",
        "Under Application Scopes tick what {scopes} stands for.",
        "Under OAuth 2.0 Credentials copy Client ID and Client Secret.",
    ),
    documentation_url="https://developer.box.com/guides/authentication/tokens/refresh/",
    checked="2026-11-27",
    unchecked="the endpoints",
)
