"""Jira Data Center: the incoming link of its own Application links.

A refresh without `redirect_uri` is refused with a bare invalid_grant. Its base URL and the Redirect URL must be https, unless
that is switched off there.
"""

from applinks.providers.places import host, path
from applinks.providers.profile import Provider, Scope

JIRA = Provider(
    key="jira",
    name="Jira Data Center",
    summary="Projects and issues of a Jira of your own",
    authorization_endpoint="https://{host}{path}/rest/oauth2/latest/authorize",
    token_endpoint="https://{host}{path}/rest/oauth2/latest/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://{host}{path}/rest/api/latest/myself",
    revocation_endpoint="https://{host}{path}/rest/oauth2/latest/revoke",
    places=(
        host("jira.example.com"),
        path("Where Jira isn't at the top of its host, such as /jira."),
    ),
    default_scopes=("READ",),
    usual_scopes=(
        Scope("READ", "see what the account sees"),
        Scope("WRITE", "change what the account may change"),
        Scope("ADMIN", "administer, as the account may"),
    ),
    client_authentication="client_secret_post",
    redirect_uri_on_refresh=True,
    rotates=True,
    refresh_idle_life=90 * 86_400,
    refuses_http_redirects=True,
    guide=(
        "In Jira open Administration, Application links, and choose Create link.",
        "Choose External application and the direction Incoming.",
        "Paste {redirect_url} as Redirect URL and choose the permission {scopes}.",
        "Choose Save and copy Client ID and Client secret.",
    ),
    documentation_url="https://confluence.atlassian.com/adminjiraserver/configure-an-incoming-link-1115659067.html",
    checked="2026-11-27",
    unchecked="the revocation endpoint and which member names the account",
)
