"""Bitbucket Data Center: the incoming link of its own Application links.

A refresh without `redirect_uri` is refused with a bare invalid_grant. Its base URL and the Redirect URL must be https, unless
that is switched off there. It has no endpoint that says who the account is.
"""

from applinks.providers.places import host, path
from applinks.providers.profile import Provider, Scope

BITBUCKET_DATA_CENTER = Provider(
    key="bitbucket-data-center",
    name="Bitbucket Data Center",
    summary="Repositories of a Bitbucket of your own",
    authorization_endpoint="https://{host}{path}/rest/oauth2/latest/authorize",
    token_endpoint="https://{host}{path}/rest/oauth2/latest/token",  # noqa: S106 (an address)
    revocation_endpoint="https://{host}{path}/rest/oauth2/latest/revoke",
    places=(
        host("git.example.com"),
        path("Where Bitbucket isn't at the top of its host, such as /bitbucket."),
    ),
    default_scopes=("REPO_READ",),
    usual_scopes=(
        Scope("REPO_READ", "read repositories"),
        Scope("REPO_WRITE", "write to repositories"),
        Scope("REPO_ADMIN", "administer repositories"),
        Scope("PROJECT_ADMIN", "administer projects"),
        Scope("ACCOUNT_WRITE", "change the account"),
    ),
    client_authentication="client_secret_post",
    redirect_uri_on_refresh=True,
    rotates=True,
    refresh_idle_life=90 * 86_400,
    refuses_http_redirects=True,
    guide=(
        "In Bitbucket open Administration, Application links, and choose Create link.",
        "Choose External application and the direction Incoming.",
        "Paste {redirect_url} as Redirect URL and choose the permission {scopes}.",
        "Choose Save and copy Client ID and Client secret.",
    ),
    documentation_url="https://confluence.atlassian.com/bitbucketserver/bitbucket-oauth-2-0-provider-api-1108483661.html",
    checked="2026-11-27",
    unchecked="the revocation endpoint",
)
