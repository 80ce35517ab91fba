"""Atlassian Cloud (OAuth 2.0, 3LO). https://developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens/

Without `offline_access` no refresh token comes. Each refresh replaces it, and 90 days without one end the grant; an app has
one Redirect URL only. Calls go to api.atlassian.com/ex/, with the site's ID in the path. Endpoints and parameters were
read in public catalogues, not on Atlassian's pages.
"""

from applinks.providers.profile import Provider, Scope

ATLASSIAN = Provider(
    key="atlassian",
    name="Atlassian Cloud",
    summary="Jira and Confluence at atlassian.net",
    authorization_endpoint="https://auth.atlassian.com/authorize",
    token_endpoint="https://auth.atlassian.com/oauth/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.atlassian.com/me",
    default_scopes=("read:me", "offline_access"),
    usual_scopes=(
        Scope("read:me", "who the account is"),
        Scope("offline_access", "a refresh token, so that the link stays connected"),
        Scope("read:jira-work", "see projects and issues"),
        Scope("write:jira-work", "create and change issues"),
        Scope("read:confluence-content.all", "see pages"),
    ),
    authorization_parameters=(("audience", "api.atlassian.com"), ("prompt", "consent")),
    client_authentication="client_secret_post",
    console_url="https://developer.atlassian.com/console/myapps/",
    console_name="Atlassian developer console",
    refresh_scopes=("offline_access",),
    rotates=True,
    refresh_idle_life=90 * 86_400,
    one_redirect=True,
    guide=(
        "Choose Create, OAuth 2.0 integration, and give it a name.",
        "Under Permissions add the products and, of each, what {scopes} stands for.",
        "Under Authorization configure OAuth 2.0 (3LO) and paste {redirect_url} as Callback URL. An app has one only.",
        "Under Settings copy Client ID and Secret.",
        "Under Distribution choose Sharing if others than you are to connect.",
    ),
    documentation_url="https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/",
    checked="2026-11-27",
    unchecked="the endpoints and parameters,",
)
